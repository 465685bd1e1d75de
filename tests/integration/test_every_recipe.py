"""Every recipe trains: its own command, with the overlay that makes any recipe tiny."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

from places.classifier import SceneClassifier
from places.cli.main import main
from places.config.recipes import read_config

CONFIGS = Path(__file__).parents[2] / "configs"
OVERLAYS = CONFIGS / "overlays"
RECIPES = sorted(path for path in CONFIGS.rglob("*.yaml") if OVERLAYS not in path.parents)
# Those that log elsewhere, and the one that the others are tested with.
SCHEDULES = sorted(path for path in OVERLAYS.glob("*.yaml") if "model" in read_config(path))
# Large networks and deep ones, and schedules that are others but for their length.
SLOW = re.compile(r"resnet50|vgg|repvgg|finetune|linear_probe|ffcv32|ffcv88|rsb_a2")
CPU = ["--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false", "--data.num_threads=1"]


def _marked(path: Path) -> Any:  # noqa: ANN401  # pytest's own type is private
    slow = [pytest.mark.slow] if SLOW.search(path.stem) else []
    return pytest.param(path, marks=slow, id=path.relative_to(CONFIGS).with_suffix("").as_posix())


def _command(recipe: Path) -> list[str]:
    """Return the words after `places` in the command that the header of a recipe ends with."""
    lines = [line[1:] for line in recipe.read_text().splitlines() if line[:1] == "#"]
    header = "\n".join(line for line in lines if "yaml-language-server" not in line)
    match = re.search(r"(?:Run: +|^ +)(?:.* && )?places (fit .*?)\Z", header, re.DOTALL | re.M)
    assert match, f"{recipe} does not say how it is run"
    return shlex.split(match[1])


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The losses of the training steps that are taken."""
    seen: list[float] = []
    step = SceneClassifier.training_step

    def recorded(self: SceneClassifier, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        loss = step(self, batch, batch_idx)
        seen.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(SceneClassifier, "training_step", recorded)
    return seen


def _train(sample: Path, *words: str) -> int:
    for name in (word for word in words if word.endswith(".pth")):
        torch.save(torchvision.models.resnet50().state_dict(), name)  # as one downloads it
    smoke = ["--config", "overlays/smoke.yaml", "--data.root", str(sample)]
    return main([*words, *smoke, *CPU])


@pytest.mark.first_covers
@pytest.mark.parametrize("recipe", [_marked(path) for path in RECIPES])
def test_the_command_of_a_recipe_trains(recipe: Path, sample: Path, losses: list[float]) -> None:
    words = _command(recipe)
    assert words[1:3] == ["--config", recipe.relative_to(CONFIGS).as_posix()]
    assert _train(sample, *words) == 0
    assert len(losses) == 2
    assert torch.tensor(losses).isfinite().all()


@pytest.mark.first_covers
@pytest.mark.parametrize("overlay", [_marked(path) for path in SCHEDULES])
def test_a_schedule_trains_a_network(overlay: Path, sample: Path, losses: list[float]) -> None:
    assert f"--config overlays/{overlay.name}" in overlay.read_text()
    words = ["--config", "resnet18.yaml", "--config", f"overlays/{overlay.name}"]
    assert _train(sample, "fit", *words) == 0
    assert len(losses) == 2
