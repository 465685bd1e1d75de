"""The moment between two training batches, which has no hook in Lightning."""

from collections.abc import Callable, Iterator

from lightning.pytorch import Trainer

from places.data.loader import Loader
from places.data.streaming.stream import Batch
from places.lightning_internals import profiler, wrap_train_loader


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

    def profiled() -> None:
        with profiler(trainer).profile(f"[Callback]{name}"):
            announce()

    def wrap(loader: Loader) -> Loader:
        def batches() -> Iterator[Batch]:
            profiled()
            for batch in loader:
                yield batch
                profiled()

        return Loader(len(loader), batches)

    wrap_train_loader(trainer, wrap)
