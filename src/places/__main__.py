"""`places` and `python -m places`: the command in a process of its own, from its first moment."""

import atexit
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE_S = 5.0


def run() -> NoReturn:
    """Run the command of this process and exit with its status."""
    # While modules are imported, and again while Python ends, there is nothing to put in order.
    for number in _ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    from places.cli.main import main
    from places.console import open_standard_files

    open_standard_files()
    statuses: list[int] = []
    atexit.register(_leave, statuses)  # the first that is registered, so the last that runs
    statuses.append(status := main())
    if status >= 128:
        # Who asked for an end does not wait for threads that hang in a network.
        threading.Thread(target=_exit_later, args=(status,), daemon=True).start()
    sys.exit(status)


def _end(number: int, frame: FrameType | None) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # a second one would say it again
    signals = sys.modules.get("places.endings.signals")
    if signals is not None and hasattr(signals, "end_now"):
        signals.end_now(number)  # knows whether all is said
    if os.environ.get("LOCAL_RANK", "0") == "0":  # of all processes of a run one speaks
        os.write(2, b"places: interrupted\n" if number == signal.SIGINT else b"places: ended\n")
    os._exit(128 + number)


def _leave(statuses: list[int]) -> None:
    """End at once what is left of a command that has come to its end.

    Python would still clear all its modules, and die of a signal that comes meanwhile.
    """
    for status in statuses:
        from places.console import discard_output

        discard_output()
        os._exit(status)


def _exit_later(status: int) -> None:
    time.sleep(_PATIENCE_S)
    os._exit(status)


if __name__ == "__main__":
    run()
