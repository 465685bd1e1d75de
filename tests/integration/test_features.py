"""What can be switched on in training goes on exactly after an interruption, and works in fit."""

import csv
import json
from pathlib import Path

import pytest
import torch
from tests.integration.stages import load_weights, read_metrics, run, run_together

MIDDLE = 4  # a step in the middle of an epoch of 6 batches, of one or two batches each
MIXED = [
    *("--model.augment.trivial", "true"),
    *("--model.augment.erase", 0.5),
    *("--model.augment.mixup", 0.4),
    *("--model.augment.cutmix", 1.0),
]
AVERAGED = ["--model.average_decay", 0.9]
# The first epoch in crops of 32 pixels, the second in 64.
GROWING = [
    *("--data.start_image_size", 32, "--data.image_size", 64, "--data.resize_size", 64),
    *("--data.grow_epochs", "[0,1]"),
]


def _losses(folder: Path) -> dict[int, str]:
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    return {int(row["step"]): row["train/loss"] for row in rows}


def _check_resume(sample: Path, root: Path, words: list[object]) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 2, *words]
    words += ["--resume.every_n_steps", MIDDLE, "--resume.keep_all", "true"]
    # In the middle of two lines of the log too.
    words += ["--trainer.log_every_n_steps", 3, "--trainer.limit_val_batches", 0]
    assert run("fit", *words, "--trainer.default_root_dir", root / "whole") == 0
    whole = root / "whole" / "fit" / "0"
    words += ["--ckpt_path", whole / "checkpoints" / f"step-{MIDDLE}.ckpt"]
    assert run("fit", *words, "--trainer.default_root_dir", root / "resumed") == 0
    resumed = root / "resumed" / "fit" / "0"
    expected, got = (load_weights(run / "checkpoints" / "last.ckpt") for run in (whole, resumed))
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    losses, later = _losses(whole), _losses(resumed)
    assert later
    assert later == {number: losses[number] for number in later}


def _words(mixed: bool, twice: bool, averaged: bool, growing: bool) -> list[object]:
    words: list[object] = [*(MIXED if mixed else []), *(AVERAGED if averaged else [])]
    words += GROWING if growing else []
    return [*words, "--trainer.accumulate_grad_batches", 2 if twice else 1]


# Half of all combinations, so chosen that any three of the four meet in every way.
@pytest.mark.first_covers
@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True], ids=["unmixed", "mixed"])
@pytest.mark.parametrize("twice", [False, True], ids=["each", "accumulated"])
@pytest.mark.parametrize("averaged", [False, True], ids=["single", "averaged"])
def test_resume_is_exact(
    mixed_sample: Path, tmp_path: Path, mixed: bool, twice: bool, averaged: bool
) -> None:
    growing = mixed ^ twice ^ averaged
    _check_resume(mixed_sample, tmp_path, _words(mixed, twice, averaged, growing))


# Any two of these, and with them what changes the shapes that are compiled.
@pytest.mark.first_covers
@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True], ids=["each", "accumulated"])
@pytest.mark.parametrize("averaged", [False, True], ids=["single", "averaged"])
def test_resume_is_exact_with_a_compiled_network(
    sample: Path, tmp_path: Path, twice: bool, averaged: bool
) -> None:
    words = _words(True, twice, averaged, growing=twice ^ averaged)
    _check_resume(sample, tmp_path, [*words, "--model.compile", "true"])


@pytest.mark.slow
def test_resume_is_exact_with_what_rsb_recipes_have(sample: Path, tmp_path: Path) -> None:
    lamb = ["--model.optimizer", "places.training.lamb.Lamb", "--model.optimizer.lr", 0.02]
    rest = ["--model.loss", "binary", "--model.schedule", "linear", "--model.warmup_epochs", 0.5]
    _check_resume(sample, tmp_path, [*MIXED, *AVERAGED, *lamb, *rest])


def test_the_average_is_validated_and_can_be_tested(sample: Path, tmp_path: Path) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 2, *AVERAGED]
    best_by = ["--checkpoint.monitor", "val_ema/loss", "--checkpoint.mode", "min"]
    assert run("fit", *words, *best_by) == 0
    (folder,) = (tmp_path / "runs" / "fit").iterdir()
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["val_ema/loss"]]
    best = min(rows, key=lambda row: float(row["val_ema/loss"]))
    for number, (use_average, name) in enumerate([("true", "val_ema"), ("false", "val")], 1):
        words = ["--ckpt_path", folder, "--model.use_average", use_average, *best_by]
        assert run("test", *words, "--trainer.default_root_dir", tmp_path / use_average) == 0
        (file_of_scores,) = (tmp_path / use_average).rglob("result.json")
        result = json.loads(file_of_scores.read_text(encoding="utf-8"))
        assert result["config"]["model"]["init_args"]["use_average"] is (use_average == "true")
        for score in ("loss", "top5"):
            expected = float(best[f"{name}/{score}"])
            assert result["scores"][score] == pytest.approx(expected, abs=1e-5), number


def test_an_impossible_value_is_refused_by_name(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("fit", "--data.root", sample, "--model.augment.erase", 1.5) == 2
    assert "augment.erase is a probability, not 1.5" in capsys.readouterr().err


@pytest.mark.no_cover
@pytest.mark.slow
def test_two_processes_train_like_one(sample: Path, tmp_path: Path) -> None:
    # Without batch norm, whose statistics are those of one process. The draws are the same.
    words: list[object] = ["--data.root", sample, "--trainer.max_epochs", 1, *MIXED, *AVERAGED]
    words += ["--model.net", "tests.test_classifier.Plain", "--trainer.accumulate_grad_batches", 2]
    weights, metrics = [], []
    for num_processes in (1, 2):
        root = tmp_path / str(num_processes)
        where = ["--trainer.default_root_dir", root]
        assert run_together(num_processes, "fit", *words, *where) == [0] * num_processes
        weights.append(load_weights(root / "fit" / "0" / "checkpoints" / "last.ckpt"))
        metrics.append(read_metrics(root / "fit" / "0"))
    # What is logged is that of the pictures of both.
    assert metrics[0].keys() == metrics[1].keys() >= {(1, "train/loss"), (1, "train/top1")}
    for place, logged in metrics[0].items():
        assert float(metrics[1][place]) == pytest.approx(float(logged), rel=1e-4), place
    assert any(key.startswith("average.") for key in weights[0])
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, rtol=1e-4, atol=1e-5, msg=key)
