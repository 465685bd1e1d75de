"""Sized lazy iterables of batches, as Lightning and plain loops want them."""

from collections.abc import Callable, Iterator

from places.data.streaming.stream import Batch
from places.errors import ConfigError


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
        """Start an epoch, or go on with one that was interrupted."""
        return self._batches()

    def state_dict(self) -> dict[str, int]:
        """Return nothing: the data module keeps the position, which Lightning restores earlier.

        That there is such a method tells Lightning that the position is not lost.
        """
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Do nothing, see `state_dict`."""


def check_batch_size(batch_size: int, num_ranks: int) -> None:
    """Refuse a global batch size that cannot be shared equally by all processes.

    Raises:
        ConfigError: The message names the nearest sizes that can.
    """
    if batch_size < 1 or batch_size % num_ranks:
        lower = max(num_ranks, batch_size // num_ranks * num_ranks)
        raise ConfigError(
            f"data.batch_size {batch_size} cannot be shared equally by {num_ranks} processes",
            "it is the number of pictures per step over all processes",
            f"nearest:  {lower}, {lower + num_ranks}",
        )
