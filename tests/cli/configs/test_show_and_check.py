import json
from pathlib import Path

import pytest
import yaml

from places.cli.main import main
from places.config.changes.leaves import leaves

CONFIGS = Path(__file__).parents[3] / "configs"
BAD = """\
model:
  net:
    class_path: places.models.ResNet
    init_args: {dept: 50, zero_init_residual: maybe}
  optimizer:
    class_path: torch.optim.SGDD
  label_smoothing: a lot
data:
  batch_size: 12
  batch_size: 13
trainer:
  max_epoch: 3
  callbacks:
    - class_path: lightning.pytorch.callbacks.EarlyStopping
      init_args: {monitor: val/top1, patiense: 3}
    - class_path: nowhere.Nothing
"""


def test_show_prints_every_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "resnet50.yaml"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["model"]["init_args"]["net"]["init_args"]["depth"] == 50
    assert config["model"]["init_args"]["label_smoothing"] == 0.0
    assert config["data"]["init_args"]["image_size"] == 224


def test_show_tells_where_each_value_comes_from(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        "# a comment\ntrainer:\n  max_epochs: 3\n  callbacks:\n  - LearningRateMonitor\n"
    )
    words = ["resnet50.yaml+overlay.yaml", "--data.batch_size", "64", "--model.compile=true"]
    assert main(["config", "show", *words, "--origin", "--format", "json"]) == 0
    table = json.loads(capsys.readouterr().out)
    origins = {key: row["origin"] for key, row in table.items()}
    recipe = CONFIGS / "resnet50.yaml"
    lines = recipe.read_text().splitlines()
    depth = next(n for n, line in enumerate(lines, 1) if "depth: 50" in line)
    assert origins["model.net.depth"].endswith(f"configs/resnet50.yaml:{depth}")
    assert origins["trainer.max_epochs"] == "overlay.yaml:3"
    assert table["data.batch_size"] == {"value": 64, "origin": "--data.batch_size"}
    assert table["model.compile"] == {"value": True, "origin": "--model.compile"}
    assert origins["data.image_size"] == origins["model.net.zero_init_residual"] == "default"
    # What is written is what the file has: nothing else is said to come from it.
    written = leaves(yaml.safe_load(recipe.read_text()))
    from_recipe = {key for key, place in origins.items() if "resnet50.yaml" in place}
    assert from_recipe == set(written) - {"data.batch_size", "trainer.max_epochs"}
    assert main(["config", "show", *words, "--orign"]) == 2
    assert "nearest:      --origin" in capsys.readouterr().err


def test_check_tells_all_that_is_wrong_with_all_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "bad.yaml").write_text(BAD)
    (tmp_path / "configs" / "broken.yaml").write_text("trainer:\n  max_epochs: [1\n")
    (tmp_path / "configs" / "good.yaml").write_text("data: {batch_size: 8}\n")
    secret = "hunter2hunter2"
    logger = f"class_path: WandbLogger, init_args: {{api_key: {secret}}}"
    (tmp_path / "configs" / "secret.yaml").write_text(f"trainer:\n  logger: {{{logger}}}\n")
    assert main(["config", "check"]) == 1
    output = capsys.readouterr().out
    assert secret not in output
    found = [line for line in output.splitlines() if line.startswith("configs/")]
    lines = BAD.splitlines()
    expected = {
        "dept:": "no option 'model.net.dept'",
        "zero_init": "wrong value for model.net.zero_init_residual: maybe",
        "SGDD": "wrong value for model.optimizer: torch.optim.SGDD",
        "a lot": "wrong value for model.label_smoothing: a lot",
        "batch_size: 13": "data.batch_size is here twice, first in line 9",
        "max_epoch:": "no option 'trainer.max_epoch'",
        "patiense": "no option 'trainer.callbacks.patiense'",
        "nowhere": "wrong value for trainer.callbacks: nowhere.Nothing",
    }
    for mark, message in expected.items():
        number = next(n for n, line in enumerate(lines, 1) if mark in line)
        place = number if mark not in ("SGDD", "nowhere") else None
        matching = [line for line in found if message in line]
        assert len(matching) == 1, (message, found)
        assert place is None or matching[0] == f"configs/bad.yaml:{place}: {message}"
    assert len([line for line in found if line.startswith("configs/bad")]) == len(expected)
    assert any(line.startswith("configs/broken.yaml:3: ") for line in found)
    assert any("api_key looks like a secret" in line for line in found)
    assert "nearest:      trainer.max_epochs" in output
    assert output.splitlines()[-1] == f"4 recipes: {len(expected) + 2} problems"
    words = ["configs/good.yaml", "configs/broken.yaml", "--format", "github"]
    assert main(["config", "check", *words]) == 1
    assert capsys.readouterr().out.startswith(
        "::error file=configs/broken.yaml,line=3,title=config::"
    )


def test_check_tells_where_it_stops(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("places.cli.configs.check._MAX_PROBLEMS", 2)
    wrong = {"batch_size": "a", "image_size": "b", "resize_size": "c"}
    text = "".join(f"  {key}: {value}\n" for key, value in wrong.items())
    (tmp_path / "bad.yaml").write_text(f"data:\n{text}")
    assert main(["config", "check", "bad.yaml"]) == 1
    output = capsys.readouterr().out
    *_, more, hint, number = output.splitlines()
    assert more.endswith(": perhaps more: only the first 2 values that are refused are told")
    assert (hint, number) == ("  correct these and check again", "1 recipe: 3 problems")


def test_the_shipped_recipes_have_nothing_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    recipes = sorted(CONFIGS.rglob("*.yaml"))[:2]  # the others are resolved by test_recipes.py
    assert main(["config", "check", *map(str, recipes)]) == 0
    assert capsys.readouterr().out == "2 recipes: nothing wrong\n"
    assert main(["config", "check", "nowhere.yaml"]) == 2


def test_check_tells_of_what_is_missing_and_goes_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "broken.yaml").write_text("trainer:\n  max_epochs: [1\n")
    words = ["none", "empty.yaml", "nowhere.yaml", "broken.yaml"]
    assert main(["config", "check", *words]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "2 recipes: 4 problems"
    for start in ("none: no recipes in this", "empty.yaml: ", "nowhere.yaml: no ", "broken.yaml:3"):
        assert sum(line.startswith(start) for line in lines) == 1, start
    assert main(["config", "check"]) == 2
    assert "places config check RECIPE..." in capsys.readouterr().err
