"""Files that are fetched by several threads before they are wanted."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait

from places.data.remote.failures import StoppedError

NUM_FETCHERS = 8
_MOST_HELD = 32  # files that are fetched, or are there and were not taken yet
_MOST_HELD_BYTES = 2**29  # of those that are there; while there are more, no other one is begun
_LOOK_S = 0.1  # how often a thread that waits looks whether that is still wanted


class FetchAhead:
    """Fetches files in the order in which they will be taken, a few of them ahead.

    Nothing starts before the first are named, and all threads end with `close`.

    Args:
        fetch: Called in a thread with the number of a file and an event that is set to end early;
            returns its bytes.
    """

    def __init__(self, fetch: Callable[[int, threading.Event], bytes]) -> None:
        self._fetch = fetch
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._waiting = deque[int]()
        self._results: dict[int, Future[bytes]] = {}
        self._num_held = self._held_bytes = 0
        self._num_threads = 0

    def follow(self, numbers: Iterable[int]) -> None:
        """Name the files that will be taken next, after those that were named before."""
        with self._changed:
            for number in numbers:
                self._results[number] = Future()
                self._waiting.append(number)
            missing = min(NUM_FETCHERS, len(self._waiting)) - self._num_threads
            self._num_threads += max(missing, 0)
            self._changed.notify_all()
        for _ in range(missing):
            threading.Thread(target=self._run, name="places-fetch", daemon=True).start()

    def take(self, number: int) -> bytes:
        """Return a file that was named, once; from any thread.

        Raises:
            StoppedError: `close` was called.
            Exception: What fetching it raised.
        """
        result = self._results[number]
        while not wait([result], _LOOK_S).done:
            if self._stop.is_set():
                raise StoppedError("a picture was not fetched to its end")
        with self._changed:
            del self._results[number]
            self._num_held -= 1
            self._held_bytes -= 0 if result.exception() else len(result.result())
            self._changed.notify_all()
        return result.result()

    def close(self) -> None:
        """End all fetching and waiting."""
        self._stop.set()
        with self._changed:
            self._changed.notify_all()

    def _run(self) -> None:
        while (number := self._next()) is not None:
            result = self._results[number]
            try:
                data = self._fetch(number, self._stop)
            except BaseException as error:
                result.set_exception(error)
            else:
                with self._changed:
                    self._held_bytes += len(data)
                result.set_result(data)

    def _next(self) -> int | None:
        """Return what to fetch, waiting for room; `None` at the end.

        What is begun first is taken first, so those that hold the room are never waited for.
        """
        with self._changed:
            while not self._stop.is_set():
                is_full = self._num_held >= _MOST_HELD or self._held_bytes >= _MOST_HELD_BYTES
                if self._waiting and not is_full:
                    self._num_held += 1
                    return self._waiting.popleft()
                self._changed.wait()
        return None
