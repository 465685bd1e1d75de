"""The best checkpoint, also over the interruptions of a run."""

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only

from places.files import keep_as
from places.lightning_internals import best_in_folder, files_of_best

# What a recipe leaves out.
DEFAULTS = {
    "filename": "best",
    "monitor": "val/top1",
    "mode": "max",
    "auto_insert_metric_name": False,
    "enable_version_counter": False,
    "save_on_train_epoch_end": False,  # judged after a validation
}


class BestCheckpoint(ModelCheckpoint):
    """Lightning's `ModelCheckpoint`, which brings the best along when a run is resumed.

    A resumed run has a folder of its own. Lightning forgets the best score then, and calls the
    first network that it validates the best.
    """

    _is_fitting = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Note whether there will be checkpoints: a test of a checkpoint writes none."""
        self._is_fitting = stage == "fit"
        self._broadcast = trainer.strategy.broadcast
        super().setup(trainer, pl_module, stage)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the scores of the run before and bring their files, if these are still there."""
        files, folder = files_of_best(state_dict), str(self.dirpath)
        # The first process decides: scores that only some remember would make the others wait.
        is_there = self._broadcast(all(path.is_file() for path in files))
        if self._is_fitting and str(state_dict.get("dirpath")) != folder and is_there:
            for path in files:
                rank_zero_only(keep_as)(path, Path(folder) / path.name)
            state_dict = best_in_folder(state_dict, folder)
        super().load_state_dict(state_dict)
