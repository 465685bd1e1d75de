"""A class of a network may take the number of classes anywhere among its arguments."""

from typing import Any

import pytest
from torch import nn

from places.cli.main import main
from places.cli.resolve import resolve


class Later(nn.Linear):
    """A network whose number of classes comes second and has a default."""

    def __init__(self, width: int = 3, num_classes: int = 1000, bias: bool = True) -> None:
        super().__init__(width, num_classes, bias)


def _net(*words: str) -> dict[str, Any]:
    net: dict[str, Any] = resolve(["fit", *words])["model"]["init_args"]["net"]
    return net


def test_all_but_the_number_of_classes_are_options() -> None:
    name = f"{__name__}.Later"
    assert _net("--model.net", name, "--model.net.width", "5") == {
        "class_path": name,
        "init_args": {"width": 5, "bias": True},
    }
    assert _net("--model.net", "places.models.AlexNet")["init_args"] == {"dropout": 0.5}


def test_it_is_no_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--model.net", f"{__name__}.Later", "--model.net.num_classes", "5"]) == 2
    assert "num_classes" in capsys.readouterr().err


def test_optimizers_are_as_before() -> None:
    model = resolve(["fit", "--model.optimizer", "AdamW"])["model"]["init_args"]
    assert "params" not in model["optimizer"]["init_args"]
    assert model["optimizer"]["init_args"]["lr"] == 0.001
