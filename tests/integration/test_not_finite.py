"""Networks whose outputs are NaN or infinite: counted, said, and never published as scores."""

import csv
import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.integration.stages import fit_in, read_metrics, run

MODEL = ["--model.net", "tests.networks.Overflowing"]
PICTURES = ["--data.batch_size", "7", "--data.image_size", "32", "--data.resize_size", "36"]


@pytest.mark.parametrize("stage", ["validate", "test"])
@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_scores_are_refused(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], stage: str, bad: str
) -> None:
    words = [
        "--data.root",
        sample,
        *MODEL,
        f"--model.net.bad={bad}",
        "--random_weights=true",
        *PICTURES,
    ]
    assert run(stage, *words) == 2
    error = capsys.readouterr().err.partition("places: error: ")[2]
    num = _num_bright(sample)
    assert f"NaN or infinite for {num:,} of 36 pictures" in error
    assert 0 < num < 36
    assert "--ckpt_path FILE" in error
    assert len(error.splitlines()) <= 4
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert not left & {"result.json", "confusion.png"}
    assert not any("/top1" in name or "/loss" in name for _, name in _metrics(tmp_path))


def test_no_file_for_the_test_server_is_written(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--data.test_split", "test", *MODEL]
    assert run("test", *words, "--random_weights=true", *PICTURES) == 2
    error = capsys.readouterr().err
    assert "no submission.txt: the outputs of the network are NaN or infinite for " in error
    assert not [path for path in tmp_path.rglob("*") if "submission" in path.name]


def test_predictions_say_which_pictures_have_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, colour in [("a", "black"), ("b", "white"), ("c", "black")]:
        Image.new("RGB", (40, 50), colour).save(photos / f"{name}.png")
    words = ["--data", "ImageFiles", "--data.images", photos, "--data.image_size", "32"]
    assert run("predict", *words, "--random_weights=true", *MODEL) == 2
    error = capsys.readouterr().err
    assert "no predictions: the outputs of the network are NaN or infinite for 1 of 3" in error
    assert "3 pictures, 3 rows, 0 unreadable" in error
    (file,) = tmp_path.rglob("predictions.csv")
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert [bool(row["category_1"]) for row in rows] == [True, False, True]
    assert [bool(row["probability_5"]) for row in rows] == [True, False, True]
    assert [row["error"] for row in rows] == [
        "",
        "the outputs of the network are NaN or infinite",
        "",
    ]
    assert not list(file.parent.glob(".*"))


def test_a_training_goes_on_and_its_best_is_another(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 3]
    for monitor, mode in [("val/loss", "min"), ("val/top1", "max")]:
        root = tmp_path / mode
        best = ["--checkpoint.monitor", monitor, "--checkpoint.mode", mode]
        net = ["--model.net", "tests.networks.FailingValidations", "--model.net.good", 1]
        folder = fit_in(root, *words, *best, *net)
        checkpoint = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
        assert checkpoint["global_step"] == 12  # after the second of three epochs
        metrics = read_metrics(folder)
        scores = {step: float(value) for (step, name), value in metrics.items() if name == monitor}
        assert [math.isfinite(score) for score in scores.values()] == [False, True, False]
        counts = [float(value) for (_, name), value in metrics.items() if name == "val/not_finite"]
        assert counts == [36, 36]
    error = capsys.readouterr().err
    assert error.count("NaN or infinite for 36 of 36 pictures, so it has no scores") == 4


def test_a_training_without_any_score_has_no_best(sample: Path, tmp_path: Path) -> None:
    net = ["--model.net", "tests.networks.FailingValidations", "--model.net.good", -1]
    folder = fit_in(tmp_path, "--data.root", sample, "--trainer.max_epochs", 1, *net)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {
        "last.ckpt",
        "previous.ckpt",
    }
    assert not (folder / "confusion.png").exists()


def test_json_has_no_nan(sample: Path, tmp_path: Path) -> None:
    folder = fit_in(tmp_path, "--data.root", sample, "--trainer.max_epochs", 1)
    assert run("test", "--ckpt_path", folder) == 0
    (file,) = Path().rglob("result.json")
    json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def _metrics(folder: Path) -> dict[tuple[int, str], str]:
    return read_metrics(*(path.parent for path in folder.rglob("metrics.csv")))


def _num_bright(sample: Path) -> int:
    """Return for how many pictures of the split 'val' the network gives no numbers."""
    from places.data import open as open_split  # imports torch

    loader = open_split(sample, "val", batch_size=7, image_size=32, resize_size=36)
    num = 0
    for batch in loader:
        num += int((batch["image"].float().mean(dim=(1, 2, 3)) > 128)[batch["weight"] > 0].sum())
    return num
