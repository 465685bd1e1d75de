"""The JSON Schema of recipes, by a validator of others."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from places.cli.configs.schema import made_with, schema_text
from places.cli.main import main
from places.config.changes.leaves import leaves

ROOT = Path(__file__).parents[3]
CONFIGS = ROOT / "configs"
SCHEMA = CONFIGS / "recipe.schema.json"
RECIPES = sorted(CONFIGS.rglob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def test_the_schema_is_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    stored = json.loads(SCHEMA.read_text())
    if stored["$comment"] != made_with():
        pytest.skip(f"{stored['$comment']}, and here is {made_with()}")
    again = "make it anew:  places config schema --file configs/recipe.schema.json"
    assert SCHEMA.read_text() == schema_text(), again
    assert main(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == stored


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_hold_to_it(recipe: Path, validator: Draft202012Validator) -> None:
    validator.validate(yaml.safe_load(recipe.read_text()))


def test_a_saved_config_holds_to_it(
    validator: Draft202012Validator, capsys: pytest.CaptureFixture[str]
) -> None:
    # With all keys and their defaults, as a run records them.
    assert main(["config", "show", "demo.yaml"]) == 0
    config = yaml.safe_load(capsys.readouterr().out)
    validator.validate(config)
    for key in leaves(config):
        *way, last = key.split(".")
        damaged: Any = json.loads(json.dumps(config))
        part = damaged
        for name in way:
            part = part[name] if name in part else part["init_args"][name]
        part = part if last in part else part["init_args"]
        part[f"{last}s_"] = part.pop(last)
        if last != "class_path":
            assert not validator.is_valid(damaged), key


def test_what_is_wrong_is_refused(validator: Draft202012Validator) -> None:
    good = [
        "{}",
        "model: {net: VGG}",
        "model: {net: {class_path: somebody.elses.Net, init_args: {any: thing}}}",
        "model: {optimizer: {class_path: AdamW, init_args: {lr: 1e-3, betas: [0.9, 0.95]}}}",
        "model: {class_path: my.Model, init_args: {a: 1}}",
        "data: {class_path: ImageFiles, init_args: {max_pixels: 5}}",
        "trainer: {precision: 16, devices: [0, 1], max_time: '00:01:00:00', logger: false}",
        "trainer: {callbacks+: EarlyStopping}",
        "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {monitor: x}}]}",
    ]
    bad = [
        "modle: {}",
        "model: {nett: VGG}",
        "model: {net: {class_path: places.models.ResNet, init_args: {dept: 50}}}",
        "model: {net: {class_path: VGG, init_args: {depth: many}}}",
        "model: {optimizer: {class_path: torch.optim.AdamW, init_args: {momentum: 0.9}}}",
        "model: {optimizer: {class_path: SGD, init_arg: {}}}",
        "model: {schedule: cosinus}",
        "model: {augment: {mixup: [1]}}",
        "data: {batch_size: large}",
        "data: {crop_scale: [0.1]}",
        "data: {crop_scale: [0.1, 1, 2]}",
        "trainer: {precision: 17}",
        "trainer: {max_epochs: 3.5}",
        "trainer: {callbacks: [{class_path: EarlyStopping, init_args: {patiense: 3}}]}",
        "seed_everything: x",
        "- trainer",
    ]
    assert [text for text in good if not validator.is_valid(yaml.safe_load(text))] == []
    assert [text for text in bad if validator.is_valid(yaml.safe_load(text))] == []


def test_recipes_can_name_it(tmp_path: Path) -> None:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    command = [sys.executable, str(ROOT / "scripts" / "name_schema.py"), "configs"]
    subprocess.run(command, cwd=tmp_path, check=True)
    for recipe in RECIPES:
        path = tmp_path / "configs" / recipe.relative_to(CONFIGS)
        lines = path.read_text().splitlines()
        (line,) = (x for x in lines if x.startswith("# yaml-language-server: $schema="))
        assert (
            path.parent / line.partition("=")[2]
        ).resolve() == tmp_path / "configs" / SCHEMA.name
        assert [x for x in lines if x != line] == [
            x for x in recipe.read_text().splitlines() if x != line
        ]
        # It stands with the other comments, in front of the first key.
        assert all(x.startswith("#") for x in lines[: lines.index(line)])
    before = {path: path.read_bytes() for path in (tmp_path / "configs").rglob("*.yaml")}
    assert subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout == b""
    assert before == {path: path.read_bytes() for path in before}
