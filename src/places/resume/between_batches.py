"""Callbacks between two training batches, and the state of Lightning's loop there."""

from collections.abc import Callable, Iterator
from typing import Any

from lightning.pytorch import Trainer

from places.data.loader import Loader
from places.data.streaming.stream import Batch


def before_each_batch(
    trainer: Trainer, announce: Callable[[], None], name: str = "before_batch"
) -> None:
    """Have a function called before each training batch is fetched. To be called in `setup`.

    Lightning has no hook for this moment. In `on_train_batch_end` the metrics of the batch are not
    yet logged, a validation may follow, and other hooks still have to run for the batch; in
    `on_train_batch_start` the next batch has already been fetched and counted.

    Args:
        trainer: The trainer, about to fit.
        announce: Called on all processes, also before the first batch of an epoch.
        name: What profilers call it: "[Callback]" and this.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]  # set by the trainer, not declared
    request = data.train_dataloader

    def request_announced() -> Loader:
        loader = request()

        def profiled() -> None:
            profiler = trainer.profiler  # type: ignore[attr-defined]  # set, not declared
            with profiler.profile(f"[Callback]{name}"):
                announce()

        def batches() -> Iterator[Batch]:
            profiled()
            for batch in loader:
                yield batch
                profiled()

        return Loader(len(loader), batches)

    data.train_dataloader = request_announced


def reopen(state: dict[str, Any], num_batches: float) -> None:
    """Change the loop counters of a finished training so that it can be resumed with more steps.

    When `max_steps` or `max_time` ends a training within an epoch, Lightning counts the epoch as
    finished: a resumed run would skip the rest of it. When `max_steps` ends it at the end of an
    epoch, a resumed run would skip the next epoch.

    Args:
        state: The state of Lightning's loop in a checkpoint.
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


def count_steps_once(trainer: Trainer) -> None:
    """Correct Lightning's count of steps, which numbers the metrics. To be called between batches.

    A run that is resumed where a validation was due does not repeat it, but Lightning then counts
    the step before it twice. The count has no public interface (Lightning 2.6.6).
    """
    if trainer.lightning_module.automatic_optimization:
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
