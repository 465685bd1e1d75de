"""The moment between two training batches, at which nothing is half done."""

from collections.abc import Callable, Iterator

from lightning.pytorch import Trainer

from places.data.loader import Loader
from places.data.stream import Batch


def before_each_batch(trainer: Trainer, announce: Callable[[], None]) -> None:
    """Have a function called before each training batch is fetched. To be called in `setup`.

    Lightning has no hook for this moment. In `on_train_batch_end` the metrics of the batch are not
    yet logged, a validation may follow, and other callbacks and the module have work to do for the
    same batch; in `on_train_batch_start` the next batch is fetched and counted already.

    Args:
        trainer: The trainer, about to fit.
        announce: Called on all processes at the same batches, the first of an epoch included.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]  # set by the trainer, not declared
    request = data.train_dataloader

    def request_announced() -> Loader:
        loader = request()

        def batches() -> Iterator[Batch]:
            announce()
            for batch in loader:
                yield batch
                announce()

        return Loader(len(loader), batches)

    data.train_dataloader = request_announced


def count_steps_once(trainer: Trainer) -> None:
    """Let what is logged be numbered by the steps taken. To be called between two batches.

    A run that goes on at the start of an epoch, or after a validation within one, finds itself
    where that validation is due. Lightning leaves it out, and counts the step before it a second
    time. There is no public way to the count (2.6.6).
    """
    if trainer.lightning_module.automatic_optimization:
        trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step
