"""What becomes of samples that cannot be read: the run stops, or they are named and counted."""

import logging
import threading
from typing import Literal

from places.console import counted
from places.errors import DataError

BadSamplePolicy = Literal["raise", "skip"]

_log = logging.getLogger("places.data")


class BadSamples:
    """The samples of one split that this process could not read. Safe to use from many threads.

    Args:
        policy: "raise" stops at the first one; "skip" names each once and skips it.
        max_bad_samples: With "skip", more than this stop the run after all.
    """

    def __init__(self, policy: BadSamplePolicy = "raise", max_bad_samples: int = 10) -> None:
        self.policy: BadSamplePolicy = policy
        self.max_bad_samples = max_bad_samples
        self._reasons: dict[int, str] = {}
        self._told: set[int] = set()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many different samples could not be read so far."""
        return len(self._reasons)

    @property
    def numbers(self) -> set[int]:
        """Which samples could not be read so far."""
        with self._lock:
            return set(self._reasons)

    def are_told(self, numbers: set[int]) -> None:
        """Name no more some samples, which other processes have named."""
        with self._lock:
            self._told |= numbers

    def report(self, sample: int, place: str, error: DataError) -> str:
        """Take note of a sample that cannot be read and return the reason as one line.

        Args:
            sample: Its number.
            place: Where it lies, in words.
            error: What is wrong with it.

        Raises:
            DataError: The policy is "raise", or there are too many.
        """
        reason = f"{error.message}, in {place}"
        if self.policy == "raise":
            hint = "go on without it:  `bad_samples` skip"
            raise DataError(reason, *error.hint[:2], hint) from error
        with self._lock:
            is_new = sample not in self._reasons
            self._reasons[sample] = reason
            count = self.count
        if is_new and count > self.max_bad_samples:
            raise DataError(
                f"{counted(count, 'sample')} could not be read, the last: {reason}",
                f"at most `max_bad_samples` {self.max_bad_samples:,} are skipped",
                "check the shards:  places verify ROOT --decode",
            ) from error
        if is_new and sample not in self._told:
            _log.warning("skipped sample %d: %s", sample, reason)
        return reason
