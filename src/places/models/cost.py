"""What a network costs: parameters and multiply-adds, found without computing anything."""

import copy
import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from places.models.folded import folded_for_inference
from places.models.listing import NETWORKS

NUM_CLASSES, IMAGE_SIZE = 365, 224


class Cost(NamedTuple):
    """What a network costs, as it is trained and folded, see `places.models.folded`.

    Multiply-adds are multiplications with an addition each, of one picture, by convolutions and
    products of matrices. Papers often call them FLOPs.

    Attributes:
        parameters: Numbers that training changes.
        folded_parameters: Numbers that are left of them when the network is used.
        multiply_adds: Of one picture, in evaluation.
        folded_multiply_adds: Of one picture, folded.
    """

    parameters: int
    folded_parameters: int
    multiply_adds: int
    folded_multiply_adds: int


def cost_of(net: nn.Module, image_size: int = IMAGE_SIZE) -> Cost:
    """Return what a network costs; a second or less for each.

    Args:
        net: Any network. It stays as it is; one on the meta device takes no memory.
        image_size: Height and width of the picture.
    """
    tensors: dict[int, Tensor] = {}
    tensors |= {id(x): nn.Parameter(x.detach().to("meta")) for x in net.parameters()}
    tensors |= {id(x): x.detach().to("meta") for x in net.buffers()}
    meta = copy.deepcopy(net, tensors).eval()
    plain = folded_for_inference(meta)
    return Cost(
        num_parameters(meta),
        num_parameters(plain),
        _multiply_adds(meta, image_size),
        _multiply_adds(plain, image_size),
    )


def cost_of_named(name: str, num_classes: int = NUM_CLASSES, image_size: int = IMAGE_SIZE) -> Cost:
    """Return what one of `NETWORKS` costs; for 365 classes and 224 pixels it is looked up."""
    if (num_classes, image_size) == (NUM_CLASSES, IMAGE_SIZE):
        return _counted_before()[name]
    with torch.device("meta"):  # shapes without numbers
        net = NETWORKS[name].build(num_classes)
    return cost_of(net, image_size)


def num_parameters(net: nn.Module) -> int:
    """Return how many numbers the parameters of a network have."""
    return sum(parameter.numel() for parameter in net.parameters())


def _multiply_adds(net: nn.Module, image_size: int) -> int:
    images = torch.empty(1, 3, image_size, image_size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(images)
    return int(counter.get_total_flops()) // 2


@cache
def _counted_before() -> dict[str, Cost]:
    # All of them take 15 s. A test counts them anew.
    path = Path(__file__).with_name("costs.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row.pop("name"), row) for row in csv.DictReader(file)]
    return {name: Cost(**{key: int(value) for key, value in row.items()}) for name, row in rows}
