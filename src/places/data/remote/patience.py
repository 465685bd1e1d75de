"""How long one transfer may take."""

import time

SLOWEST_BYTES_PER_S = 20_000  # a connection that stays below this is given up in the end


class Patience:
    """The time that is left to a transfer, which grows with what arrives.

    What arrives brings the time that it may take at `SLOWEST_BYTES_PER_S`, but no more than
    `timeout_s` is ever left. So a server that falls silent or trickles is given up after about
    `timeout_s`, and n bytes take `timeout_s + n / SLOWEST_BYTES_PER_S` at most.

    Args:
        timeout_s: The time that is left at the start, and at most.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.num_bytes = 0  # that have arrived
        self._start_s = time.monotonic()
        self._end_s = self._start_s + timeout_s

    def add(self, num_bytes: int, size_bytes: int) -> None:
        """Note that some bytes have arrived, perhaps not for the first time, of a file."""
        self.num_bytes += num_bytes
        longest_s = self._start_s + size_bytes / SLOWEST_BYTES_PER_S  # for the whole file
        longest_s = min(longest_s, time.monotonic()) + self.timeout_s
        self._end_s = min(self._end_s + num_bytes / SLOWEST_BYTES_PER_S, longest_s)

    @property
    def left_s(self) -> float:
        """The time that is left, 0 or less at the end."""
        return self._end_s - time.monotonic()

    @property
    def took_s(self) -> float:
        """The time since the start."""
        return time.monotonic() - self._start_s
