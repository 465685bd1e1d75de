from pathlib import Path

import pytest
import torch
from tests.integration.stages import load_weights, run

NUM_STEPS_PER_EPOCH = 6  # 96 pictures in batches of 16
EVERY_STEP = [
    *("--resume.every_n_train_steps", "1"),
    *("--resume.save_top_k", "-1"),
    *("--resume.filename", "{step}"),
    *("--resume.save_on_train_epoch_end", "false"),
    *("--resume.auto_insert_metric_name", "false"),
]


@pytest.fixture(scope="module")
def uninterrupted(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of a run of three epochs, one after every step."""
    root = tmp_path_factory.mktemp("uninterrupted")
    words = ["--data.root", sample, "--trainer.max_epochs", 3, *EVERY_STEP]
    assert run("fit", *words, "--trainer.default_root_dir", root) == 0
    return root / "fit" / "0" / "checkpoints"


@pytest.mark.parametrize("step", [1, 4, 6, 7, 11, 12, 13, 17])
@pytest.mark.parametrize("num_threads", [1, 3])
def test_resume_from_any_step_gives_the_same_weights(
    uninterrupted: Path, sample: Path, tmp_path: Path, step: int, num_threads: int
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 3, *EVERY_STEP]
    checkpoint = uninterrupted / f"{step}.ckpt"
    words += ["--ckpt_path", checkpoint, "--data.num_threads", num_threads]
    assert run("fit", *words) == 0
    for later in range(step + 1, 3 * NUM_STEPS_PER_EPOCH + 1):
        (resumed,) = tmp_path.rglob(f"{later}.ckpt")
        expected, got = load_weights(uninterrupted / f"{later}.ckpt"), load_weights(resumed)
        assert all(torch.equal(expected[key], got[key]) for key in expected), later


def test_other_data_are_refused(
    uninterrupted: Path, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 3, "--data.seed", 7]
    assert run("fit", *words, "--ckpt_path", uninterrupted / "4.ckpt") == 2
    assert "training data differ: seed was 0, is 7" in capsys.readouterr().err


def test_a_batch_size_that_does_not_lead_there_is_refused(
    uninterrupted: Path, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 3, "--data.batch_size", 7]
    assert run("fit", *words, "--ckpt_path", uninterrupted / "4.ckpt") == 2
    assert "no step of data.batch_size 7 ends at" in capsys.readouterr().err
