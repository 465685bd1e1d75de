"""How much memory a network takes, each in a process of its own, which may also fail alone.

This file is a program, too: it imports PyTorch once, and splits off a process for each order that
it reads. `measure_alone` talks to it.
"""

import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from places.bench.study.choice import find_network
from places.bench.study.prepare import prepared_step
from places.bench.study.ways import way_of
from places.console import printable, put
from places.endings.family import end_with
from places.errors import PlacesError

_MAX_REASON = 160
_NUM_BATCHES = 2


class Alone:
    """Measures in processes of their own, as a context."""

    def __enter__(self) -> Self:
        """Start the program that splits them off."""
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "places.bench.study.alone", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": paths},
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it, and what it is doing."""
        self._server.kill()
        self._server.communicate()

    def measure(self, order: Mapping[str, Any]) -> tuple[int | None, str | None]:
        """Return the most memory that a network took, in bytes, or why it failed.

        Args:
            order: The arguments of `prepared_step`, as names and numbers.

        Raises:
            PlacesError: The program that measures has ended.
        """
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with suppress(BrokenPipeError):
            self._server.stdin.write(f"{json.dumps(dict(order))}\n")
            self._server.stdin.flush()
        line = self._server.stdout.readline()
        if not line:
            raise PlacesError("the process that measures memory has ended", "add  --no_memory")
        answer = json.loads(line)
        return answer["bytes"], answer["reason"]


def reason_of(error: BaseException) -> str:
    """Return in one line why a network cannot be run in some way."""
    text = str(error).strip().partition("\n")[0]
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, PlacesError) or type(error) is RuntimeError:
        reason = text or reason
    return printable(reason)[:_MAX_REASON]


def _serve() -> None:
    end_with(int(sys.argv[1]))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)  # exporters and compilers talk; what matters comes as an answer
    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(read)
            os.dup2(nowhere, 1)
            end_with(os.getppid())
            answer = _answer(json.loads(line))
            with os.fdopen(write, "w") as pipe:
                json.dump(answer, pipe)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            text = pipe.read()
        _, status = os.waitpid(child, 0)
        if not text:
            number = os.waitstatus_to_exitcode(status)
            why = "killed, mostly for want of memory" if number == -9 else f"ended by {number}"
            text = json.dumps({"bytes": None, "reason": f"its process was {why}"})
        put(text)


def _answer(order: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"bytes": _peak_bytes(order), "reason": None}
    except Exception as error:
        return {"bytes": None, "reason": reason_of(error)}


def _peak_bytes(order: dict[str, Any]) -> int:
    """Return how much more memory than PyTorch itself two batches take at most."""
    torch.set_num_threads(order["num_threads"])
    before = _status_bytes("VmRSS")
    step = prepared_step(
        find_network(order["network"]),
        way_of(order["way"]),
        order["work"],
        batch_size=order["batch_size"],
        image_size=order["image_size"],
        num_classes=order["num_classes"],
        device=torch.device("cpu"),
    )
    step()
    gc.collect()
    with suppress(AttributeError, OSError):  # what exporters and compilers took and gave back
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):  # where it is refused, the peak of preparing counts too
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    for _ in range(_NUM_BATCHES):
        step()
    return max(0, _status_bytes("VmHWM") - before)


def _status_bytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) * 1024 for x in lines if x.startswith(f"{key}:"))


if __name__ == "__main__":
    _serve()
