"""SIGTERM and SIGUSR1: noted when they come, agreed on by all processes between two batches."""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopSignals:
    """Notes a signal, so that a run can end where it can go on later.

    Attributes:
        received: Number of the signal that came first, or 0.
    """

    def __init__(self) -> None:
        self.received = 0

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

    But 0 for those that Lightning started from the first process of a machine: it takes any other
    status for a failure and kills the first, whose status is the one that counts.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if isinstance(environment, LightningEnvironment) and trainer.local_rank > 0:
        return 0
    return 128 + number


def drop_lightnings_signals(trainer: Trainer) -> None:
    """Take out of Lightning what it does about signals. To be called in `setup`.

    Its handler broadcasts, and on SLURM saves and requeues, between any two instructions; a signal
    that comes before the first batch ends the run after it with status 0. Before each batch its
    loop broadcasts a flag and reads it, so that each process waits for its device at each step; and
    it would not notice a signal on any but the first process. There is no public switch (2.6.6).
    """
    trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = (  # type: ignore[method-assign]
        lambda: None
    )


def _handle(handlers: "Mapping[signal.Signals, signal._HANDLER]") -> None:
    if threading.current_thread() is threading.main_thread():  # Python allows it in no other
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
