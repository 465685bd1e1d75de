"""What `places predict` says of itself, and without pictures."""

from pathlib import Path

import pytest
from tests.integration.stages import fit_in, run

from places.cli.main import main


@pytest.mark.parametrize("flag", ["--help", "--help_all"])
def test_help_tells_of_pictures_and_nothing_of_shards(
    flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", flag]) == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: places predict PICTURES...")
    assert "\nPICTURES:\n" in text
    for option in ("--data.images", "--data.max_pixels", "--data.null", "--predictions.top_k"):
        assert option in text
    for word in ("Places365", "--data.root", "shuffle_window", "crop_scale", "\b", "\\x08"):
        assert word not in text
    assert main(["predict", "--data.help"]) == 0
    text = capsys.readouterr().out
    assert "--data.images" in text
    assert "Places365" not in text
    assert main(["test", flag]) == 0
    text = capsys.readouterr().out
    assert "--data.root" in text
    assert "PICTURES" not in text


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--random_weights"],
        ["--model.net", "VGG", "--random_weights"],
        ["--data", "ImageFiles", "--random_weights"],
        ["--config", "resnet18", "--random_weights"],
    ],
)
def test_without_pictures_predict_says_what_to_type(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("places: error: no pictures are given")
    assert lines[1].strip().startswith("type:          places predict PICTURES...")
    assert len(lines) == 3
    assert not list(Path("runs").rglob("*")) if Path("runs").exists() else True


def test_without_pictures_the_shards_of_a_checkpoint_are_taken(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = Path("data")
    data.symlink_to(sample)
    run_folder = fit_in(Path("runs"), "--data.root", "data", "--trainer.max_epochs", 1)
    assert run("predict", "--ckpt_path", run_folder) == 0
    data.unlink()
    capsys.readouterr()
    assert run("predict", "--ckpt_path", run_folder) == 2
    error = capsys.readouterr().err
    assert "no pictures are given, and no shards for split 'test' in data" in error
    assert run("predict", "--ckpt_path", run_folder, "--data.root", "data") == 2
    assert "places pack" in capsys.readouterr().err
