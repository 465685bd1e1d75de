"""Signals such as Ctrl-C end a command with its exit status, one line and nothing half-written.

The first is raised in the main thread as `Stopped`, so that all is put in order on the way out.
A thread ends the process without that on the second Ctrl-C, and when the way out takes too long: a
library may swallow what is raised, or wait for ever in code that is not Python's.
"""

import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

from places.console import is_first_process, printable_lines, show, show_cursor
from places.files import remove_unfinished

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_OF_TERMINALS = (signal.SIGINT, signal.SIGHUP)
_REACTION_S = 2.0  # until the main thread handles a signal, if it does not hang in other code
_PATIENCE_S = 8.0  # until all is in order; less than the 10 s after which Docker kills


class Stopped(SystemExit):
    """A signal ends the command; no `Exception`, so that nobody takes it for a failure.

    Not a `KeyboardInterrupt`, for which Lightning ends the process itself, with status 1.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class _Ending:
    """What is known of the end of the command that runs; one at a time in a process."""

    received = 0  # number of the signal that came first, or 0
    noted: frozenset[int] = frozenset()  # signals that somebody asks for, so they are not raised
    is_over = False  # nothing is raised any more
    takes_time = False  # to save, which may be slow
    advice = ""
    has_spoken = False


_ending = _Ending()
_last_word = threading.RLock()  # a handler may end what is just being said


def received() -> int:
    """Return the number of the signal that came first since the command began, or 0."""
    return _ending.received


def note(*numbers: int) -> None:
    """Note some signals from now on, and raise no others: who calls this asks `received`.

    Ctrl-C ends the process some seconds later even so, unless `take_time` is called.
    """
    _ending.noted = frozenset(numbers)
    if _ending.received and _ending.received not in numbers:
        raise Stopped(_ending.received)


def take_time() -> None:
    """Wait as long as it takes for what is done now because of a signal; not on a second Ctrl-C."""
    _ending.takes_time = True


def advise(text: str) -> None:
    """Say what is left if a signal ends the command from now on, and how to go on."""
    _ending.advice = text


def advice() -> list[str]:
    """Return the lines that `advise` left."""
    return [_ending.advice] if _ending.advice else []


def hush() -> None:
    """Let nothing more be said of the end of this command: another process says why."""
    _ending.has_spoken = True


def say_last(text: str) -> None:
    """Write the last line of the command, unless there was one: of all processes the first does."""
    with _last_word:
        has_spoken, _ending.has_spoken = _ending.has_spoken, True
        if not has_spoken and is_first_process():
            show(f"places: {text}")


def last_line(number: int) -> str:
    """Return what is said at the end of a command that a signal ended."""
    name = signal.Signals(number).name
    how = "interrupted" if number == signal.SIGINT else f"ended by {name}"
    return f"{how}: {_ending.advice}" if _ending.advice else how


@contextmanager
def raised() -> Iterator[None]:
    """Have the signals that end a command raised in the main thread as `Stopped`.

    What a terminal sends and is ignored already stays so, as `nohup` wants it; launchers ignore
    for themselves what they pass on. In other threads this does nothing: Python lets none of them
    handle signals.
    """
    global _ending
    _ending = ending = _Ending()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) or signal.SIG_DFL for number in ENDING}
    listened, tells = os.pipe()
    os.set_blocking(tells, False)
    watcher = threading.Thread(
        target=_watch, args=(listened, ending), name="places-signals", daemon=True
    )
    watcher.start()
    hook = sys.unraisablehook
    told = signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
    try:
        sys.unraisablehook = partial(_hook, hook)
        for number, handler in before.items():
            if handler != signal.SIG_IGN or number not in _OF_TERMINALS:
                signal.signal(number, _on_signal)
        yield
        note(*ending.noted)  # raises what a library swallowed
    finally:
        ending.is_over = True
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(told)
        sys.unraisablehook = hook
        os.close(tells)
        watcher.join()
        os.close(listened)


@contextmanager
def not_for_children() -> Iterator[None]:
    """Let processes that are started meanwhile not hear of Ctrl-C, which a terminal sends to all.

    This one hears of it afterwards, and ends them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_now(number: int, status: int | None = None, line: str = "") -> None:
    """End this process at once, from any thread; whatever it was writing is removed.

    Args:
        number: The signal that ends it, or 0.
        status: Its exit status, by default that of the signal.
        line: What is said, by default what is said of the signal.
    """
    with _last_word:
        remove_unfinished()
        if not _ending.has_spoken and is_first_process():
            show_cursor()
            text = printable_lines(f"places: {line or last_line(number)}") + "\n"
            # Not by Python's file, whose lock another thread may hold, and not if nobody reads.
            with suppress(OSError, ValueError):
                if select.select([], [2], [], 0.5)[1]:
                    os.write(2, text.encode())
        os._exit(128 + number if status is None else status)


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _ending.received or _ending.is_over:
        return  # the first is on its way; `_watch` counts
    _ending.received = number
    if number not in _ending.noted:
        raise Stopped(number)


def _watch(listened: int, ending: _Ending) -> None:
    """Read the numbers of signals as they come, also while the main thread cannot handle them."""
    first, came_s, wait_s = 0, 0.0, math.inf
    while True:
        left_s = None if wait_s == math.inf else max(0.0, came_s + wait_s - time.monotonic())
        if not select.select([listened], [], [], left_s)[0]:
            if not ending.takes_time and (wait_s == _PATIENCE_S or not ending.received):
                end_now(first)
            wait_s = math.inf if ending.takes_time else _PATIENCE_S
            continue
        numbers = os.read(listened, 64)
        if not numbers:
            return  # the command has ended
        for number in filter(ENDING.__contains__, numbers):
            if first and number == signal.SIGINT:
                end_now(number)
            if not first and (number == signal.SIGINT or number not in ending.noted):
                came_s, wait_s = time.monotonic(), _REACTION_S
            first = first or number


def _hook(
    hook: "Callable[[sys.UnraisableHookArgs], object]", unraisable: "sys.UnraisableHookArgs"
) -> None:
    """Let nothing be shown of a `Stopped` that Python could not pass on: `_watch` ends it."""
    if not isinstance(unraisable.exc_value, Stopped):
        hook(unraisable)


def _forget() -> None:
    """Let a forked process handle signals as any other: they are meant for its parent."""
    for number in ENDING:
        if signal.getsignal(number) is _on_signal:
            default = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if default else signal.SIG_DFL)
            told = signal.set_wakeup_fd(-1)
            if told >= 0:
                os.close(told)  # `_watch` of the parent waits until nobody has it


os.register_at_fork(after_in_child=_forget)
