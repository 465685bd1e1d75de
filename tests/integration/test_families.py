"""Processes of one run end together, and one of them speaks."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.stages import CHILD, FIT

pytestmark = pytest.mark.slow

MARK = "PLACES_TEST_FAMILY"
TIME_LIMIT_S = 120
TOGETHER_S = 40  # on a busy machine; those that wait for each other do so for minutes
TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp_find_unused_parameters_false"]


def _start(mark: Path, *words: object, launcher: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "places", *map(str, words), *TWO],
        env={**os.environ, **CHILD, MARK: str(mark)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _family(mark: Path) -> dict[int, int]:
    """Return the processes of a test by their rank on this machine; -1 is the one of torchrun."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            entries = (process / "environ").read_bytes().split(b"\0")
            command = (process / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        values = dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)
        if values.get(MARK.encode()) == os.fsencode(mark) and command:
            rank = int(values.get(b"LOCAL_RANK", 0))
            found[-1 if b"torch.distributed.run" in command else rank] = int(process.name)
    return found


def _wait(condition: Callable[[], bool], limit_s: float = TIME_LIMIT_S) -> None:
    start_s = time.monotonic()
    while not condition():
        assert time.monotonic() - start_s < limit_s
        time.sleep(0.01)


def _end(process: "subprocess.Popen[str]", mark: Path) -> str:
    """Return what a run says until all of its processes have ended, which has to be soon."""
    try:
        _, errors = process.communicate(timeout=TOGETHER_S)
        _wait(lambda: not _family(mark), TOGETHER_S)
    finally:
        for left in _family(mark).values():
            os.kill(left, signal.SIGKILL)
    return errors


def _fit(sample: Path) -> list[object]:
    return ["fit", "--data.root", sample, "--trainer.max_epochs", 500, *FIT]


# While it imports, the second one ends with the first by the same call as later.
@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("rank", "moment"),
    [(1, "training"), (1, "start"), (1, "import"), (0, "start"), (0, "training")],
)
def test_a_process_that_is_killed_takes_the_others_along(
    rank: int, moment: str, sample: Path, tmp_path: Path
) -> None:
    process = _start(tmp_path, *_fit(sample))
    _wait(lambda: 1 in _family(tmp_path))
    child = _family(tmp_path)[1]
    if moment == "import":
        _wait(lambda: "libtorch" in Path(f"/proc/{child}/maps").read_text())
    elif moment == "training":
        _wait(lambda: bool(list(tmp_path.rglob("last.ckpt"))))
    os.kill(_family(tmp_path)[rank], signal.SIGKILL)
    errors = _end(process, tmp_path)
    if rank == 0:
        assert process.returncode == -signal.SIGKILL
        return
    assert process.returncode == 1
    said = [line for line in errors.splitlines() if line.startswith("places: error: ")]
    assert said == ["places: error: process 1 of this run was ended by SIGKILL"]


@pytest.mark.no_cover
@pytest.mark.parametrize("rank", [-1, 1])
def test_torchrun_and_its_processes_end_together(rank: int, sample: Path, tmp_path: Path) -> None:
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
    process = _start(tmp_path, *_fit(sample), launcher=launcher)
    _wait(lambda: {0, 1} <= _family(tmp_path).keys())
    os.kill(_family(tmp_path)[rank], signal.SIGKILL)
    _end(process, tmp_path)
    assert process.returncode != 0


@pytest.mark.first_covers
@pytest.mark.parametrize("launcher", ["lightning", "torchrun"])
def test_what_all_processes_know_is_said_once(launcher: str, sample: Path, tmp_path: Path) -> None:
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m")
    prefix = torchrun if launcher == "torchrun" else ()
    words = ["--trainer.default_root_dir", tmp_path / "runs", "--data.batch_size", 16]
    given = ["fit", "--trainer.max_epochs", 1, *FIT, *words]
    process = _start(tmp_path, *given, "--data.root", tmp_path / "nowhere", launcher=prefix)
    _, errors = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode != 0
    assert errors.count("places: error: no shards for split 'train' in") == 1, errors
    assert not _family(tmp_path)
    process = _start(tmp_path, *given, "--data.root", sample, launcher=prefix)
    _, errors = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 0, errors
    lines = [line for line in errors.splitlines() if line.startswith("places: ")]
    assert len(lines) == 2
    assert lines[0].startswith(f"places: this run is {tmp_path}/runs/fit/0, config ")
    assert lines[1] == f"places: a page to look at: {tmp_path}/runs/fit/0/report.html"
    assert "Warning" not in errors


def test_an_interrupt_of_all_processes_is_said_once(sample: Path, tmp_path: Path) -> None:
    process = _start(tmp_path, *_fit(sample), "--trainer.default_root_dir", tmp_path / "runs")
    _wait(lambda: bool(list(tmp_path.rglob("last.ckpt"))))
    os.killpg(process.pid, signal.SIGINT)
    errors = _end(process, tmp_path)
    assert process.returncode == 130
    (line,) = [line for line in errors.splitlines() if "interrupted" in line]
    assert f"resume with  --ckpt_path {tmp_path}/runs/fit/0/checkpoints/last.ckpt" in line
    assert "Traceback" not in errors
