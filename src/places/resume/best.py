"""The best checkpoints, ours and those that users ask for, also over the interruptions of a run."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor

from places.checkpoints.runs import is_resume_point
from places.errors import ConfigError
from places.files import is_plain_name, keep_as
from places.lightning_internals import never_choose_what_is_not_finite, state_of_best

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
    """Lightning's `ModelCheckpoint` under a name of its own, so that users may add others."""


class KeepBest(Callback):
    """Lets each `ModelCheckpoint` remember its scores and bring its files when a run is resumed.

    A resumed run has a folder of its own. Lightning forgets the scores then, calls the first
    network that it validates the best, and never removes what the run before kept.

    What a checkpoint says about files may be forged. Only plain names are taken from it, of files
    that lie beside it, and all that these callbacks overwrite or remove lies in their own folder.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have a score that is NaN or infinite never chosen."""
        for callback in _checkpoints(trainer) if stage == "fit" else ():
            never_choose_what_is_not_finite(callback)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a folder that cannot be made; Lightning makes it when it saves for the first time.

        Raises:
            ConfigError: With the folder and the reason.
        """
        for callback in _checkpoints(trainer):
            folder = str(callback.dirpath)
            is_local = "://" not in folder
            if is_local and not Path(folder).is_relative_to(trainer.default_root_dir):
                try:
                    Path(folder).mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise ConfigError(
                        f"{type(callback).__name__} cannot write into {folder}: {error.strerror}",
                        "name another  dirpath, or leave it out: the folder of the run",
                    ) from error

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Replace their states, before they see them, by what is there and belongs to them."""
        states = checkpoint["callbacks"]
        for callback in _checkpoints(trainer):
            state = states.pop(callback.state_key, None)
            if trainer.state.fn == TrainerFn.FITTING and isinstance(state, dict):
                states[callback.state_key] = _taken_over(callback, state, trainer)


def _checkpoints(trainer: Trainer) -> Iterator[ModelCheckpoint]:
    return (each for each in trainer.checkpoint_callbacks if isinstance(each, ModelCheckpoint))


def _taken_over(
    callback: ModelCheckpoint, state: dict[str, Any], trainer: Trainer
) -> dict[str, Any]:
    """Return the state with which a callback goes on, its files in its folder."""
    folder, before = Path(str(callback.dirpath)), str(state.get("dirpath"))
    # It stays where it is if the user named it.
    source = folder if before == str(folder) else Path(str(trainer.ckpt_path)).parent
    source = source.resolve()

    def now(path: object) -> str:
        """Return where a file is to be now; an empty string if it is not there."""
        name = _name_in(before, path)
        file = (source / name).resolve()  # `save_last: link` makes links
        is_there = bool(name) and file.is_file() and file.is_relative_to(source)
        # The first process decides: scores that only some remember would make the others wait.
        return str(folder / name) if trainer.strategy.broadcast(is_there) else ""

    scores = state.get("best_k_models")
    models = {
        now(path): score
        for path, score in (scores if isinstance(scores, dict) else {}).items()
        if isinstance(score, Tensor) and score.numel() == 1 and bool(score.isfinite())
    }
    models.pop("", None)
    # Without scores it keeps one file, which it calls the best.
    best = "" if callback.monitor else now(state.get("best_model_path"))
    new = state_of_best(callback, models, best, now(state.get("last_model_path")))
    files = {*new["best_k_models"], new["best_model_path"], new["last_model_path"]} - {""}
    for path in sorted(files) if source != folder.resolve() else ():
        rank_zero_only(keep_as)((source / Path(path).relative_to(folder)).resolve(), Path(path))
    return {**state, **new}  # a class of the user's may add to it


def _name_in(folder: str, path: object) -> str:
    """Return the name of a file in a folder, with folders within, or an empty string.

    Both come from a checkpoint.
    """
    if not isinstance(path, str):
        return ""
    file = PurePosixPath(path)
    name = file.relative_to(folder) if file.is_relative_to(folder) else PurePosixPath(file.name)
    is_usable = name.suffix == ".ckpt" and all(map(is_plain_name, name.parts))
    return str(name) if is_usable and not is_resume_point(str(name)) else ""
