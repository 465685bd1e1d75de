"""What the optimizer is given: parameter groups, and the learning rate at each step."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

Schedule = Literal["cosine", "steps", "constant"]


def parameter_groups(net: nn.Module, *, decay_norms_and_biases: bool) -> list[dict[str, Any]]:
    """Return the parameters in two groups: those that weight decay applies to, and the others.

    Args:
        net: The network.
        decay_norms_and_biases: Put all parameters under weight decay. Otherwise those with one
            dimension, that is biases and the scales of norms, are left out (He et al. 2018, Bag of
            Tricks, arXiv 1812.01187).
    """
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if decay_norms_and_biases:
        return [{"params": parameters}]
    return [
        {"params": [parameter for parameter in parameters if parameter.ndim > 1]},
        {
            "params": [parameter for parameter in parameters if parameter.ndim <= 1],
            "weight_decay": 0.0,
        },
    ]


def learning_rate_factor(
    step: int,
    *,
    num_steps: int,
    num_warmup_steps: int,
    schedule: Schedule,
    milestones: Sequence[int] = (),
) -> float:
    """Return what the learning rate is multiplied by in an optimizer step.

    Args:
        step: The step, from 0.
        num_steps: Number of steps of the whole run.
        num_warmup_steps: In the first steps the factor rises evenly, to 1 at this step.
        schedule: "cosine" falls from 1 at the end of the warm-up to 0 after the last step
            (Loshchilov, Hutter 2016, arXiv 1608.03983); "steps" divides by 10 at each milestone;
            "constant" stays at 1.
        milestones: Steps at which "steps" divides.
    """
    if step < num_warmup_steps:
        return (step + 1) / (num_warmup_steps + 1)
    if schedule == "cosine":
        progress = (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    if schedule == "steps":
        return 0.1 ** sum(step >= milestone for milestone in milestones)
    return 1.0
