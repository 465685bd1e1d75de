"""What a network costs: parameters and multiply-adds, found without computing anything."""

import copy
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from places.models.folded import folded_for_inference


class Cost(NamedTuple):
    """What a network costs.

    Attributes:
        parameters: Numbers that training changes.
        folded_parameters: Numbers that are left when it is used, see `places.models.folded`.
        multiply_adds: Multiplications with an addition each, of one picture in evaluation, by
            convolutions and products of matrices. Papers often call them FLOPs.
    """

    parameters: int
    folded_parameters: int
    multiply_adds: int


def cost_of(net: nn.Module, image_size: int = 224) -> Cost:
    """Return what a network costs.

    Args:
        net: Any network. It stays as it is; on the meta device it costs neither time nor memory.
        image_size: Height and width of the picture.
    """
    tensors = {id(x): nn.Parameter(x.detach().to("meta")) for x in net.parameters()}
    tensors |= {id(x): x.detach().to("meta") for x in net.buffers()}
    meta = copy.deepcopy(net, tensors).eval()
    plain = folded_for_inference(meta)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        meta(torch.empty(1, 3, image_size, image_size, device="meta"))
    return Cost(num_parameters(meta), num_parameters(plain), counter.get_total_flops() // 2)


def num_parameters(net: nn.Module) -> int:
    """Return how many numbers the parameters of a network have."""
    return sum(parameter.numel() for parameter in net.parameters())
