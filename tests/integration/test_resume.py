import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.integration.stages import load_weights, read_metrics, run

# 96 pictures in batches of 16: 6 batches in an epoch.
EVERY_STEP = ["--resume.every_n_steps", "1", "--resume.keep_all", "true"]
EPOCHS = ["--trainer.max_epochs", "3"]
STOP = "--trainer.callbacks"
COURSES = {
    "epochs": EPOCHS,
    "steps": ["--trainer.max_steps", "18"],
    # One step in an epoch.
    "single": [
        *("--trainer.max_steps", "4", "--data.batch_size", "96"),
        *("--trainer.log_every_n_steps", "1"),
    ],
    "validations": [*EPOCHS, "--trainer.val_check_interval", "2"],
    "accumulation": [*EPOCHS, "--trainer.accumulate_grad_batches", "4"],
    "dropout": [*EPOCHS, "--model.net", "tests.networks.Dropping"],
    "raw": ["--trainer.max_epochs", "2"],
}
# Other shards than of JPEGs alone.
SHARDS = {"raw": "raw_sample", "validations": "mixed_sample", "accumulation": "mixed_sample"}


@pytest.fixture(scope="module")
def shards_of(sample: Path, raw_sample: Path, mixed_sample: Path) -> Callable[[str], Path]:
    """The shards that a course is about."""
    roots = {"raw_sample": raw_sample, "mixed_sample": mixed_sample}
    return lambda course: roots.get(SHARDS.get(course, ""), sample)


@pytest.fixture(scope="module")
def uninterrupted(
    shards_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Runs that take their courses, with a resume point after every step: their folders."""

    # Each when it is asked for, since the tests of this file are shared by several processes.
    @functools.cache
    def folder_of(course: str) -> Path:
        root = tmp_path_factory.mktemp(course)
        words = ["--data.root", shards_of(course), *EVERY_STEP]
        assert run("fit", *words, *COURSES[course], "--trainer.default_root_dir", root) == 0
        return root / "fit" / "0"

    return folder_of


@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("course", "step"),
    [
        *(("epochs", step) for step in (0, 6, 7, 17)),
        *(("steps", step) for step in (0, 5, 13)),
        *(("single", step) for step in (0, 3)),
        *(("validations", step) for step in (2, 3)),
        *(("accumulation", step) for step in (1, 2, 3)),
        ("dropout", 9),
        ("raw", 7),
    ],
)
def test_resume_from_any_step_gives_the_same_weights_and_metrics(
    uninterrupted: Callable[[str], Path],
    shards_of: Callable[[str], Path],
    tmp_path: Path,
    course: str,
    step: int,
) -> None:
    expected = uninterrupted(course)
    checkpoints = expected / "checkpoints"
    words = ["--data.root", shards_of(course), *EVERY_STEP, *COURSES[course]]
    words += ["--ckpt_path", checkpoints / f"step-{step}.ckpt", "--data.num_threads", step % 3 + 1]
    assert run("fit", *words) == 0
    got = tmp_path / "runs" / "fit" / "0"
    steps = {path.name for path in checkpoints.glob("step-*") if int(path.stem[5:]) >= step}
    assert steps == {path.name for path in (got / "checkpoints").glob("step-*")}
    for name in [*steps, "last.ckpt"]:
        weights = load_weights(checkpoints / name)
        resumed = load_weights(got / "checkpoints" / name)
        assert all(torch.equal(weights[key], resumed[key]) for key in weights), name
    metrics = read_metrics(expected)
    assert read_metrics(got) == {key: metrics[key] for key in metrics if key[0] >= step}


@pytest.mark.first_covers
@pytest.mark.slow
@pytest.mark.parametrize(
    ("course", "end", "step"),
    [
        ("accumulation", [f"{STOP}.batch", 11], 2),  # half accumulated after step 3
        ("epochs", ["--trainer.max_epochs", 2], 12),
        ("epochs", [f"{STOP}.batch", 9], 9),
        ("steps", ["--trainer.max_steps", 4], 4),
        ("steps", ["--trainer.max_steps", 6], 6),  # the end of an epoch
    ],
)
def test_a_run_that_ended_goes_on_when_it_is_given_more(
    uninterrupted: Callable[[str], Path],
    shards_of: Callable[[str], Path],
    tmp_path: Path,
    course: str,
    end: list[object],
    step: int,
) -> None:
    words = ["--data.root", shards_of(course), *COURSES[course]]
    stop = [f"{STOP}+=tests.deaths.Stop"] if f"{STOP}.batch" in end else []
    assert run("fit", *words, *stop, *end) == 0
    assert run("fit", *words, "--ckpt_path", "last") == 0
    first, second = (tmp_path / "runs" / "fit" / number for number in "01")
    assert torch.load(first / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == step
    expected = load_weights(uninterrupted(course) / "checkpoints" / "last.ckpt")
    weights = load_weights(second / "checkpoints" / "last.ckpt")
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    metrics = read_metrics(uninterrupted(course))
    assert read_metrics(second) == {key: metrics[key] for key in metrics if key[0] >= step}
    assert run("fit", *words, "--ckpt_path", "last") == 0
    assert not (tmp_path / "runs" / "fit" / "2" / "checkpoints" / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("flag", "reason"),
    [
        ("--data.seed", "training data differ: seed was 0, is 7"),
        ("--data.batch_size", "no step of data.batch_size 7 ends at"),
    ],
)
def test_another_order_than_that_of_the_run_is_refused(
    uninterrupted: Callable[[str], Path],
    sample: Path,
    capsys: pytest.CaptureFixture[str],
    flag: str,
    reason: str,
) -> None:
    checkpoint = uninterrupted("epochs") / "checkpoints" / "step-4.ckpt"
    words = ["--data.root", sample, "--trainer.max_epochs", 3, flag, 7]
    assert run("fit", *words, "--ckpt_path", checkpoint) == 2
    assert reason in capsys.readouterr().err
