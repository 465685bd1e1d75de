"""Does a command keep the memory of a batch for the next one? Counted in page faults."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

_RUN = """
import resource, sys
from places.cli.main import main
status = main(sys.argv[1:])
import torch
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.zeros(100_000_000, dtype=torch.uint8)
before = faults()
for _ in range(4):
    torch.zeros(100_000_000, dtype=torch.uint8)
print("status", status, "faults", faults() - before)
"""
_PAGES = 4 * 100_000_000 // 4096
pytestmark = [
    pytest.mark.no_cover,
    pytest.mark.skipif(
        platform.libc_ver()[0] != "glibc"
        or tuple(map(int, platform.libc_ver()[1].split("."))) < (2, 35),
        reason="only for a new glibc",
    ),
]


def _num_faults(words: list[str], monkeypatch: pytest.MonkeyPatch, **variables: str) -> int:
    monkeypatch.delenv("MALLOC_ARENA_TEST", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = subprocess.run(
        [sys.executable, "-c", _RUN, *words], capture_output=True, text=True, check=True
    )
    line = result.stdout.splitlines()[-1].split()
    assert line[:2] == ["status", "0"], result.stderr
    return int(line[3])


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A command that classifies one picture."""
    Image.new("RGB", (80, 60), "green").save(tmp_path / "one.jpg")
    return ["predict", "one.jpg", "--random_weights", "--trainer.accelerator", "cpu"]


def test_predict_keeps_memory(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _num_faults(words, monkeypatch) < _PAGES / 2


def test_what_somebody_has_set_stays(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _num_faults(words, monkeypatch, MALLOC_ARENA_TEST="8") > _PAGES * 0.9


@pytest.mark.parametrize(("stage", "keeps"), [("validate", True), ("test", True), ("fit", False)])
def test_all_but_training_keep_it(
    stage: str, keeps: bool, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [stage, "--data.root", str(sample), "--data.batch_size", "4", "--trainer.fast_dev_run"]
    words += ["true", "--trainer.accelerator", "cpu"]
    if stage != "fit":
        words.append("--random_weights")
    num_faults = _num_faults(words, monkeypatch)
    assert num_faults < _PAGES / 2 if keeps else num_faults > _PAGES * 0.9
