"""Where a training step of Lightning spends its time, by the actions that Lightning profiles."""

import json
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import Profiler

PARTS = ("wait for data", "network and optimizer", "seeds", "callbacks", "logging", "rest")
_NETWORK = ("training_step", "backward", "optimizer_step", "zero_grad", "batch_to_device")


def _part_of(action: str) -> str:
    """Return the part of an action such as `[Callback]Divergence.on_train_batch_end`."""
    kind, _, name = action.rpartition("]")
    if name.endswith("train_dataloader_next"):
        return "wait for data"
    if name.endswith("StepSeeds.before_batch"):
        return "seeds"
    if kind == "[Callback":
        return "callbacks"
    # In this hook SceneClassifier logs, and does nothing else.
    if kind == "[Logger" or name.endswith("on_before_optimizer_step"):
        return "logging"
    if name.endswith(_NETWORK):
        return "network and optimizer"
    return "rest"


class _PartTimes(Profiler):
    """Adds up the time of each part; that of an action within another counts for its own part."""

    def __init__(self) -> None:
        super().__init__()
        self.spent_s: defaultdict[str, float] = defaultdict(float)  # by part, up to now
        self._running: list[str] = []
        self._since_s = time.perf_counter()

    def start(self, action_name: str) -> None:
        """Begin an action."""
        self._charge()
        self._running.append(_part_of(action_name))

    def stop(self, action_name: str) -> None:
        """End the action that began last."""
        self._charge()
        self._running.pop()

    def _charge(self) -> None:
        now_s = time.perf_counter()
        if self._running:
            self.spent_s[self._running[-1]] += now_s - self._since_s
        self._since_s = now_s


class Clock(Callback):
    """Writes down when each training batch began, and the time that each part took until then.

    Args:
        file: Where the times go, as JSON: a list with one object for each batch.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.times_s: list[dict[str, float]] = []
        self._parts = _PartTimes()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Profile the parts, and the loggers as one of them."""
        trainer.profiler = self._parts  # type: ignore[attr-defined]  # set, not declared
        for logger in trainer.loggers:
            for name in ("log_metrics", "save"):
                setattr(logger, name, _profiled(getattr(logger, name), self._parts))

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401  # Lightning's type
        batch_idx: int,
    ) -> None:
        """Note the time."""
        start_s = now_s(pl_module.device)
        spent_s: dict[str, float] = dict(self._parts.spent_s) | {"rest": 0.0}
        # What is between the actions belongs to the rest too. Only differences are looked at.
        spent_s["rest"] = start_s - sum(spent_s.values())
        self.times_s.append({"step": start_s, **spent_s})

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the times."""
        self.file.write_text(json.dumps(self.times_s))


def now_s(device: torch.device) -> float:
    """Return the time in seconds once a device has done its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _profiled(method: Callable[..., Any], profiler: Profiler) -> Callable[..., Any]:
    @wraps(method)
    def profiled(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  # passed on
        with profiler.profile(f"[Logger]{method.__name__}"):
            return method(*args, **kwargs)

    return profiled
