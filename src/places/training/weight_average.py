"""An exponential moving average (EMA) of the weights of a network, which often scores better."""

import copy
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from places.errors import CheckpointError, ConfigError

# The decay of step n is n / (n + 9) until that exceeds the one asked for: an average over about the
# last tenth of the steps so far.
_WARMUP_OFFSET = 9


def start_average(net: nn.Module, decay: float) -> nn.Module:
    """Return a copy of a network, without gradients, for the average.

    Raises:
        ConfigError: The decay is negative, or 1 or more.
    """
    if not 0 <= decay < 1:
        raise ConfigError(f"model.average_decay is 0 or more and below 1, not {decay}")
    return copy.deepcopy(net).requires_grad_(False)


def decay_at(step: int, decay: float) -> float:
    """Return the decay of an optimizer step: `decay`, but less in the first steps.

    That of step 0 is 0, so that the average forgets the random weights.
    """
    return min(decay, step / (step + _WARMUP_OFFSET))


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Update the average in place: `average = decay * average + (1 - decay) * net`.

    The statistics of batch norms are averaged like weights; integer buffers are copied.

    Args:
        average: What `start_average` returned for `net`.
        net: The network.
        decay: Weight of the old average, in 0..1.
    """
    pairs = list(zip(_tensors(average), _tensors(net), strict=True))
    floating = [pair for pair in pairs if pair[0].is_floating_point()]
    update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    update([old for old, _ in floating], [new for _, new in floating], None)
    for old, value in pairs:
        if not old.is_floating_point():
            old.copy_(value)


def match_average(state: dict[str, Tensor], average: nn.Module | None, *, needed: bool) -> None:
    """Make the `state_dict` of a checkpoint match a model with or without an average, in place.

    Args:
        state: The weights: those of the network as `net.`, those of the average as `average.`.
        average: The average of the model, or `None`, for which that in the checkpoint is dropped.
            If the checkpoint has none, it starts from the weights of the network.
        needed: Whether the average is tested or predicted with: the weights of the network are no
            replacement then.

    Raises:
        CheckpointError: The checkpoint has no average and it is needed.
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
