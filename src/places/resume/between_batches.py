"""The moment between two training batches, at which nothing is half done."""

from collections.abc import Callable, Iterator

from lightning.pytorch import Trainer

from places.data.loader import Loader
from places.data.streaming.stream import Batch
from places.lightning_internals import wrap_train_loader


def before_each_batch(trainer: Trainer, announce: Callable[[], None]) -> None:
    """Have a function called before each training batch is fetched. To be called in `setup`.

    Lightning has no hook for this moment. In `on_train_batch_end` the metrics of the batch are not
    yet logged, a validation may follow, and other callbacks and the module have work to do for the
    same batch; in `on_train_batch_start` the next batch is fetched and counted already.

    Args:
        trainer: The trainer, about to fit.
        announce: Called on all processes at the same batches, the first of an epoch included.
    """

    def wrap(loader: Loader) -> Loader:
        def batches() -> Iterator[Batch]:
            announce()
            for batch in loader:
                yield batch
                announce()

        return Loader(len(loader), batches)

    wrap_train_loader(trainer, wrap)
