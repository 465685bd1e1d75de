"""What Python does that a test must see: programs started, connections, files opened.

Python keeps an audit hook as long as the process lives, and each new thread passes it. So there is
one for all tests, added only where one of them asks. A thread that starts while another one is in a
hook of Python code is lost in Python 3.11 under coverage ("Cannot install a trace function while
another trace function is being installed"). So the hook is code of C while nobody watches.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial

PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect")

_Chosen = Callable[[str, tuple[object, ...]], bool]
_watched: list[tuple[_Chosen, list[str]]] = []


@contextmanager
def audited(is_chosen: _Chosen = lambda event, _: event in PROGRAMS) -> Iterator[list[str]]:
    """Note events, of all threads: https://docs.python.org/3/library/audit_events.html.

    Args:
        is_chosen: Tells of the name and the details of an event whether it is noted; by default
            each program that is started and each connection.

    Yields:
        The events until now, a line each.
    """
    _add_hook()
    events: list[str] = []
    _watched.append((is_chosen, events))
    _call(_note)
    try:
        yield events
    finally:
        _watched.pop()
        if not _watched:
            _call(_nothing)


_nothing: Callable[..., object] = dict[str, object]().get  # takes both arguments, in C
_hook: partial[object] = partial(_nothing)


@cache
def _add_hook() -> None:
    sys.addaudithook(_hook)


def _call(function: Callable[..., object]) -> None:
    _hook.__setstate__((function, (), {}, None))  # type: ignore[attr-defined]  # not in typeshed


def _note(event: str, details: tuple[object, ...]) -> None:
    for is_chosen, events in _watched:
        if is_chosen(event, details):
            events.append(f"{event} {details!r:.200}")
