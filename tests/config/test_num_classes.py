"""How networks of all kinds are told their number of classes."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
import torchvision
from tests.networks import Tiny
from torch import nn

from places.config.num_classes import call_with_num_classes


class First(nn.Module):
    """Has another name for it."""

    def __init__(self, outputs: int, *, more: int = 0) -> None:
        super().__init__()
        self.told = (outputs, more)


class Later(nn.Module):
    """Has other arguments before it."""

    def __init__(self, width: int = 3, num_classes: int = 1000) -> None:
        super().__init__()
        self.told = (num_classes, width)


class PassesOn(Later):
    """Passes all on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # whatever
        super().__init__(*args, **kwargs)


class Renames(Later):
    """Has another name for it, and passes the others on."""

    def __init__(self, outputs: int, **kwargs: Any) -> None:  # noqa: ANN401  # whatever
        super().__init__(num_classes=outputs, **kwargs)


class PositionalOnly(nn.Module):
    """Does not take it by name."""

    def __init__(self, num_classes: int, /) -> None:
        super().__init__()
        self.told = (num_classes, 0)


def _passes_on(pretrained: bool = False, **options: Any) -> Later:  # noqa: ANN401  # whatever
    assert pretrained is False
    return Later(**options)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (First, (7, 0)),
        (partial(First, more=2), (7, 2)),
        (Later, (7, 3)),
        (partial(Later, width=5), (7, 5)),
        (partial(partial(Later), 5), (7, 5)),
        (PassesOn, (7, 3)),
        (Renames, (7, 3)),
        (PositionalOnly, (7, 0)),
        (_passes_on, (7, 3)),
        (lambda num: Later(num_classes=num), (7, 3)),
        (lambda num_classes: Later(9, num_classes), (7, 9)),
        (lambda *anything: First(*anything), (7, 0)),
    ],
)
def test_each_is_told_in_its_way(make: Callable[..., Any], told: tuple[int, int]) -> None:
    assert call_with_num_classes(make, 7).told == told


@pytest.mark.parametrize("name", ["convnext_tiny", "resnet18", "vit_b_32", "mobilenet_v3_small"])
def test_functions_of_torchvision_and_timm_make_as_many_and_fetch_nothing(name: str) -> None:
    timm = pytest.importorskip("timm")
    image = torch.empty(1, 3, 224, 224, device="meta")
    theirs = {"vit_b_32": "vit_tiny_patch16_224", "mobilenet_v3_small": "mobilenetv3_small_050"}
    makers = [getattr(torchvision.models, name), getattr(timm.models, theirs.get(name, name))]
    for make in makers:
        with torch.device("meta"):
            net = call_with_num_classes(make, 7).eval()
            assert net(image).shape == (1, 7)


def test_a_class_is_told_as_before() -> None:
    assert call_with_num_classes(Tiny, 7)[-1].out_features == 7
    assert call_with_num_classes(nn.Identity, 7) is not None  # takes anything
