"""How processes learn of each other's ends. Whole runs are killed in integration/test_families."""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sized
from pathlib import Path

import pytest

from places.endings import family, signals

WAIT = "import time; time.sleep(60)"


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The statuses with which this process would have ended."""
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        if threading.current_thread() is threading.main_thread():
            raise SystemExit(status)

    before = set(threading.enumerate())
    monkeypatch.setattr(os, "_exit", leave)
    yield statuses
    family.wait_for_children()
    for thread in set(threading.enumerate()) - before:
        thread.join(20)


def _start(code: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-S", "-c", code])


def _wait_for(things: Sized) -> None:
    start_s = time.monotonic()
    while not len(things):
        assert time.monotonic() - start_s < 60
        time.sleep(0.01)


def _state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


def test_who_was_started_by_a_process_that_has_ended_ends_too(exits: list[int]) -> None:
    starter = _start("")
    while _state(starter.pid) != "Z":  # ended, and nobody has asked how
        time.sleep(0.01)
    with pytest.raises(SystemExit):
        family.end_with(starter.pid)
    starter.wait()
    with pytest.raises(SystemExit):
        family.end_with(starter.pid)
    assert exits == [1, 1]


def test_who_is_not_its_child_follows_a_process_to_its_end(exits: list[int]) -> None:
    starter = _start(WAIT)
    family.end_with(starter.pid)
    time.sleep(0.5)
    assert exits == []
    starter.kill()
    starter.wait()
    _wait_for(exits)
    assert exits[0] == 1


def test_a_child_asks_the_system_to_be_killed_with_its_parent(
    exits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []

    class System:
        def prctl(self, *words: int) -> None:
            asked.append(words)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: System())
    family.end_with(os.getppid())
    assert asked == [(1, signal.SIGKILL, 0, 0, 0)]
    assert exits == []


@pytest.mark.parametrize(
    ("environment", "followed"),
    [
        ({"PLACES_PARENT": "17", "LOCAL_RANK": "1"}, [17]),
        ({"PLACES_PARENT": "17", "LOCAL_RANK": "0"}, []),
        ({"PLACES_PARENT": "17"}, []),
        ({"LOCAL_RANK": "1"}, []),
        ({"TORCHELASTIC_RUN_ID": "x"}, [os.getppid()]),
    ],
)
def test_processes_of_a_run_follow_who_started_them(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], followed: list[int]
) -> None:
    for name in ("PLACES_PARENT", "LOCAL_RANK", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parents: list[int] = []
    monkeypatch.setattr(family, "end_with", parents.append)
    family.end_with_starter()
    assert parents == ([os.getppid()] if "TORCHELASTIC_RUN_ID" in environment else followed)
    assert "PLACES_PARENT" not in os.environ
    family.mark_children()
    assert os.environ.pop("PLACES_PARENT") == str(os.getpid())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # see `end`
@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("import os; os.kill(os.getpid(), 9)", 1, "process 1 of this run was ended by SIGKILL"),
        ("raise SystemExit(143)", 1, "process 1 of this run was ended by SIGTERM"),
    ],
)
def test_when_one_process_fails_all_end(
    monkeypatch: pytest.MonkeyPatch, exits: list[int], code: str, status: int, said: str
) -> None:
    ends: list[tuple[object, ...]] = []

    def end(*words: object) -> None:
        ends.append(words)
        raise SystemExit  # as the true one, it does not return

    monkeypatch.setattr(family, "end_now", end)
    with signals.raised():
        other = _start(WAIT)
        family.watch([_start(code), other])
        _wait_for(ends)
    assert ends[0][:2] == (0, status)
    assert said in str(ends[0])
    assert other.wait() == -signal.SIGKILL


def test_processes_that_end_well_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[tuple[object, ...]] = []
    monkeypatch.setattr(family, "end_now", lambda *words: ends.append(words))
    monkeypatch.setattr(family, "_END_S", 0.5)
    slow = _start(WAIT)
    children = [_start(""), slow]
    family.watch(children)
    watcher = next(t for t in threading.enumerate() if t.name == "places-children")
    family.wait_for_children()
    assert children[0].returncode == 0
    assert slow.wait() == -signal.SIGKILL
    watcher.join(20)
    assert not watcher.is_alive()


def test_others_speak_before_one_that_only_lost_them(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with signals.raised():
        family.wait_to_speak(is_lost=False)
        family.wait_to_speak(is_lost=True)
    assert slept[0] < slept[1]


@pytest.mark.timeout(30)
def test_a_forked_process_does_not_hold_up_the_end_of_a_command() -> None:
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    with signals.raised():
        child.start()
    child.kill()  # only now: it had the pipe of the signals
    child.join()
