"""The promise to those who bring anything: the tool ends soon, with an answer and no traceback."""

import io
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import FrameType

from places.cli.main import main

LIMIT_S = 10.0  # for one small input, on a busy machine


def run(*words: object) -> tuple[int, list[str]]:
    """Run a command in this process and return its exit status and the lines that it printed.

    Asserts that it ends in time, raises nothing, and answers with at most 4 printable lines.
    """
    out, err = io.StringIO(), io.StringIO()
    with in_time(), redirect_stdout(out), redirect_stderr(err):
        status = main([str(word) for word in words])
    lines = [*out.getvalue().splitlines(), *err.getvalue().splitlines()]
    assert status in (0, 1, 2), (words, lines)
    assert len(err.getvalue().splitlines()) <= 4 or status < 2, lines
    assert all(line.isprintable() and len(line) < 2000 for line in lines), lines
    assert bool(lines) or not status
    return status, lines


@contextmanager
def in_time() -> Iterator[None]:
    """End what hangs with an error."""

    def stop(_: int, frame: FrameType | None) -> None:
        raise AssertionError(f"no end after {LIMIT_S:g} s, in {frame}")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    start_s = time.monotonic()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - start_s < LIMIT_S
