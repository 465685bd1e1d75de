"""Each door through which a program starts or a connection opens is watched, for a while."""

import multiprocessing
import os
import pickle
import posix
import socket
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from tests.started import started


def _connect() -> None:
    with socket.socket() as end, suppress(OSError):
        end.connect(("127.0.0.1", 1))


def _exec() -> None:
    with suppress(OSError):
        os.execv("no-such-program", ["x"])


def _process() -> None:
    process = multiprocessing.get_context("spawn").Process()
    process.start()
    process.join()


DOORS: dict[str, Callable[[], object]] = {
    "os.system('true')": lambda: os.system("true"),
    "posix.system('true')": lambda: pickle.loads(b"cposix\nsystem\n(S'true'\ntR."),
    "subprocess.Popen(['true']": lambda: subprocess.run(["true"], check=True),
    "subprocess.Popen('true'": lambda: os.popen("true").close(),
    "os.execv": _exec,
    "os.posix_spawn": lambda: os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0),
    "_posixsubprocess.fork_exec": _process,
    "socket.socket.connect(('127.0.0.1', 1))": _connect,
}


@pytest.mark.parametrize("door", DOORS)
def test_what_starts_is_noted_in_all_threads(door: str) -> None:
    with started() as calls:
        thread = threading.Thread(target=DOORS[door])
        thread.start()
        thread.join()
    assert any(call.startswith(door) for call in calls), calls


def test_what_is_expected_is_not_noted_and_nothing_stays_replaced() -> None:
    before = os.system, posix.system, subprocess.Popen.__init__, vars(socket.socket).get("connect")
    with started(lambda call: "true" in call) as calls:
        subprocess.run(["true"], check=True)
    assert not calls
    after = os.system, posix.system, subprocess.Popen.__init__, vars(socket.socket).get("connect")
    assert after == before
