import inspect
import json
from pathlib import Path

import pytest
import torch
import yaml
from jsonschema import Draft202012Validator

from places.cli.main import main
from places.config.changes.as_json import SCHEMA
from places.data.image_files import ImageFiles

CONFIGS = Path(__file__).parents[3] / "configs"
ADAMW = "model:\n  optimizer:\n    class_path: torch.optim.AdamW\n    init_args: {lr: 0.001}\n"


def _write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_diff_of_equal_recipes_is_0(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = (CONFIGS / "demo.yaml").read_text().replace("5.0e-4", "0.0005")
    other = _write(tmp_path / "other.yaml", text + "seed_everything: 0\n")
    assert main(["config", "diff", "demo.yaml", other]) == 0
    assert "resolve to the same config" in capsys.readouterr().out


def test_diff_shows_what_was_written_and_what_it_implies(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _write(tmp_path / "adamw.yaml", ADAMW)
    assert main(["config", "diff", "resnet50.yaml", "resnet50.yaml+adamw.yaml"]) == 1
    lines = capsys.readouterr().out.splitlines()
    (head,) = (n for n, line in enumerate(lines) if "model.optimizer.class_path" in line)
    block = [line.split() for line in lines[head : head + 8]]
    assert block[0][1:] == [
        *("model.optimizer.class_path", "torch.optim.SGD", "->", "torch.optim.AdamW"),
        "adamw.yaml:3",
    ]
    # Lines and keys stay whole where nobody knows how wide a line may be.
    assert ["~", "lr", "0.1", "->", "0.001", "adamw.yaml:4"] in block
    adamw = inspect.signature(torch.optim.AdamW).parameters
    (betas,) = (line for line in lines if "+ betas" in line)
    assert str(list(adamw["betas"].default)) in betas
    assert betas.endswith("implied: default of torch.optim.AdamW")
    assert any("- momentum" in line and "0.9" in line for line in lines)
    assert not any("model.net" in line or "null" in line for line in lines)


def test_an_overlay_shows_what_it_writes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["resnet50.yaml", "resnet50.yaml+overlays/wandb.yaml", "--files", str(tmp_path)]
    assert main(["config", "diff", *words, "--fail_on", "results"]) == 1
    lines = capsys.readouterr().out.splitlines()
    rows = [line for line in lines if line.lstrip().startswith(("+", "-", "~"))]
    assert rows[0].split()[1] == "trainer.logger[WandbLogger].class_path"
    overlay = yaml.safe_load((CONFIGS / "overlays" / "wandb.yaml").read_text())
    project = overlay["trainer"]["logger"]["init_args"]["project"]
    assert rows[1].split()[:3] == ["+", "project", project]
    assert len(rows) <= 6
    assert not any("null" in row for row in rows)
    # Nothing but output changes, and the hash is that of results; JSON holds all.
    (recipe,) = json.loads((tmp_path / "config-diff.json").read_text())["recipes"]
    assert recipe["hashes"][0] == recipe["hashes"][1]
    assert len(recipe["changes"]) > 25
    assert {change["group"] for change in recipe["changes"]} == {"output"}


def test_callbacks_are_paired_by_their_class(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    package = "lightning.pytorch.callbacks"
    one = (
        f"{{class_path: {package}.EarlyStopping, init_args: {{monitor: val/top1, patience: {{}}}}}}"
    )
    two = f"{{class_path: {package}.LearningRateMonitor}}"
    before = f"trainer:\n  callbacks: [{one.replace('{}', '3')}, {two}]\n"
    after = f"trainer:\n  callbacks:\n  - {two}\n  - {one.replace('{}', '4')}\n"
    words = [_write(tmp_path / "a.yaml", before), _write(tmp_path / "b.yaml", after)]
    assert main(["config", "diff", *words, "--format", "json"]) == 1
    report = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(report)
    found = {change["key"]: change for change in report["recipes"][0]["changes"]}
    patience = found.pop("trainer.callbacks[EarlyStopping].patience")
    assert (patience["old"], patience["new"], patience["why"]) == (3, 4, "written")
    assert patience["source"] == {"file": words[1], "line": 4}
    moved = found.pop("trainer.callbacks")
    assert moved["kind"] == "moved"
    assert moved["new"] == ["LearningRateMonitor", "EarlyStopping"]
    assert not found


def test_defaults_and_forms(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    recipe = _write(tmp_path / "r.yaml", "data: {batch_size: 512}\ntrainer: {max_time: '1'}\n")
    assert main(["config", "diff", "defaults", "r.yaml", "--format", "github"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(
        line.startswith(f"::warning file={Path(recipe).name},line=1,title=results of")
        and "data.batch_size: 256 -> 512" in line
        for line in lines
    )
    assert main(["config", "diff", "defaults", "r.yaml", "--fail_on", "results"]) == 3


def test_trouble_is_2(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["config", "diff", "demo.yaml"]) == 2
    assert "config diff takes 2 configs, not 1" in capsys.readouterr().err
    assert main(["config", "sow", "demo.yaml"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "places: error: config has no part 'sow'",
        "  nearest:  show",
        "  parts:    show, check, schema, diff",
    ]
    _write(tmp_path / "bad.yaml", "trainer: {max_epoch: 3}\n")
    assert main(["config", "diff", "demo.yaml", "bad.yaml", "--format", "markdown"]) == 2
    output = capsys.readouterr().out
    assert "bad.yaml: cannot be resolved" in output
    assert "no option 'trainer.max_epoch'" in output
    for word, message in {
        "nowhere.yaml": "no recipe 'nowhere.yaml'",
        "run:nowhere": "no config.yaml in nowhere",
        "ckpt:nowhere.ckpt": "nowhere.ckpt",
        "HEAD:demo.yaml": "is in no repository of git",
        "a.yaml+": "'a.yaml+' names no config",
    }.items():
        assert main(["config", "diff", "demo.yaml", word]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert len(error.splitlines()) <= 4


def test_secrets_are_not_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # What a run of an older version recorded may hold one.
    folder = tmp_path / "runs" / "old" / "0"
    folder.mkdir(parents=True)
    secret = "hunter2hunter2"
    logger = f"{{class_path: x.Logger, init_args: {{api_key: {secret}, url: 'https://me:{secret}@x/y'}}}}"
    _write(folder / "config.yaml", f"# places fit\ntrainer:\n  logger: {logger}\n")
    words = ["config", "diff", "defaults", "run:runs/old/0", "--all", "--files", str(tmp_path)]
    assert main(words) == 1
    files = [(tmp_path / f"config-diff.{end}").read_text() for end in ("md", "json")]
    for output in (capsys.readouterr().out, *files):
        assert secret not in output
        assert "api_key" in output
    assert main(["config", "show", "run:runs/old/0", "--origin"]) == 0
    assert secret not in capsys.readouterr().out


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


def test_options_may_stand_between_operands(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["demo.yaml", "--stage", "fit", "nowhere.yaml"],
        ["--all", "demo.yaml", "--format=json", "nowhere.yaml"],
        ["demo.yaml", "nowhere.yaml", "--all"],
    ):
        assert main(["config", "diff", *words]) == 2
        assert "no recipe 'nowhere.yaml'" in capsys.readouterr().err
