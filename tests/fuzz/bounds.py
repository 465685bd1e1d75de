"""What every input is held to: it ends in time, in few lines, and starts nothing."""

import contextlib
import io
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import places.cli.stages  # noqa: F401  # some libraries start a program when they are imported
from places.cli.main import main

_FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")
STARTED: list[str] = []


def _watch(event: str, details: tuple[object, ...]) -> None:
    if event in _FORBIDDEN:
        STARTED.append(f"{event} {details!r:.200}")


sys.addaudithook(_watch)


class Hang(BaseException):
    """An input takes too long; not an `Exception`, which the code under test might catch."""


@contextmanager
def within(limit_s: float) -> Iterator[None]:
    """Raise `Hang` in the main thread where something takes longer."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Hang(f"more than {limit_s} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_bounded(words: list[str], limit_s: float = 60.0) -> tuple[int, str]:
    """Run a command; return its status and what it said on stderr.

    Raises:
        AssertionError: It ended with neither success nor a mistake, said more than a refusal may,
            sent a terminal more than lines of text, or started something.
    """
    STARTED.clear()
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):  # noqa: SIM117
        with within(limit_s):
            status = main(words)
    text = said.getvalue()
    assert status in (0, 1, 2), f"status {status}: {text}"
    assert all(line.isprintable() for line in text.splitlines()), text
    lines = text.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("places: error: ")]
    if status == 2:
        assert len(errors) == 1, text
        assert len(lines) - errors[0] <= 4, text
    assert not STARTED, STARTED
    return status, text
