"""What a stored config names is built with arguments of the kinds that its class takes."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import pytest
from torch import nn

from places.config.build import build, factory_of
from places.errors import CheckpointError

FILE = Path("x.ckpt")
OURS = ("tests", "test_build")  # the name of this file, however pytest imports it


class Color(Enum):
    RED = 1


@dataclass(frozen=True)
class Option:
    rate: float = 0.5


class Net(nn.Module):
    def __init__(
        self,
        num_classes: int,
        width: int | float = 1,
        rate: float = 0.0,
        name: str | None = None,
        kind: Literal["a", 3] = "a",
        sizes: tuple[int, ...] = (),
        pair: tuple[int, str] = (0, ""),
        names: list[str] | None = None,
        file: Path = Path(),
        color: Color = Color.RED,
        layer: nn.Module | None = None,
        norm: Callable[[int], nn.Module] | None = None,
        act: str | type[nn.Module] | Callable[[int], nn.Module] = "relu",
        option: Option = Option(),  # frozen
        anything: Any = None,  # noqa: ANN401  # that is the test
        **more: int,
    ) -> None:
        super().__init__()
        self.given = {key: value for key, value in locals().items() if key not in ("self", "more")}
        self.given |= more


def net(**arguments: object) -> dict[str, Any]:
    """Return what the network was given."""
    spec = {"class_path": f"{Net.__module__}.Net", "init_args": arguments}
    built = build("model.net", spec, OURS, FILE, (365,))
    assert built.given["num_classes"] == 365
    given: dict[str, Any] = built.given
    return given


@pytest.mark.parametrize(
    ("key", "stored", "wanted"),
    [
        ("width", 2, 2),
        ("width", 2.5, 2.5),
        ("rate", 1, 1.0),
        ("name", None, None),
        ("name", "a.b", "a.b"),
        ("act", "gelu", "gelu"),
        ("kind", "a", "a"),
        ("kind", 3, 3),
        ("sizes", [1, 2, 3], (1, 2, 3)),
        ("pair", [1, "x"], (1, "x")),
        ("names", ["x"], ["x"]),
        ("names", None, None),
        ("file", "a", Path("a")),
        ("color", "RED", Color.RED),
        ("option", {"rate": 1}, Option(1.0)),
        ("anything", [1, {"a": None}], [1, {"a": None}]),
        ("more_of_it", 3, 3),
    ],
)
def test_a_value_becomes_what_the_parameter_takes(key: str, stored: object, wanted: object) -> None:
    found = net(**{key: stored})[key]
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("key", "stored"),
    [
        ("width", "2"),
        ("width", True),
        ("rate", "1.0"),
        ("name", 3),
        ("kind", "b"),
        ("kind", 3.0),
        ("sizes", [1, "2"]),
        ("names", [1]),
        ("option", {"speed": 1}),
        ("option", {"rate": "x"}),
    ],
)
def test_another_value_is_refused_by_name(key: str, stored: object) -> None:
    with pytest.raises(CheckpointError, match=rf"cannot use the config in x\.ckpt\n.*{key}"):
        net(**{key: stored})


def test_classes_in_it_are_built_or_handed_on() -> None:
    linear = {"class_path": "torch.nn.Linear", "init_args": {"in_features": 2, "out_features": 3}}
    found = net(
        layer=linear, norm={"class_path": "torch.nn.BatchNorm2d", "init_args": {"eps": 0.1}}
    )
    assert found["layer"].weight.shape == (3, 2)
    assert found["norm"](4).weight.shape == (4,)
    assert found["norm"](4).eps == 0.1
    assert isinstance(net(norm="torch.nn.BatchNorm2d")["norm"](4), nn.BatchNorm2d)
    assert isinstance(net(act={"class_path": "torch.nn.GELU"})["act"](), nn.GELU)
    for spec in ({"class_path": "os.system"}, {"class_path": "torch.nn.Linear", "init_args": 3}):
        with pytest.raises(CheckpointError):
            net(layer=spec)


def test_what_its_code_does_not_take_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"model\.net cannot be built: TypeError: .*'depths'"):
        build("model.net", {"class_path": "torch.nn.ReLU", "init_args": {"depths": 1}}, (), FILE)
    spec: dict[str, Any] = {
        "class_path": "places.models.resnet.ResNet",
        "init_args": {"depth": 18},
    }
    assert factory_of("model.net", spec, (), FILE)(7).fc.out_features == 7
    spec["init_args"] = {"depth": 19}
    with pytest.raises(CheckpointError, match=r"model\.net\.depth: 19 is none of 18, 34, 50"):
        build("model.net", spec, (), FILE, (7,))
