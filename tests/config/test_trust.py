"""A config names code. What a checkpoint may name is tried with all names of this machine."""

import copy
import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision  # noqa: F401  # as the stages do: its names are tried
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch import LightningDataModule
from torch import nn

import places.models  # noqa: F401  # as the stages do
from places.config.trust import check_plain, check_stored, check_trusted, named_packages
from places.errors import CheckpointError, ConfigError

REPOSITORY = Path(__file__).parents[2]
FILE = Path("stranger.ckpt")
KINDS = (nn.Module, torch.optim.Optimizer, LightningDataModule)


def _config(**model: object) -> dict[str, Any]:
    net = {"class_path": "places.models.ResNet", "init_args": {"depth": 18}}
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}
    arguments = {"net": net, "optimizer": optimizer, "schedule": "cosine", **model}
    root = {"root": "data/places.v2", "cache_folder": "a/b"}
    return {
        "model": {"class_path": "places.classifier.SceneClassifier", "init_args": arguments},
        "data": {"class_path": "places.data.places365.Places365", "init_args": root},
    }


def _spec(name: str, **arguments: object) -> dict[str, Any]:
    return {"class_path": name, "init_args": arguments}


def test_what_fit_writes_is_accepted() -> None:
    from places.classifier import SceneClassifier  # noqa: F401  # as the stages do
    from places.data.places365 import Places365  # noqa: F401

    check_stored(_config(), (), FILE)


@pytest.mark.no_cover
def test_no_other_name_is_imported_or_called_and_none_but_networks_is_accepted() -> None:
    command = [sys.executable, "-m", "tests.config.name_everything"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    found = json.loads(done.stdout)
    assert not found["events"]
    assert found["num_names"] > 50_000
    assert found["num_lines"] <= 4
    assert "torchvision.models.resnet.ResNet" in found["accepted"]
    for name in found["accepted"]:
        module, _, last = name.rpartition(".")
        kind = getattr(importlib.import_module(module), last)
        assert kind.__module__.startswith(("places.", "torch.nn", "torch.optim", "torchvision."))
        is_option = kind.__module__.startswith("places.") and hasattr(kind, "__dataclass_fields__")
        assert issubclass(kind, KINDS) or is_option


@pytest.mark.parametrize("name", ["os.system", "torch.hub.load", "torchvision.models.resnet18"])
@pytest.mark.parametrize(
    "place",
    [
        lambda name: _config(net=name),
        lambda name: _config(net=_spec(name)),
        lambda name: _config(optimizer=_spec(name)),
        lambda name: _config(augment=_spec(name)),
        lambda name: _config(augment={"trivial": _spec(name)}),
        lambda name: _config(net=_spec("places.models.ResNet", depth=_spec(name))),
        lambda name: _config(net=_spec("torch.nn.Sequential", x=[1, {"y": _spec(name)}])),
        lambda name: _config(net=_spec("torchvision.models.ResNet", norm_layer=name)),
        lambda name: _config(net=_spec("torchvision.models.ResNet", norm_layer=[name])),
        lambda name: _config(net=f'{{"class_path": "{name}"}}'),
        lambda name: _config(
            net={"class_path": "places.models.ResNet", "dict_kwargs": {"a": name}}
        ),
        lambda name: {**_config(), "model": _spec(name)},
        lambda name: {**_config(), "data": _spec(name)},
    ],
)
def test_functions_are_refused_wherever_they_stand(place: Any, name: str) -> None:  # noqa: ANN401  # a lambda
    from places.classifier import SceneClassifier  # noqa: F401  # as the stages do
    from places.data.places365 import Places365  # noqa: F401

    with pytest.raises(CheckpointError) as caught:
        check_stored(place(name), (), FILE)
    assert name.partition(".")[0] in str(caught.value)


@pytest.mark.parametrize(
    "net",
    [
        *("evil.yaml", "/etc/passwd", "~/x", "here", {"class_path": 3}, {"class_path": "a b.c"}),
        _spec("places.models.Gone"),
        _spec("places.cli.main.main"),
        {"class_path": "places.models.ResNet", "init_args": "evil.yaml"},
        {"class_path": "places.models.ResNet", "init_args": ["a"]},
    ],
)
def test_files_and_what_is_no_name_are_refused(net: object, tmp_path: Path) -> None:
    (tmp_path / "here").touch()  # jsonargparse would read it as a config
    with pytest.raises(CheckpointError):
        check_stored(_config(net=net), (), FILE)


@dataclass
class Option:
    """Settings of a network."""

    width: int = 1


class Mine(nn.Module):
    """A network of the user."""

    def __init__(
        self, num_classes: int, table: str = "a/b.csv", option: Option | None = None
    ) -> None:
        super().__init__()


def make(num_classes: int) -> nn.Module:
    """Return a network of the user."""
    return Mine(num_classes)


def test_what_the_user_trusts_is_accepted_and_nothing_beside_it() -> None:
    here = "tests.config.test_trust"
    mine = _config(net=_spec(f"{here}.Mine", table="c/d.csv", option=_spec(f"{here}.Option")))
    with pytest.raises(CheckpointError, match="if you trust tests:  --trust tests"):
        check_stored(mine, (), FILE)
    for trusted in ("tests", here, "tests.config"):
        check_stored(mine, [trusted], FILE)
    with pytest.raises(CheckpointError, match="--trust tests"):
        check_stored(mine, ["tests.networks", "test"], FILE)
    function = _config(net=f"{here}.make")
    with pytest.raises(CheckpointError, match=f"by its full name:  --trust {here}.make"):
        check_stored(function, ["tests"], FILE)
    check_stored(function, [f"{here}.make"], FILE)
    for name in ("sys.exit", "Path", "FILE", "importlib.metadata.version", "KINDS"):
        with pytest.raises(CheckpointError):
            check_stored(_config(net=_spec(f"{here}.{name}")), ["tests"], FILE)


@pytest.mark.parametrize("name", ["os", "subprocess.run", "builtins", "jsonargparse", "pip", "a/b"])
def test_what_runs_anything_is_never_trusted(name: str) -> None:
    with pytest.raises(ConfigError):
        check_trusted([name])


def test_packages_named_in_flags_and_recipes(tmp_path: Path) -> None:
    (tmp_path / "best.ckpt").touch()
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "model:\n  net: {class_path: a.Net}\ntrainer:\n  callbacks: [{class_path: b.C}]\n"
    )
    words = ["test", "--model.net=c.d.Net", "--data", "e.Data", "--ckpt_path", "f.ckpt"]
    words += ['--model.optimizer={"class_path": "g.O"}', "--model.weights", "best.ckpt"]
    words += ["--trainer.accelerator", "cpu", "--model.net.x=os.system"]
    assert named_packages(words, [recipe]) == {"a", "b", "c", "e", "g"}


_LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
)


@given(st.recursive(_LEAVES, lambda x: st.lists(x) | st.dictionaries(st.text(max_size=8), x)))
def test_every_small_config_is_plain(value: object) -> None:
    check_plain(value, FILE)
    assert value == copy.deepcopy(value)


def _laughs() -> object:
    value: object = "ha"
    for _ in range(15):
        value = [value] * 10
    return value


def _endless() -> object:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value", [_laughs(), _endless(), {1: 2}, torch.ones(1), b"x", {"a": {3, 4}}, [1.0, object()]]
)
def test_what_no_config_holds_is_refused(value: object) -> None:
    with pytest.raises(CheckpointError, match=r"the config in stranger\.ckpt cannot be read"):
        check_plain(value, FILE)
