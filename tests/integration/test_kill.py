"""A run that is killed again and again ends with the same bits as one that is left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integration.recording import read_record
from tests.integration.stages import CHILD, FIT, read_metrics, run_apart

pytestmark = pytest.mark.slow

# 96 pictures, raw ones and JPEGs: 6 batches or 3 steps in each of 9 epochs. Every other step is
# logged, so that half of the resume points have sums that are not logged yet.
WORDS = [
    *("--model.net", "tests.networks.Dropping"),
    *("--model.schedule", "cosine", "--model.warmup_epochs", "2"),
    *("--model.average_decay", "0.9"),
    *("--model.augment.mixup", "0.4"),
    *("--trainer.max_epochs", "9"),
    *("--trainer.accumulate_grad_batches", "2"),
    *("--trainer.log_every_n_steps", "2"),
    "--trainer.callbacks+=tests.integration.recording.Record",
    *("--resume.every_n_steps", "1"),
    *("--trainer.default_root_dir", "kept"),
]
DEATHS = [
    ("train start", 0),  # before there is any checkpoint
    ("half write", 0),  # of the very first
    ("before write", 3),
    ("batch end", 7),
    ("half write", 10),
    ("validation", 17),
    ("before rename", 20),
    ("epoch end", 29),
    ("after rename", 31),
    ("batch start", 38),
    ("half write", 47),  # of the end of an epoch
]
NUM_RANDOM_KILLS = 10


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
def uninterrupted(mixed_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a run that nobody disturbed."""
    root = tmp_path_factory.mktemp("uninterrupted")
    words = ["--data.root", str(mixed_sample), *WORDS, "--trainer.default_root_dir", str(root)]
    assert run_apart("fit", words) == 0
    return root


def _check_same_as(uninterrupted: Path, killed: Path) -> None:
    expected, got = _newest(uninterrupted, "last.ckpt"), _newest(killed, "last.ckpt")
    assert expected["training"]["sums"].any()
    parts = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "training")
    for part in (*parts, "Places365"):
        assert_same(expected[part], got[part], part)
    best = [_newest(root, "best.ckpt") for root in (uninterrupted, killed)]
    assert_same(best[0]["state_dict"], best[1]["state_dict"])
    assert not list(killed.rglob("*.partial"))
    _check_logs(uninterrupted, killed)


def _check_logs(uninterrupted: Path, killed: Path) -> None:
    """Compare the metrics and the batches of all runs, those too that were lost and repeated."""
    metrics = read_metrics(*_runs(uninterrupted))
    assert read_metrics(*_runs(killed)) == metrics
    (whole,) = map(read_record, _runs(uninterrupted))
    batches = {(row.epoch, row.batch_idx): row for row in whole}
    trained = set()
    for run in _runs(killed):
        for key, value in read_metrics(run).items():
            assert metrics[key] == value, (run.name, key)
        for row in read_record(run):
            assert row == batches[row.epoch, row.batch_idx]
            trained.add((row.epoch, row.batch_idx))
    assert trained == batches.keys()


@pytest.mark.no_cover
def test_kills_at_chosen_moments_change_nothing(
    uninterrupted: Path, mixed_sample: Path, tmp_path: Path
) -> None:
    words = ["--data.root", str(mixed_sample), *WORDS, "--ckpt_path", "last"]
    for moment, batch in DEATHS:
        death = ["--trainer.callbacks+=tests.deaths.Death"]
        death += ["--trainer.callbacks.moment", moment, "--trainer.callbacks.batch", str(batch)]
        assert run_apart("fit", [*words, *death]) == -signal.SIGKILL, moment
    assert run_apart("fit", words) == 0
    _check_same_as(uninterrupted, tmp_path / "kept")


def _after(num_batches: int, delay_s: float, root: Path) -> Callable[[], bool]:
    """Return a function that says when a process has trained on so many batches, and a bit more."""
    already = _num_trained(root)

    def is_time() -> bool:
        is_reached = _num_trained(root) >= already + num_batches
        if is_reached:
            time.sleep(delay_s)
        return is_reached

    return is_time


def _num_trained(root: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in root.rglob("trained-0.jsonl"))


@pytest.mark.no_cover
def test_kills_at_random_moments_of_the_training_change_nothing(
    uninterrupted: Path, mixed_sample: Path, tmp_path: Path
) -> None:
    words = ["--data.root", str(mixed_sample), *WORDS, "--ckpt_path", "last"]
    command = [sys.executable, "-m", "places", "fit", *FIT, *words]
    first = subprocess.Popen(command, env={**os.environ, **CHILD})
    is_time_to_die = _after(1, 0, tmp_path)
    while first.poll() is None and not is_time_to_die():
        time.sleep(0.001)
    first.kill()
    assert first.wait() == -signal.SIGKILL
    chance = random.Random(0)
    for _ in range(NUM_RANDOM_KILLS):
        # Each process trains, and all of them together train on less than there is.
        is_time_to_die = _after(chance.randint(1, 6), chance.uniform(0, 0.03), tmp_path)
        assert run_apart("fit", words, is_time_to_die) == -signal.SIGKILL
    assert run_apart("fit", words) == 0
    _check_same_as(uninterrupted, tmp_path / "kept")
