"""What callbacks that stop, save or log by a metric know of the training so far."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

_KEY = "callback_metrics"  # of checkpoints


class KnownMetrics(Callback):
    """Brings the last value of each metric along when a run is resumed.

    Lightning starts without any. Then a callback that looks at a score between two validations, or
    at the end of an epoch whose validation the checkpoint has behind it, finds none.
    """

    def __init__(self) -> None:
        self._values: dict[str, float] = {}

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the values."""
        checkpoint[_KEY] = {name: float(value) for name, value in trainer.callback_metrics.items()}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note the values."""
        values = checkpoint.get(_KEY)
        for name, value in values.items() if isinstance(values, dict) else ():
            if isinstance(name, str) and isinstance(value, float):
                self._values[name] = value

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore them."""
        known = {
            name: torch.tensor(value, device=pl_module.device)
            for name, value in self._values.items()
        }
        trainer.callback_metrics.update(known)
