"""The moment between two training batches, at which nothing is half done."""

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
    yet logged, a validation may follow, and other callbacks and the module have work to do for the
    same batch; in `on_train_batch_start` the next batch is fetched and counted already.

    Args:
        trainer: The trainer, about to fit.
        announce: Called on all processes at the same batches, the first of an epoch included.
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
    """Change the counters of a training that has ended to those of a moment between two batches.

    Wherever in an epoch a training ended, by `max_steps` or `max_time`, Lightning counts the epoch
    as over. What goes on from there with more steps or time would leave out the rest of it; with
    `max_steps` it would leave out the next epoch where one had just ended.

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
    """Let what is logged be numbered by the steps taken. To be called between two batches.

    A run that goes on at the start of an epoch, or after a validation within one, finds itself
    where that validation is due. Lightning leaves it out, and counts the step before it a second
    time. There is no public way to the count (2.6.6).
    """
    if trainer.lightning_module.automatic_optimization:
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
