"""Sized lazy iterables of batches, as Lightning and plain loops want them."""

from collections.abc import Callable, Iterator

from places.data.streaming.stream import Batch


class Loader:
    """A sized iterable of batches.

    Lightning iterates over a loader once only to see whether that is possible, and asks for the
    length on every process. So the length is known beforehand, and `batches` must start no work
    before its first batch is asked for, as a generator does.

    Args:
        num_batches: Number of batches of a whole epoch, equal on all processes.
        batches: Starts an epoch.
    """

    def __init__(self, num_batches: int, batches: Callable[[], Iterator[Batch]]) -> None:
        self._num_batches = num_batches
        self._batches = batches

    def __len__(self) -> int:
        """Return the number of batches of a whole epoch."""
        return self._num_batches

    def __iter__(self) -> Iterator[Batch]:
        """Start an epoch, or resume one that was interrupted."""
        return self._batches()

    def state_dict(self) -> dict[str, int]:
        """Return nothing: the data module keeps the position, which Lightning restores earlier.

        That there is such a method tells Lightning that the position is not lost.
        """
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Do nothing, see `state_dict`."""
