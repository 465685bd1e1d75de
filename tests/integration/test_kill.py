"""A run that is killed again and again ends with the same bits as one that is left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integration.stages import FIT, read_metrics, run_apart

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

# 96 pictures: 6 batches or 3 steps in each of 10 epochs.
WORDS = [
    *("--model.net", "tests.networks.Dropping"),
    *("--trainer.max_epochs", "10"),
    *("--trainer.accumulate_grad_batches", "2"),
    *("--trainer.log_every_n_steps", "1"),
    *("--resume.every_n_steps", "2"),
    *("--trainer.default_root_dir", "kept"),
]
DEATHS = [
    ("batch start", 1),  # before there is any checkpoint
    ("before write", 3),  # of the very first
    ("batch end", 7),
    ("half write", 10),
    ("validation", 17),
    ("before rename", 20),
    ("epoch end", 29),
    ("after rename", 31),
    ("batch start", 38),
    ("half write", 47),  # of the end of an epoch
]


def _runs(root: Path) -> list[Path]:
    return sorted((root / "fit").iterdir(), key=lambda path: int(path.name))


def _newest(root: Path, name: str) -> dict[str, Any]:
    # A run that was killed after its last step leaves nothing for the next one to write.
    paths = [run / "checkpoints" / name for run in _runs(root)]
    newest = [path for path in paths if path.is_file()][-1]
    checkpoint: dict[str, Any] = torch.load(newest, weights_only=True)
    return checkpoint


def assert_same(first: object, second: object, name: str = "") -> None:
    """Compare nested data bit by bit."""
    assert type(first) is type(second), name
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        assert first.dtype == second.dtype, name
        assert torch.equal(first, second), name
    elif isinstance(first, dict) and isinstance(second, dict):
        assert first.keys() == second.keys(), name
        for key in first:
            assert_same(first[key], second[key], f"{name}.{key}")
    elif isinstance(first, list | tuple) and isinstance(second, list | tuple):
        assert len(first) == len(second), name
        for index, pair in enumerate(zip(first, second, strict=True)):
            assert_same(*pair, f"{name}.{index}")
    else:
        assert first == second, name


@pytest.fixture(scope="module")
def uninterrupted(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a run that nobody disturbed."""
    root = tmp_path_factory.mktemp("uninterrupted")
    words = ["--data.root", str(sample), *WORDS, "--trainer.default_root_dir", str(root)]
    assert run_apart("fit", words) == 0
    return root


def _check_same_as(uninterrupted: Path, killed: Path) -> None:
    expected, got = _newest(uninterrupted, "last.ckpt"), _newest(killed, "last.ckpt")
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch"):
        assert_same(expected[part], got[part], part)
    assert_same(expected["Places365"], got["Places365"])
    assert read_metrics(*_runs(uninterrupted)) == read_metrics(*_runs(killed))
    best = [_newest(root, "best.ckpt") for root in (uninterrupted, killed)]
    assert_same(best[0]["state_dict"], best[1]["state_dict"])
    assert not list(killed.rglob("*.partial"))


def test_kills_at_chosen_moments_change_nothing(
    uninterrupted: Path, sample: Path, tmp_path: Path
) -> None:
    words = ["--data.root", str(sample), *WORDS, "--ckpt_path", "last"]
    for moment, batch in DEATHS:
        death = ["--trainer.callbacks", "tests.deaths.Death"]
        death += ["--trainer.callbacks.moment", moment, "--trainer.callbacks.batch", str(batch)]
        assert run_apart("fit", [*words, *death]) == -signal.SIGKILL, moment
    assert run_apart("fit", words) == 0
    _check_same_as(uninterrupted, tmp_path / "kept")


def test_kills_at_random_moments_change_nothing(
    uninterrupted: Path, sample: Path, tmp_path: Path
) -> None:
    words = ["--data.root", str(sample), *WORDS, "--ckpt_path", "last"]
    command = [sys.executable, "-m", "places", "fit", *FIT, *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(command, env=environment)
    while first.poll() is None and not list(tmp_path.rglob("last.ckpt")):
        time.sleep(0.05)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    chance = random.Random(0)
    for _ in range(10):
        if run_apart("fit", words, kill_after_s=chance.uniform(0.5, 3.0)) == 0:
            break
    else:
        assert run_apart("fit", words) == 0
    _check_same_as(uninterrupted, tmp_path / "kept")
