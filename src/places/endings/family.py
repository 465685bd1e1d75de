"""Processes that end together: those of one run on a machine, and those that one starts to help.

Lightning starts the processes of a run from the first one, and lets them live when it is killed.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen, TimeoutExpired

from places.endings.signals import advice, end_now, hush, received

_PARENT = "PLACES_PARENT"  # tells a process that was started the number of the one that did it
_PR_SET_PDEATHSIG = 1  # of Linux: prctl(2)
_PERIOD_S = 0.2
_PATIENCE_S = 3.0
_END_S = 20.0
KILLED = "a process that says nothing was killed, mostly for want of memory"

_children: list[Popen[bytes]] = []


def mark_children() -> None:
    """Let the processes that Lightning starts from now on know who started them."""
    os.environ[_PARENT] = str(os.getpid())


def end_with_starter() -> None:
    """Let a process of a run end with the one that started it, be it Lightning's or torchrun.

    To be called early. Programs that a run starts beside its processes are left alone.
    """
    marked = os.environ.pop(_PARENT, None)
    if "TORCHELASTIC_RUN_ID" in os.environ:
        parent = os.getppid()
        if parent == 1 and b"torch" not in Path("/proc/1/cmdline").read_bytes():
            os._exit(1)  # torchrun has gone already, and left this process to the system
        end_with(parent)
    elif marked and os.environ.get("LOCAL_RANK", "0") != "0":
        end_with(int(marked))


def end_with(parent: int) -> None:
    """Let this process be killed when the one that started it ends, however that ends.

    Args:
        parent: Number of the other process. If it is gone already, this one ends here.
    """
    if os.getppid() == parent and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if not is_alive(parent):
        os._exit(1)
    if os.getppid() != parent or sys.platform != "linux":
        # Another system, or a program between the two.
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(process: int) -> None:
    while is_alive(process):
        time.sleep(_PERIOD_S)
    os._exit(1)


def is_alive(process: int) -> bool:
    """Tell whether a process of this machine has not ended."""
    try:
        os.kill(process, 0)
        # One that has ended keeps its number until its own starter asks how.
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2]
    except (ProcessLookupError, OverflowError):  # no process can have such a number
        return False
    except OSError:  # another user's, or another system
        return True
    return state.split()[0] not in ("Z", "X")


def watch(children: Sequence[Popen[bytes]]) -> None:
    """End this process when one that it started fails; they are the other processes of the run."""
    _children[:] = children
    threading.Thread(target=_watch, name="places-children", daemon=True).start()


def _watch() -> None:
    running = dict(enumerate(_children, 1))
    while running:
        time.sleep(_PERIOD_S)
        for number, child in list(running.items()):
            if child.poll() is not None:
                del running[number]
                if child.returncode:
                    _end_with(number, child.returncode)


def _end_with(number: int, status: int) -> None:
    if received():
        return  # all of them are ending
    for child in _children:
        child.kill()
    if 0 < status < 128:
        hush()  # it has said why
        end_now(0, status)
    name = signal.Signals(-status if status < 0 else status - 128).name
    lines = [f"error: process {number} of this run was ended by {name}", KILLED, *advice()]
    end_now(0, 1, "\n  ".join(lines))


def wait_to_speak(is_lost: bool) -> None:
    """Wait before this process says what ends it: another may say more.

    What ended the first process, too, is said by that one: others are ended meanwhile, see
    `end_with_starter`. And what ended another one is said by that one.

    Args:
        is_lost: Whether all that is known is that another process has ended.
    """
    if is_lost:
        if not _children:  # else `_watch` says it
            hush()  # a launcher ends this one, too
        time.sleep(2 * _PATIENCE_S)
    else:
        time.sleep(_PATIENCE_S)


def wait_for_children() -> None:
    """Let the other processes come to their ends: they would be killed with this one."""
    for child in _children:
        try:
            child.wait(_END_S)
        except TimeoutExpired:
            child.kill()
    _children.clear()
