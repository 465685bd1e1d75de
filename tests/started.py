"""What a command does to the world: the programs that it starts and its connections.

The functions that do it are replaced for a while. Python's audit hooks see more, but one stays as
long as its process lives, and under coverage Python 3.11 loses threads then: garbage is collected
while one thread calls the hook of `sys.settrace`, and another one that starts meanwhile ends with
"Cannot install a trace function while another trace function is being installed". So a test that
needs a hook adds it in a process of its own (see `tests/config/name_everything.py`).
"""

import _posixsubprocess
import os
import posix
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

_IN_OS = ("system", "execv", "execve", "fork", "forkpty", "posix_spawn", "posix_spawnp")
_DOORS: dict[str, tuple[Any, str]] = {
    **{f"{module.__name__}.{name}": (module, name) for module in (os, posix) for name in _IN_OS},
    "_posixsubprocess.fork_exec": (_posixsubprocess, "fork_exec"),
    "subprocess.Popen": (subprocess.Popen, "__init__"),
    "socket.socket.connect": (socket.socket, "connect"),
    "socket.socket.connect_ex": (socket.socket, "connect_ex"),
}


@contextmanager
def started(is_expected: Callable[[str], bool] = lambda _: False) -> Iterator[list[str]]:
    """Note what is started, in all threads.

    Args:
        is_expected: Tells of a call whether it need not be noted.

    Yields:
        The calls until now, such as `subprocess.Popen(['ls'])`.
    """
    calls: list[str] = []

    def noted(door: str, function: Callable[..., Any], is_method: bool) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: object, **options: object) -> object:
            words = args[1:] if is_method else args
            said = f"{door}({', '.join(map(repr, (*words, *options.values())))})"
            if not is_expected(said):
                calls.append(said[:200])
            return function(*args, **options)

        return call

    with ExitStack() as stack:
        for door, (owner, name) in _DOORS.items():
            replacement = noted(door, getattr(owner, name), isinstance(owner, type))
            stack.enter_context(patch.object(owner, name, replacement))
        yield calls
