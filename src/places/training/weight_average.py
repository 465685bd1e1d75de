"""A moving average of the weights of a network, which often scores better than the weights."""

import copy
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from places.errors import CheckpointError, ConfigError

# The average of step n looks back over about n / 10 steps until that is as long as asked for.
_SHORTNESS = 9


def start_average(net: nn.Module, decay: float) -> nn.Module:
    """Return a copy of a network that is never trained, only averaged into.

    Raises:
        ConfigError: There is no such decay.
    """
    if not 0 <= decay < 1:
        raise ConfigError(f"model.average_decay is 0 or more and below 1, not {decay}")
    return copy.deepcopy(net).requires_grad_(False)


def decay_at(step: int, decay: float) -> float:
    """Return how much of the average is kept in an optimizer step.

    Args:
        step: The step, from 0. The first keeps nothing, so that the random weights which a network
            starts from are in no average.
        decay: What is kept later, once `step / (step + 9)` has risen above it.
    """
    return min(decay, step / (step + _SHORTNESS))


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the average towards the weights of a network, in place.

    The statistics of batch norm are averaged with the weights, counters are copied.

    Args:
        average: What `start_average` made of `net`.
        net: The network.
        decay: Part of the average that is kept, in 0..1.
    """
    pairs = list(zip(_tensors(average), _tensors(net), strict=True))
    floating = [pair for pair in pairs if pair[0].is_floating_point()]
    kept, new = [pair[0] for pair in floating], [pair[1] for pair in floating]
    move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    move(kept, new, None)
    for old, value in pairs:
        if not old.is_floating_point():
            old.copy_(value)


def fit_average(state: dict[str, Tensor], average: nn.Module | None, *, needed: bool) -> None:
    """Make the weights of a checkpoint suit a model with or without an average, in place.

    Args:
        state: All weights, with those of the network under `net.`, of the average under `average.`.
        average: That of the model. If the checkpoint has none, it starts from the weights of the
            network.
        needed: Whether the average is what gets scored, so that nothing else can stand in for it.

    Raises:
        CheckpointError: There is no average where it is needed.
    """
    names = [name for name in state if name.startswith("average.")]
    if needed and not names:
        raise CheckpointError(
            "the checkpoint has no average of the weights: trained without model.average_decay",
            "use the trained weights:  --model.use_average false",
        )
    if average is not None and not names:
        nets = [name for name in state if name.startswith("net.")]
        state |= {f"average.{name.removeprefix('net.')}": state[name].clone() for name in nets}
    elif average is None:
        for name in names:
            del state[name]


def _tensors(net: nn.Module) -> chain[Tensor]:
    return chain(net.parameters(), net.buffers())
