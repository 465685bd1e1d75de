from pathlib import Path

import pytest

from places.cli.main import main
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


def test_the_folder_of_the_shipped_recipes_exists() -> None:
    assert (recipe_folders()[1] / "resnet50.yaml").is_file()


def test_every_recipe_is_short_documented_and_states_departures_only() -> None:
    from places.cli.resolve import resolve

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
