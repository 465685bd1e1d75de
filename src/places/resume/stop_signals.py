"""SIGTERM and SIGUSR1: noted when they come, agreed on by all processes between two batches."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from lightning.pytorch import Trainer

from places.lightning_internals import is_started_by_lightning

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopSignals:
    """Notes a signal, so that a run can end where it can be resumed."""

    received = 0  # number of the signal that came first, or 0

    def note(self) -> None:
        """Note signals from now on, instead of ending at once."""
        _handle(dict.fromkeys(STOP_SIGNALS, self._note))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number


@contextmanager
def end_at_once() -> Iterator[None]:
    """Let a signal end the process with its exit status, until there is something to save.

    The handlers that were there before come back at the end.
    """
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in STOP_SIGNALS}
    _handle(dict.fromkeys(STOP_SIGNALS, _end))
    try:
        yield
    finally:
        _handle(before)


def exit_status(number: int, trainer: Trainer) -> int:
    """Return the exit status of a process that ends because of a signal: 128 + its number.

    But 0 for a process that Lightning started, see `is_started_by_lightning`.
    """
    return 0 if is_started_by_lightning(trainer) else 128 + number


def _handle(handlers: "Mapping[signal.Signals, signal._HANDLER]") -> None:
    if threading.current_thread() is threading.main_thread():  # Python allows it in no other
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
