"""Ctrl-C and its like: the exit status of the signal, one line, nothing half-written."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.integration.stages import FIT, MACHINE, fit_in, run

from places.cli.main import main
from places.console import Counter

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
TIME_LIMIT_S = 120
PIXELS = ["--pixels", "mixed:0.5"]
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]
WORDS = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "ended by SIGTERM",
    signal.SIGHUP: "ended by SIGHUP",
    signal.SIGUSR1: "ended by SIGUSR1",
}


@pytest.fixture(scope="module")
def trained(mixed_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch."""
    root = tmp_path_factory.mktemp("trained")
    return fit_in(root, "--data.root", mixed_sample, "--trainer.max_epochs", 1)


def _death(moment: str, number: int, batch: int = 0) -> list[str]:
    callback = "--trainer.callbacks"
    words = [callback, "tests.deaths.Death", f"{callback}.number", str(int(number))]
    return [*words, f"{callback}.moment", moment, f"{callback}.batch", str(batch)]


def _hidden(root: Path) -> list[Path]:
    return [path for path in root.rglob(".*") if path.is_file()]


@pytest.mark.parametrize(
    ("moment", "batch", "said"),
    [
        ("loader", 0, "interrupted: nothing is saved"),
        ("train start", 0, "interrupted: nothing is saved"),
        ("batch start", 3, "interrupted after step 3: resume with  --ckpt_path {last}"),
        ("batch end", 3, "interrupted after step 3: resume with  --ckpt_path {last}"),
        ("validation", 6, "interrupted: resume with  --ckpt_path {last}, of step 0"),
        ("epoch end", 6, "interrupted after step 6: resume with  --ckpt_path {last}"),
    ],
)
def test_an_interrupted_training_says_how_to_go_on(
    moment: str,
    batch: int,
    said: str,
    mixed_sample: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--data.root", mixed_sample, "--trainer.max_epochs", 2]
    assert run("fit", *words, *_death(moment, signal.SIGINT, batch)) == 130
    lines = capsys.readouterr().err.splitlines()
    last = Path("runs/fit/0/checkpoints/last.ckpt")
    assert lines[-1] == f"places: {said.format(last=last)}"
    assert len([line for line in lines if "interrupted" in line]) == 1
    assert not _hidden(tmp_path)
    assert last.is_file() == ("resume" in said)
    if moment == "batch end":
        assert run("fit", *words, "--ckpt_path", "last") == 0


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("stage", ["test", "predict"])
def test_a_signal_ends_a_stage(
    stage: str,
    number: signal.Signals,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = signal.getsignal(number)
    words = ["--ckpt_path", trained, "--data.batch_size", 8, *_death(stage, number)]
    assert run(stage, *words) == 128 + number
    line = f"places: {WORDS[number]}"
    if stage == "predict":
        folder = next(tmp_path.rglob("config.yaml")).parent.relative_to(tmp_path)
        table = folder / "predictions.csv"
        line += f": 8 of 26 rows are in {table}; the same command goes on"
        assert len(table.read_text().splitlines()) == 1 + 8
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["places: not as in the checkpoint:", lines[1], line]
    assert not list(tmp_path.rglob("result.json"))
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", ["sample", "pack", "verify", "bench"])
def test_a_signal_ends_a_tool(
    command: str,
    number: signal.Signals,
    mixed_sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = {
        "sample": ["--root", "new", "--num_train", "8", "--num_val", "2", "--num_test", "2"],
        "pack": [str(mixed_sample / "archives" / "val_256.tar"), "--root", "new", *PIXELS],
        "verify": [str(mixed_sample)],
        "bench": ["loader", str(mixed_sample), "--batch_size", "16", "--image_size", "32"],
    }
    advance = Counter.advance

    def kill_and_advance(counter: Counter, num: int) -> None:
        os.kill(os.getpid(), number)
        advance(counter, num)

    monkeypatch.setattr(Counter, "advance", kill_and_advance)
    assert main([command, *words[command]]) == 128 + number
    assert capsys.readouterr().err == f"places: {WORDS[number]}\n"
    assert not _hidden(tmp_path)


def test_nohup_is_respected(mixed_sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    advance = Counter.advance

    def hang_up_and_advance(counter: Counter, num: int) -> None:
        os.kill(os.getpid(), signal.SIGHUP)
        advance(counter, num)

    monkeypatch.setattr(Counter, "advance", hang_up_and_advance)
    try:
        assert main(["verify", str(mixed_sample)]) == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


# Main threads that do not hear of a signal, each while a file is being written.
HANGING = """
import ctypes, signal, time
from pathlib import Path
import places.data.packing.verify as module
import places.endings.signals as signals
from places import __main__
from places.files import written_whole

def swallow():
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            pass

def hang():
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)  # another thread is told
    ctypes.CDLL(None).sleep(60)

def verify(root: Path) -> int:
    '''Check.

    Args:
        root: The folder.
    '''
    with written_whole(root / "file.txt") as partial:
        partial.write_text("half")
        HANG()
    return 0

module.verify = verify
signals._REACTION_S, signals._PATIENCE_S = LIMITS
__main__.run()
"""


def _start(command: list[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _wait(condition: object) -> None:
    start_s = time.monotonic()
    while not condition():  # type: ignore[operator]  # a function
        assert time.monotonic() - start_s < TIME_LIMIT_S
        time.sleep(0.005)


@pytest.mark.parametrize("hang", ["swallow", "hang"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_command_that_does_not_hear_is_ended_all_the_same(
    hang: str, times: int, tmp_path: Path
) -> None:
    limits = "0.3, 0.5" if times == 1 else "50, 50"
    text = HANGING.replace("HANG()", f"{hang}()").replace("LIMITS", limits)
    process = _start([sys.executable, "-c", text, "verify", str(tmp_path)])
    _wait(lambda: len(_hidden(tmp_path)) == 1)
    time.sleep(0.1)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    _, errors = process.communicate(timeout=TIME_LIMIT_S)
    assert (process.returncode, errors) == (130, "places: interrupted\n")
    assert not list(tmp_path.iterdir())


def _catches_sigterm(process: "subprocess.Popen[str]") -> bool:
    """Tell whether `run` has begun: Python alone handles no SIGTERM."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_modules_are_imported(number: signal.Signals) -> None:
    process = _start([sys.executable, "-m", "places", "config", "show", "demo.yaml"])
    _wait(lambda: "libtorch" in Path(f"/proc/{process.pid}/maps").read_text())
    process.send_signal(number)
    output, errors = process.communicate(timeout=TIME_LIMIT_S)
    assert (process.returncode, output) == (128 + number, "")
    assert errors == f"places: {WORDS[number]}\n"


LEAVING_SLOWLY = """
import os, sys, time
from places import __main__

class Slowly:
    def find_spec(name, path, target=None):
        if name == "places.cli.main":
            time.sleep(1)

leave = os._exit
os._exit = lambda status: (time.sleep(0.5), leave(status))
sys.meta_path.insert(0, Slowly)
__main__.run()
"""


def test_a_second_signal_while_the_process_leaves_says_nothing_again() -> None:
    process = _start([sys.executable, "-c", LEAVING_SLOWLY, "config", "show", "demo.yaml"])
    _wait(lambda: _catches_sigterm(process))
    for _ in range(3):
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIME_LIMIT_S)
    assert (process.returncode, errors) == (130, "places: interrupted\n")


@pytest.mark.no_cover
@pytest.mark.slow
def test_a_signal_at_any_moment_of_any_command(
    mixed_sample: Path, trained: Path, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    tools = [
        ["verify", str(mixed_sample), "--decode"],
        ["sample", "--root", "drawn", "--num_train", "250"],
        ["pack", str(mixed_sample / "archives" / "val_256.tar"), "--root", "packed", *PIXELS],
        ["config", "show", "demo.yaml"],
        ["fit", "--data.root", str(mixed_sample), "--trainer.max_epochs", "20", *FIT],
        ["test", "--ckpt_path", str(trained), *MACHINE],
        ["predict", "--ckpt_path", str(trained), *MACHINE],
    ]
    for words in tools * 2:
        is_long = words[0] in ("fit", "test", "predict", "config", "sample")
        process = _start([sys.executable, "-m", "places", *words])
        _wait(lambda process=process: _catches_sigterm(process))
        delays_s = [chance.uniform(0, 10 if is_long else 0.4), chance.uniform(0, 0.5)]
        for delay_s in delays_s[: chance.choice([1, 2])]:
            time.sleep(delay_s)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=TIME_LIMIT_S)
        case = f"seed {seed}: {words[0]} {delays_s}: {errors}"
        assert process.returncode in (0, 130), case
        assert "Traceback" not in errors, case
        assert "Exception ignored" not in errors, case
        if process.returncode == 130:
            last = [line for line in errors.splitlines() if line.startswith("places: interrupted")]
            assert len(last) == 1, case
        assert not list(tmp_path.rglob("*.partial")), case
