import inspect
from pathlib import Path

import pytest
import torch
import yaml

from places.cli.config import change_table
from places.cli.main import main
from places.config.compare import compare
from places.data.image_files import ImageFiles

CONFIGS = Path(__file__).parents[2] / "configs"


def _write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_show_prints_every_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "resnet50.yaml"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["init_args"]["net"]["init_args"]["depth"] == 50
    assert config["model"]["init_args"]["label_smoothing"] == 0.0
    assert config["data"]["init_args"]["image_size"] == 224


def test_diff_of_equal_recipes_is_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = (CONFIGS / "demo.yaml").read_text().replace("5.0e-4", "0.0005")
    other = _write(tmp_path / "other.yaml", text + "seed_everything: 0\n")
    assert main(["config", "diff", "demo.yaml", other]) == 0
    assert "resolve to the same config" in capsys.readouterr().out


def test_diff_shows_what_was_written_and_what_it_implies(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    overlay = (
        "model:\n  optimizer:\n    class_path: torch.optim.AdamW\n    init_args: {lr: 0.001}\n"
    )
    _write(tmp_path / "adamw.yaml", overlay)
    assert main(["config", "diff", "resnet50.yaml", "resnet50.yaml+adamw.yaml"]) == 1
    output = capsys.readouterr().out
    rows = [line for line in output.splitlines() if "model.optimizer" in line]
    assert "class_path" in rows[0]
    assert any("betas" in row and "0.999" in row for row in rows)
    assert any("momentum" in row for row in rows)
    assert not any("model.net" in line for line in output.splitlines())


def test_trouble_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "diff", "demo.yaml"]) == 2
    assert "diff takes 2 recipes, 1 were given" in capsys.readouterr().err
    assert main(["config", "sow", "demo.yaml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "places: error: config has no part 'sow'",
        "  nearest:  show",
        "  parts:    show, diff",
    ]


def test_secrets_are_not_printed() -> None:
    changes = compare({"logger": {"api_key": None}}, {"logger": {"api_key": "very-secret"}})
    assert list(change_table(changes, "a", "b").columns[2].cells) == ["********"]


def test_no_class_inherits_the_defaults_of_another(tmp_path: Path) -> None:
    from places.cli.resolve import resolve

    config = resolve(["fit", "--model.optimizer", "AdamW", "--model.net", "places.models.VGG"])
    adamw = inspect.signature(torch.optim.AdamW).parameters
    arguments = config["model"]["init_args"]["optimizer"]["init_args"]
    assert [arguments[key] for key in ("lr", "weight_decay")] == [
        adamw[key].default for key in ("lr", "weight_decay")
    ]
    config = resolve(["predict", "--data", "ImageFiles", "--data.images", "photos"])
    for key, value in config["data"]["init_args"].items():
        default = inspect.signature(ImageFiles).parameters[key].default
        assert key == "images" or value in (default, str(default))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model:\n  optimizer: {class_path: AdamW, init_args: {lr: 0.01}}\n")
    config = resolve(["fit", "--config", str(recipe)])
    arguments = config["model"]["init_args"]["optimizer"]["init_args"]
    assert (arguments["lr"], arguments["weight_decay"]) == (0.01, 0.01)
