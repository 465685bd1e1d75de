"""What a recipe writes, and what a comparison of two makes of it."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from places.cli.main import main
from places.config.changes.change import Side, compare_sides
from places.config.changes.derived import derived_numbers
from places.config.changes.leaves import leaves
from places.config.config_hash import config_hash
from places.config.recipes import read_config
from places.config.written import Place, Written, place_of, written_keys

MERGED = """\
shared: &shared
  max_epochs: 3
  precision: bf16-mixed
more: &more {devices: 2}
trainer:
  <<: [*shared, *more]
  max_epochs: 9
data:
  <<: *more
"""


def test_what_yaml_merges_is_written_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(MERGED)
    found = written_keys([(path, "recipe.yaml")])
    lines = {"max_epochs": 7, "precision": 3, "devices": 4}
    assert {key: found[f"trainer.{key}"].place for key in lines} == {
        key: Place("recipe.yaml", line) for key, line in lines.items()
    }
    assert found["data.devices"] == Written("2", Place("recipe.yaml", 4))
    # YAML itself has the last word on what is there, and on its values.
    flat = leaves(yaml.safe_load(MERGED))
    own = ("trainer", "data", "shared", "more")
    assert {key: found[key].text for key in found if key not in own} == {
        key: str(value) for key, value in flat.items()
    }


def test_a_class_or_settings_given_as_one_text_are_where_that_is() -> None:
    net = Written("places.models.VGG", Place("recipe.yaml", 2))
    views = Written("{crops: 10, flip: true}", Place("--test"))
    plain = Written("10", Place("--other"))
    written = {"model.net": net, "test": views, "other": plain}
    assert place_of("model.net.class_path", written) is net
    assert place_of("test.crops", written) is views
    assert place_of("other.crops", written) is None
    assert place_of("model.optimizer.class_path", written) is None


@pytest.mark.parametrize(
    ("trainer", "steps", "images"),
    [
        ({"max_epochs": 2}, 2 * 31, 2 * 62 * 16),  # 62 whole batches, two in a step
        ({"max_epochs": 2, "limit_train_batches": 9}, 2 * 5, 2 * 9 * 16),
        ({"max_epochs": 2, "limit_train_batches": 500}, 2 * 31, 2 * 62 * 16),
        ({"max_epochs": 2, "limit_train_batches": 0.25}, 2 * 8, 2 * 15 * 16),
        ({"max_epochs": -1}, None, None),  # without end
        ({"max_steps": 40}, 40, (62 + 2 * 9) * 16),
    ],
)
def test_the_steps_of_a_run_are_those_worked_out_by_hand(
    trainer: dict[str, Any], steps: int | None, images: int | None
) -> None:
    config = {"trainer": {**trainer, "accumulate_grad_batches": 2}}
    config["data"] = {"init_args": {"batch_size": 16}}
    found = derived_numbers(config, 1000, None)
    assert (found["global_batch"], found["steps"], found["images_seen"]) == (32, steps, images)
    assert found["peak_lr_per_256"] is found["parameters"] is None  # no learning rate is told


def test_values_that_json_has_not_are_told_and_hashed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # As runs save them: nothing resolves them again.
    words = []
    for name, bound, options in (("one", math.inf, {}), ("two", math.nan, {"a": 1.0})):
        config = {"model": {"init_args": {"bound": bound, "options": [options, 3]}}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(yaml.safe_dump(config))
        words.append(f"run:{name}")
    assert main(["config", "diff", *words, "--format", "json"]) == 1
    (recipe,) = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["recipes"]
    found = {change["key"]: (change["old"], change["new"]) for change in recipe["changes"]}
    assert found == {"model.bound": ("inf", "nan"), "model.options": ([{}, 3], [{"a": 1.0}, 3])}
    assert len({*recipe["hashes"]}) == 2
    # A whole number is the same with a point.
    configs = [{"model": {"options": [{"a": number}]}} for number in (1, 1.0, 2)]
    hashes = [config_hash(config) for config in configs]
    assert hashes[0] == hashes[1] != hashes[2]


def test_beside_what_a_run_recorded_only_the_lines_of_a_recipe_are_known() -> None:
    recipe = Side(
        {"data": {"batch_size": 8, "seed": 1}, "trainer": {"max_epochs": 3}},
        {"data.batch_size": Written("8", Place("recipe.yaml", 2))},
    )
    run = Side({"data": {"batch_size": 9, "seed": 2}}, recorded="runs/fit/0/config.yaml")

    def told(before: Side, after: Side) -> dict[str, tuple[str, str, Place | None]]:
        changes = [change for block in compare_sides(before, after) for change in block.changes]
        return {change.key: (change.why, change.cause, change.place) for change in changes}

    line, recorded = Place("recipe.yaml", 2), f"recorded in {run.recorded}"
    others = {
        "data.seed": ("implied", recorded, None),
        "trainer.max_epochs": ("implied", recorded, None),
    }
    assert told(run, recipe) == {"data.batch_size": ("written", "written", line), **others}
    assert told(recipe, run) == {"data.batch_size": ("written", "left out", line), **others}
    assert told(recipe, recipe) == {}


def test_a_recipe_with_a_zero_byte_is_refused_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text('trainer:\n  max_epochs: 3\n  profiler: "a\\0b"\n')
    assert main(["config", "show", "recipe.yaml"]) == 2
    assert capsys.readouterr().err.startswith(
        "places: error: recipe.yaml has a NUL character in line 3: no value has one"
    )


@pytest.mark.parametrize(
    ("written", "said", "hint"),
    [
        (
            "017",
            "YAML reads 017 as 15, by base 8",
            'leave out the first 0, or write 15 if that is meant, or "017"',
        ),
        ("-017", "YAML reads -017 as -15, by base 8", 'write -15 if that is meant, or "-017"'),
        ("1:30", "YAML reads 1:30 as 90, by base 60", 'write 90 if that is meant, or "1:30"'),
        ("1:30.5", "YAML reads 1:30.5 as 90.5, by base 60", "write 90.5 if"),
        ("[1, {a: 0_17}]", "YAML reads 0_17 as 15, by base 8", "write 15 if"),
        (
            "0" + "7" * 9000,
            f"YAML reads 0{'7' * 19}... as another number, by base 8",
            "write another number",
        ),
        ("1" + ":1" * 9000, "as another number, by base 60", "write another number"),
    ],
)
def test_numbers_that_yaml_reads_by_another_base_are_refused_with_their_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, written: str, said: str, hint: str
) -> None:
    (tmp_path / "recipe.yaml").write_text(f"trainer:\n  max_epochs: {written}\n")
    for command in (("config", "check"), ("config", "show")):
        assert main([*command, "recipe.yaml"])
        lines = "".join(capsys.readouterr()).splitlines()
        assert "recipe.yaml" in lines[0]
        assert said in lines[0]
        assert hint in lines[1]
        assert all(len(line) < 120 for line in lines)


@pytest.mark.parametrize(
    "written",
    ["0", "00", "07", "-0_7", "0.5", "00.5", '"017"', "'1:30'", "00:12:00:00", "0x1f", "1_000"],
)
def test_other_numbers_and_texts_are_left_as_they_are(tmp_path: Path, written: str) -> None:
    (tmp_path / "recipe.yaml").write_text(f"trainer:\n  max_time: {written}\n")
    value = read_config(tmp_path / "recipe.yaml")["trainer"]["max_time"]
    assert value == yaml.safe_load(written)
