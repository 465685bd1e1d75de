"""The promise to those who bring anything: the tool ends soon, in few lines, and starts nothing."""

import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import FrameType

from tests.started import started

import places.cli.stages  # noqa: F401  # some libraries start a program when they are imported
from places.cli.main import main

LIMIT_S = 10.0  # for one small input, on a busy machine


def _is_expected(call: str) -> bool:
    # jsonargparse asks Python itself where annotations of libraries may lie; a result names the
    # commit of its code.
    is_python = "print(json.dumps(sys.path))" in call
    return is_python or call.startswith("subprocess.Popen(['git', ")


class Hang(BaseException):
    """An input takes too long; not an `Exception`, which the code under test might catch."""


def run(*words: object, limit_s: float = LIMIT_S) -> tuple[int, list[str]]:
    """Run a command in this process and return its exit status and the lines that it printed.

    Asserts that it ends in time, raises nothing, starts nothing, and refuses in at most 4 lines.
    """
    out, err = io.StringIO(), io.StringIO()
    with (
        started(_is_expected) as calls,
        in_time(limit_s),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        status = main([str(word) for word in words])
    said = err.getvalue().splitlines()
    lines = [*out.getvalue().splitlines(), *said]
    assert status in (0, 1, 2), (words, lines)
    assert all(line.isprintable() and len(line) < 2000 for line in said), said
    assert bool(lines) or not status
    errors = [number for number, line in enumerate(said) if line.startswith("places: error: ")]
    if status == 2:
        assert len(errors) == 1, said
        assert len(said) - errors[0] <= 4, said
    assert not calls, calls
    return status, lines


@contextmanager
def in_time(limit_s: float = LIMIT_S) -> Iterator[None]:
    """End what hangs with an error."""

    def stop(_: int, frame: FrameType | None) -> None:
        raise Hang(f"no end after {limit_s:g} s, in {frame}")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
