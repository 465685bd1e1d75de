"""The settings of a resumed optimizer: those asked for now, not those it was saved with."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim.lr_scheduler import LambdaLR

from places.classifier import SceneClassifier


class OptimizerSettings(Callback):
    """Lets flags and recipes change the optimizer of a resumed run.

    With the state of an optimizer, its momentum for instance, PyTorch restores its settings too.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note the settings; the state comes from the checkpoint after this."""
        self._asked: list[dict[str, Any]] = [
            {name: value for name, value in group.items() if name != "params"}
            for optimizer in trainer.optimizers
            for group in optimizer.param_groups
        ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the optimizer its settings back, and the rate of the step that comes."""
        if trainer.ckpt_path is None or not isinstance(pl_module, SceneClassifier):
            return
        (config,) = trainer.lr_scheduler_configs
        scheduler = config.scheduler
        assert isinstance(scheduler, LambdaLR)
        scheduler.base_lrs = [settings["initial_lr"] for settings in self._asked]
        groups = scheduler.optimizer.param_groups
        for group, settings, factor in zip(groups, self._asked, scheduler.lr_lambdas, strict=True):
            group |= settings | {"lr": settings["initial_lr"] * factor(scheduler.last_epoch)}
