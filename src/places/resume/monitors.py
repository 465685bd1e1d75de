"""Names of metrics that callbacks watch: one that nothing logs is told before the first step."""

import difflib
import inspect
import math
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from types import ModuleType

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint

from places.classifier import SceneClassifier
from places.config.written import Written
from places.console import counted, say
from places.errors import ConfigError
from places.lightning_internals import log_every_n_steps
from places.resume.best import BestCheckpoint
from places.training.scores import SCORES

# What `Rates` and `RunLog` log beside the classifier, every `log_every_n_steps`.
_TIMES = ("images_per_second", "waiting_share", "forward_share", "backward_share")
_AT_LOGS = (
    *("train/loss", "train/top1", "train/learning_rate"),
    *(f"time/{name}" for name in (*_TIMES, "optimizer_share")),
)
_OWN = ("places", "lightning", "torch", "builtins", "abc")  # whose names are known
_LOGS = re.compile(r"\.log(_dict)?\(|callback_metrics|logged_metrics")


def known_names(model: LightningModule) -> list[str]:
    """Return the metrics that a training of `SceneClassifier` logs, whatever else may log more."""
    averaged = getattr(model, "average", None) is not None
    stages = ("val", "val_ema") if averaged else ("val",)
    return [*(f"{stage}/{score}" for stage in stages for score in SCORES), *_AT_LOGS]


def check_monitors(
    trainer: Trainer, model: LightningModule, written: Mapping[str, Written]
) -> None:
    """Refuse a callback that watches a metric which nothing logs.

    Where a class of the user's may log it, it is only said that it may not be there.

    Args:
        trainer: The trainer, with all its callbacks.
        model: What it is to train.
        written: What flags and recipes give.

    Raises:
        ConfigError: With the known names, and the nearest one.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # undeclared
    known = known_names(model) if isinstance(model, SceneClassifier) else []
    others = [type(each).__name__ for each in (model, *callbacks) if _may_log_more(type(each))]
    has_rates = any(isinstance(each, LearningRateMonitor) for each in callbacks)
    for callback, name in _monitored(callbacks):
        is_own = isinstance(callback, ModelCheckpoint) and name in ("epoch", "step")
        if name in known or is_own or (has_rates and name.startswith("lr-")):
            continue
        if not others:
            raise _never_logged(callback, name, known, written)
        if known or not _speaks_of(model, name):
            who = " or ".join(dict.fromkeys(others))
            say(f"{_subject(callback)}: the run fails in its first epoch unless {who} logs {name}")


class FirstLook(Callback):
    """Refuses a metric that is logged too late: after the first time that a callback looks at it.

    Lightning finds out when it looks, at the end of the first epoch or validation.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compare both times; what a resumed run knows is there already.

        Raises:
            ConfigError: With what to type.
        """
        every, first = log_every_n_steps(trainer), _steps_until_a_look(trainer)
        validates = trainer.enable_validation
        for callback, name in _monitored(trainer.callbacks):  # type: ignore[attr-defined]  # undeclared
            if name in trainer.callback_metrics or not _looks(callback, validates):
                continue
            subject = f"{_subject(callback)} {name!r}"
            if name in _AT_LOGS and not 0 < every <= first:
                raise ConfigError(
                    f"{subject} is looked at after {counted(first, 'step')}, and is logged "
                    + (f"every {every}" if every else "never"),
                    f"type:         --trainer.log_every_n_steps {min(10, max(1, first // 2))}",
                )
            if name.startswith("val") and not validates:
                raise ConfigError(
                    f"{subject} is never measured: this training does not validate",
                    "type:         --trainer.limit_val_batches 1.0, or watch train/loss",
                )
        plateaus = (each.monitor for each in trainer.lr_scheduler_configs if each.reduce_on_plateau)
        is_ours = isinstance(pl_module, SceneClassifier) and not _may_log_more(type(pl_module))
        for name in filter(None, plateaus if is_ours else ()):
            if name not in (known := known_names(pl_module)):
                message = f"ReduceLROnPlateau watches {name!r}, which is never logged"
                raise ConfigError(message, f"names:        {', '.join(known)}")


def _monitored(callbacks: Collection[Callback]) -> Iterator[tuple[Callback, str]]:
    """Yield the callbacks that watch a metric, those of users too, and its name."""
    for callback in callbacks:
        name = getattr(callback, "monitor", None)
        if isinstance(name, str):
            yield callback, name


def _looks(callback: Callback, validates: bool) -> bool:
    """Tell whether a callback will look for its metric, and fail where it finds none."""
    if isinstance(callback, ModelCheckpoint):  # ours looks after a validation
        return callback.save_top_k != 0 and (validates or not isinstance(callback, BestCheckpoint))
    return isinstance(callback, EarlyStopping) and callback.strict


def _steps_until_a_look(trainer: Trainer) -> int:
    """Return how many steps there are before the first validation or the end of the epoch."""
    num_batches = min(float(trainer.num_training_batches), float(trainer.val_check_batch or "inf"))
    if not math.isfinite(num_batches):  # of data without an end
        return sys.maxsize
    return math.ceil(num_batches / trainer.accumulate_grad_batches)


def _option(callback: Callback) -> str:
    return "checkpoint" if isinstance(callback, BestCheckpoint) else "trainer.callbacks"


def _subject(callback: Callback) -> str:
    if isinstance(callback, BestCheckpoint):
        return "checkpoint.monitor"
    return f"trainer.callbacks.monitor of {type(callback).__name__}"


def _never_logged(
    callback: Callback, name: str, known: list[str], written: Mapping[str, Written]
) -> ConfigError:
    """Return what to tell of a metric that is not known."""
    places = [
        f"{found.place.file}, line {found.place.line}" if found.place.line else found.place.file
        for key, found in written.items()
        if key.startswith(_option(callback)) and key.endswith("monitor") and found.text == name
    ]
    nearest = difflib.get_close_matches(name, known, 1, 0.4)
    hints = [f"given in:     {places[-1]}"] if places else []
    if name.startswith("val_ema/"):
        hints.append("it needs:     --model.average_decay 0.9999")
    elif nearest:
        hints.append(f"nearest:      {nearest[0]}")
    message = f"{_subject(callback)} is {name!r}, which is never logged"
    return ConfigError(message, *hints, f"names:        {', '.join(known)}")


def _may_log_more(kind: type) -> bool:
    """Tell whether a class of somebody else's may log metrics: whether its files speak of that."""
    modules = {
        each.__module__ for each in kind.__mro__ if each.__module__.partition(".")[0] not in _OWN
    }
    for name in list(modules):  # and those that it takes functions from
        package = name.partition(".")[0]
        used = vars(sys.modules[name]).values() if name in sys.modules else ()
        for value in used:
            module = value if isinstance(value, ModuleType) else inspect.getmodule(value)
            if module is not None and module.__name__.partition(".")[0] == package:
                modules.add(module.__name__)
    return any(_speaks_of_logging(name) for name in modules)


def _speaks_of_logging(module: str) -> bool:
    return _LOGS.search(_source(module) or "self.log(") is not None


def _speaks_of(model: LightningModule, name: str) -> bool:
    """Tell whether the file of a model has the last word of a name, as it is put together there."""
    return name.rpartition("/")[2] in (_source(type(model).__module__) or name)


def _source(module: str) -> str | None:
    try:
        return inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return None
