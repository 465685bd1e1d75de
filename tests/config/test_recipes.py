import re
from pathlib import Path

import pytest

from places.cli.main import main
from places.cli.resolve import resolve
from places.config.recipes import find_recipe, flatten, read_config, read_keys, recipe_folders

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
    _write(tmp_path / "empty.yaml", "trainer:\n")
    assert main(["config", "show", "empty.yaml"]) == 2
    assert "empty.yaml is no recipe: its only key, trainer, has no value" in capsys.readouterr().err


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


# Some of those that a recipe might repeat; sizes and rates may be said again where they matter.
DEFAULTS = {
    "model.schedule": "cosine",
    "model.decay_norms_and_biases": False,
    "model.loss": "cross_entropy",
    "model.replace_head": False,
    "model.train_only_head": False,
    "model.use_average": False,
    "data.resize_size": 256,
    "data.image_size": 224,
}


def test_every_recipe_is_short_documented_and_states_departures_only() -> None:
    overlays = sorted((CONFIGS / "overlays").glob("*.yaml"))
    recipes = sorted({*CONFIGS.rglob("*.yaml")} - {*overlays})
    assert len(recipes) >= 4
    for recipe in recipes:
        text = recipe.read_text()
        assert len(text.splitlines()) <= 25, recipe
        header = text[: text.index("model:")]
        assert all(word in header for word in ("# Expect:", "# Cost:", "# Run:")), recipe
        settings = read_config(recipe)
        assert settings.keys() <= {"model", "data", "trainer", "checkpoint"}
        # The module and the data module are those by default; no setting repeats its default.
        assert not any("class_path" in settings.get(part, {}) for part in ("model", "data"))
        flat = flatten(settings)
        assert not [key for key in DEFAULTS if flat.get(key) == DEFAULTS[key]], recipe
    assert all(len(overlay.read_text().splitlines()) <= 25 for overlay in overlays)


# What a recipe of one network has besides its schedule, which is that of an overlay.
OF_THE_NETWORK = {
    "resnet18_ffcv16": {"blur_pool"},
    "resnet18_ffcv32": {"blur_pool"},
    "resnet18_ffcv88": {"blur_pool"},
    "resnet50_ffcv16": {"blur_pool", "lr", "weight_decay"},
    "resnet50_ffcv32": {"blur_pool", "lr", "weight_decay"},
    "resnet50_ffcv88": {"blur_pool", "lr", "weight_decay"},
    "resnet50_rsb_a2": {"drop_path"},
    "resnet50_rsb_a3": set(),
    "resnet50_torchvision_v2": set(),
}


@pytest.mark.first_covers
@pytest.mark.slow
@pytest.mark.parametrize("name", OF_THE_NETWORK)
def test_a_recipe_is_its_network_under_its_schedule(name: str) -> None:
    network, _, schedule = name.partition("_")
    recipe = flatten(resolve(["fit", "--config", f"{name}.yaml"]))
    layers = ["--config", f"{network}.yaml", "--config", f"overlays/{schedule}.yaml"]
    layered = flatten(resolve(["fit", *layers]))
    differing = {key for key in {*recipe, *layered} if recipe.get(key) != layered.get(key)}
    # Milestones mean nothing to a schedule without steps.
    differing -= {"model.init_args.milestones", "config"}
    assert {key.rpartition(".")[2] for key in differing} == OF_THE_NETWORK[name]


@pytest.mark.first_covers
@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["ffcv16", "torchvision_v2", "rsb_a2", "rsb_a3"])
def test_a_schedule_leaves_nothing_of_another_but_the_network(overlay: str) -> None:
    networks = ("resnet18", "resnet50d", "vgg16", "repvgg_b0")
    layers = [
        ["--config", f"{name}.yaml", f"--config=overlays/{overlay}.yaml"] for name in networks
    ]
    resolved = [flatten(resolve(["fit", *words])) for words in layers]
    for config in resolved:
        of_network = [key for key in config if key.startswith("model.init_args.net")]
        for key in (*of_network, "model.init_args.milestones", "config"):
            config.pop(key, None)
    assert all(config == resolved[0] for config in resolved)


def test_every_recipe_of_a_network_and_a_schedule_is_compared_with_its_layers() -> None:
    schedules = "|".join(path.stem for path in (CONFIGS / "overlays").glob("*.yaml"))
    named = {p.stem for p in CONFIGS.glob("*.yaml") if re.search(f"_({schedules})$", p.stem)}
    assert named == OF_THE_NETWORK.keys()
