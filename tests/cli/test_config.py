from pathlib import Path

import pytest
import yaml

from places.cli.config import change_table
from places.cli.main import main
from places.config.compare import compare
from places.config.recipes import find_recipe, flatten, read_keys, recipe_folders

CONFIGS = Path(__file__).parents[2] / "configs"


def _write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_recipes_are_found_by_path_then_here_then_as_shipped(tmp_path: Path) -> None:
    assert find_recipe("demo.yaml").read_text() == (CONFIGS / "demo.yaml").read_text()
    assert find_recipe("overlays/wandb").name == "wandb.yaml"
    (tmp_path / "configs").mkdir()
    _write(tmp_path / "configs" / "demo.yaml", "{}")
    assert find_recipe("demo.yaml") == Path("configs/demo.yaml")
    _write(tmp_path / "demo.yaml", "{}")
    assert find_recipe("demo.yaml") == Path("demo.yaml")


def test_a_missing_recipe_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "resnet5.yaml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "places: error: no recipe 'resnet5.yaml'"
    assert "resnet50.yaml" in lines[2]


def test_a_recipe_that_is_no_yaml_is_named_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _write(tmp_path / "broken.yaml", "trainer:\n  max_epochs: [1\n")
    assert main(["config", "show", "broken.yaml"]) == 2
    assert "broken.yaml, line 3 is not valid YAML" in capsys.readouterr().err
    (tmp_path / "archive.yaml").write_bytes(bytes(range(256)))
    assert main(["config", "show", "archive.yaml"]) == 2
    assert "archive.yaml is no recipe: it is not a text in UTF-8" in capsys.readouterr().err
    _write(tmp_path / "list.yaml", "- trainer\n")
    assert main(["config", "show", "list.yaml"]) == 2
    assert "list.yaml is no recipe: it holds no keys" in capsys.readouterr().err


def test_a_key_that_is_there_twice_is_refused_with_both_lines(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    callbacks = "  callbacks:\n    - class_path: A\n    - class_path: B\n"
    assert [*read_keys(Path(_write(tmp_path / "once.yaml", f"trainer:\n{callbacks}")))] == [
        ("trainer", 1),
        ("trainer.callbacks", 2),
        ("trainer.callbacks.class_path", 3),
        ("trainer.callbacks.class_path", 4),
    ]
    _write(tmp_path / "twice.yaml", "data:\n  batch_size: 8\n  seed: 1\n  batch_size: 16\n")
    assert main(["config", "show", "twice.yaml"]) == 2
    assert (
        "twice.yaml has the key data.batch_size twice, in line 2 and in line 4"
        in capsys.readouterr().err
    )


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


def test_comparison_knows_types() -> None:
    assert compare({"a": 1}, {"a": 1.0}) == {}
    assert compare({"a": 1}, {"a": True}) == {"a": (1, True)}
    assert compare({"a": [1, 2]}, {"a": [1, 2.0]}) == {}
    assert list(compare({"a": None}, {})) == ["a"]
    assert list(compare({}, {"x": {"init_args": {"b": 1}, "class_path": "c"}})) == [
        "x.class_path",
        "x.init_args.b",
    ]


def test_every_recipe_is_short_documented_and_states_departures_only() -> None:
    from places.cli.stages import resolve

    recipes = sorted(CONFIGS.glob("*.yaml"))
    assert len(recipes) >= 4
    defaults = flatten(resolve(["fit"]))
    for recipe in recipes:
        text = recipe.read_text()
        assert len(text.splitlines()) <= 25, recipe
        header = text[: text.index("model:")]
        assert all(word in header for word in ("# Expect:", "# Cost:", "# Run:")), recipe
        resolved = flatten(resolve(["fit", "--config", str(recipe)]))
        assert resolved["model.class_path"] == defaults["model.class_path"]


def test_the_folder_of_the_shipped_recipes_exists() -> None:
    assert (recipe_folders()[1] / "resnet50.yaml").is_file()
