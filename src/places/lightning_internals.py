"""Every private, undocumented or undeclared part of Lightning that is used, each with its reason.

Written for Lightning 2.6.6. `tests/test_lightning_internals.py` has a test for each, which fails by
its name when a release changes it.
"""

import os
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies.launchers import subprocess_script
from torch import Tensor

_OPTIMIZERS = str(Path(torch.optim.__file__).parent)
_RESTORING = "checkpoint_connector.py"


def data_module(trainer: Trainer) -> LightningDataModule | None:
    """Return the data module that a trainer runs with.

    `Trainer.datamodule` is documented, but set where type checkers cannot see it.
    """
    module: LightningDataModule | None = trainer.datamodule  # type: ignore[attr-defined]  # see above
    return module


def is_trial(trainer: Trainer) -> bool:
    """Tell whether a run only tries whether all works: `--trainer.fast_dev_run`.

    `Trainer.fast_dev_run` is documented, but set where type checkers cannot see it.
    """
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]  # see above


def log_every_n_steps(trainer: Trainer) -> int:
    """Return after how many steps a trainer logs; 0 for never.

    `Trainer.log_every_n_steps` is documented, but set where type checkers cannot see it.
    """
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # see above
    return every


def global_seed() -> int | None:
    """Return the seed of `seed_everything`, or `None` where it was switched off.

    Lightning hands it to the processes that it starts in this undocumented variable.
    """
    seed = os.environ.get("PL_GLOBAL_SEED")
    return None if seed is None else int(seed)


def profiler(trainer: Trainer) -> Profiler:
    """Return what measures the parts of a step; `Trainer.profiler` is declared nowhere either."""
    found: Profiler = trainer.profiler  # type: ignore[attr-defined]  # see above
    return found


def wrap_train_loader(trainer: Trainer, wrap: Callable[[Any], Any]) -> None:
    """Have each training loader replaced when Lightning asks for it. To be called in `setup`.

    There is no hook between two batches, see `places.resume.between_batches`, and none that may
    replace a loader. The data module stays as it is.

    Args:
        trainer: The trainer, about to fit.
        wrap: Takes the loader that the data module made, and returns the one to use.
    """
    source = trainer.fit_loop._data_source
    request = source.dataloader
    source.dataloader = lambda: wrap(request())  # type: ignore[method-assign]  # see above


def wrap_save_checkpoint(trainer: Trainer, wrapped: Callable[..., None]) -> Callable[..., None]:
    """Replace what writes checkpoints, and return what did. To be called in `setup`.

    There is a hook before a checkpoint is written and none after it. All that writes one calls the
    public `Trainer.save_checkpoint`; that it is looked up on the trainer is undocumented.

    Args:
        trainer: The trainer.
        wrapped: What is called instead.
    """
    save: Callable[..., None] = trainer.save_checkpoint
    trainer.save_checkpoint = wrapped  # type: ignore[method-assign]  # see above
    return save


def ignore_signals(trainer: Trainer) -> None:
    """Take out of Lightning what it does about signals. To be called in `setup`.

    There is no public switch. Its handler broadcasts, and on SLURM saves and requeues, between any
    two instructions; a signal that comes before the first batch ends the run after it with status
    0. Before each batch its loop broadcasts a flag and reads it, so that each process waits for its
    device at each step; and it would not notice a signal on any but the first process.
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]  # see above
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]  # see above


def watch_processes(watch: Callable[[Sequence["Popen[bytes]"]], None]) -> None:
    """Have the processes that Lightning starts watched by a function of ours.

    Its own thread looks every five seconds, and kills all without a word when one has ended.

    Args:
        watch: Called with the processes when they have been started.
    """
    subprocess_script._launch_process_observer = watch  # type: ignore[attr-defined,assignment]  # see above


def is_started_by_lightning(trainer: Trainer) -> bool:
    """Tell whether Lightning started this process from the first one of its machine.

    Lightning takes any status but 0 of such a process for a failure, and kills the first process,
    whose status is the one that counts. `Strategy.cluster_environment` is undocumented.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return isinstance(environment, LightningEnvironment) and trainer.local_rank > 0


def number_logs_by_steps(trainer: Trainer) -> None:
    """Correct Lightning's count of steps, which numbers the metrics. To be called between batches.

    A run that is resumed where a validation was due does not repeat it, but Lightning then counts
    the step before it twice. The count has no public interface.
    """
    if trainer.lightning_module.automatic_optimization:
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step


def reopen_epoch(state: dict[str, Any], num_batches: float) -> None:
    """Change the loop counters of a finished training so that it can be resumed with more steps.

    When `max_steps` or `max_time` ends a training within an epoch, Lightning counts the epoch as
    finished: a resumed run would skip the rest of it. When `max_steps` ends it at the end of an
    epoch, a resumed run would skip the next epoch. The layout of the state is undocumented.

    Args:
        state: The state of Lightning's loop in a checkpoint, changed in place.
        num_batches: Number of batches of an epoch.
    """
    epochs, batches = state["epoch_progress"], state["epoch_loop.batch_progress"]
    is_whole = batches["current"]["ready"] >= num_batches
    for counts in (epochs["total"], epochs["current"]):
        for name in ("ready", "started") if is_whole else ("processed", "completed"):
            counts[name] += 1 if is_whole else -1
    if is_whole:
        batches["current"] = dict.fromkeys(batches["current"], 0)
        batches["is_last_batch"] = False


def state_of_best(
    callback: ModelCheckpoint, models: dict[str, Tensor], best: str, last: str
) -> dict[str, Any]:
    """Return the state of a `ModelCheckpoint` that has kept these files; its keys are undocumented.

    Args:
        callback: It.
        models: The scores of its files. If it is to keep less, the worst are left out.
        best: The file that it calls the best if it looks at no score, or an empty string.
        last: The file of its `save_last`, or an empty string.
    """
    highest, lowest = (max, min) if callback.mode == "max" else (min, max)

    def score(path: str) -> float:
        return float(models[path])

    while len(models) > callback.save_top_k >= 0:
        models = {path: models[path] for path in models if path != lowest(models, key=score)}
    state: dict[str, Any] = {
        "dirpath": callback.dirpath,
        "best_k_models": models,
        "last_model_path": last,
    }
    if not models:
        state |= {"best_model_path": best, "best_model_score": None}
        return state | {"kth_best_model_path": "", "kth_value": callback.kth_value}
    best, kth = highest(models, key=score), lowest(models, key=score)
    state |= {"best_model_path": best, "best_model_score": models[best]}
    return state | {"kth_best_model_path": kth, "kth_value": models[kth]}


def never_choose_what_is_not_finite(callback: ModelCheckpoint) -> None:
    """Have a `ModelCheckpoint` keep no file for a score that is NaN or infinite.

    It takes NaN for the worst of all scores, but keeps its file while it has not as many as it may,
    and takes infinity for a score like others. There is no option.
    """
    is_among_best = callback.check_monitor_top_k

    def check(trainer: Trainer, current: Tensor | None = None) -> bool:
        is_finite = current is None or callback.save_top_k == -1 or bool(current.isfinite())
        # Processes must not differ, as they could where each has a score of its own.
        return trainer.strategy.reduce_boolean_decision(is_finite) and is_among_best(
            trainer, current
        )

    callback.check_monitor_top_k = check  # type: ignore[method-assign]  # see above


def filenames_of(callback: ModelCheckpoint) -> list[str]:
    """Return examples of the names of files that a `ModelCheckpoint` writes, without the folder.

    Whether it numbers files whose names are taken has no public name.
    """
    templates = [callback.filename]
    if callback.save_last and not callback._enable_version_counter:
        templates.append(callback.CHECKPOINT_NAME_LAST)
    return [Path(callback.format_checkpoint_name({}, each)).name for each in templates]


def happened_in_restoring(error: BaseException) -> bool:
    """Tell whether an error came up while a run took up the state in its checkpoint.

    Lightning gives it back; there is no hook around that. Optimizers take theirs unseen, and fail
    in their next step. Other than by the functions that were running one cannot tell an unfit state
    from a mistake in the training.
    """
    frames = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [code.co_name for code in frames if code.co_filename.endswith(_RESTORING)]
    if any("restore" in name for name in names):
        return True
    is_of_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return not is_of_memory and bool(frames) and frames[-1].co_filename.startswith(_OPTIMIZERS)
