"""Recipes with anything in them."""

import random
from contextlib import chdir
from pathlib import Path

import pytest
import yaml
from tests.fuzz.mutations import damage_bytes, damage_value
from tests.fuzz.tool import run

_RECIPES = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


def one(rng: random.Random, folder: Path) -> str:
    """Damage a recipe and resolve it; return the kind of damage."""
    data = rng.choice(_RECIPES).read_bytes()
    if rng.random() < 0.5:
        kind, data = damage_bytes(rng, data)
    else:
        kind, changed = damage_value(rng, yaml.safe_load(data))
        for _ in range(rng.choice([0, 0, 1, 4])):
            _, changed = damage_value(rng, changed)
        data = yaml.safe_dump(changed, sort_keys=False).encode(errors="replace")
        kind = f"value {kind}"
    (folder / "recipe.yaml").write_bytes(data)
    with chdir(folder):
        run("config", "show", "recipe.yaml", limit_s=60.0)
    assert [path.name for path in folder.iterdir()] == ["recipe.yaml"]
    return f"config show {kind}"


@pytest.mark.parametrize("seed", range(8))
def test_damaged_recipes(seed: int, tmp_path: Path) -> None:
    one(random.Random(seed), tmp_path)
