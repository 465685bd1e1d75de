"""Parameter groups of the optimizer and the schedule of its learning rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from lightning.pytorch import Trainer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from places.config.ranges import check_range
from places.errors import ConfigError
from places.lightning_internals import data_module

ScheduleName = Literal["cosine", "linear", "steps", "constant"]


def parameter_groups(net: nn.Module, *, decay_norms_and_biases: bool) -> list[dict[str, Any]]:
    """Return the trainable parameters in two groups: with and without weight decay.

    Args:
        net: The network.
        decay_norms_and_biases: Apply weight decay to all parameters. Otherwise not to those with
            one dimension, biases and the parameters of norms (He et al. 2018, Bag of Tricks,
            arXiv 1812.01187).
    """
    parameters = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if decay_norms_and_biases:
        return [{"params": parameters}]
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    others = [parameter for parameter in parameters if parameter.ndim <= 1]
    return [{"params": decayed}, {"params": others, "weight_decay": 0.0}]


@dataclass(frozen=True)
class Schedule:
    """A learning rate schedule with a linear warm-up."""

    name: ScheduleName  # its shape after the warm-up
    warmup_epochs: float
    milestones: tuple[float, ...]  # epochs at which "steps" divides the learning rate by 10

    def __post_init__(self) -> None:
        """Refuse negative epochs, and "steps" without milestones."""
        check_range("model.warmup_epochs", self.warmup_epochs, 0)
        check_range("model.milestones", min(self.milestones, default=0), 0)
        if self.name == "steps" and not self.milestones:
            raise ConfigError(
                "model.schedule steps needs the epochs of its steps",
                "type:  --model.milestones [30,60]",
            )

    def attach(self, optimizer: Optimizer, trainer: Trainer) -> LambdaLR:
        """Return the scheduler of an optimizer, to be stepped after each optimizer step."""
        steps_per_epoch, num_steps = _count_steps(trainer)
        factor = partial(
            _learning_rate_factor,
            num_steps=num_steps,
            num_warmup_steps=round(self.warmup_epochs * steps_per_epoch),
            schedule=self.name,
            milestones=[round(epoch * steps_per_epoch) for epoch in self.milestones],
        )
        return LambdaLR(optimizer, factor)


def _count_steps(trainer: Trainer) -> tuple[int, int]:
    """Return the number of optimizer steps of an epoch and of the whole run."""
    # Not trainer.estimated_stepping_batches: with it Lightning loses the loader's position when a
    # run is resumed.
    data = data_module(trainer)
    assert data is not None
    num_batches = len(data.train_dataloader())
    limit = trainer.limit_train_batches
    limit = limit if isinstance(limit, int) else int(num_batches * limit)
    # Rounded up: the last step of an epoch may accumulate fewer batches than the others.
    steps_per_epoch = -(-min(num_batches, limit) // trainer.accumulate_grad_batches) or 1
    if trainer.max_steps > 0:
        return steps_per_epoch, trainer.max_steps
    return steps_per_epoch, steps_per_epoch * max(1, trainer.max_epochs or 1)


def _learning_rate_factor(
    step: int,
    *,
    num_steps: int,
    num_warmup_steps: int,
    schedule: ScheduleName,
    milestones: Sequence[int] = (),
) -> float:
    """Return the factor of the learning rate in an optimizer step, counted from 0.

    It rises linearly to 1 at step `num_warmup_steps`. Then "cosine" falls to 0 after the last step
    (Loshchilov, Hutter 2016, arXiv 1608.03983), "linear" does so in a straight line (Li et al.
    2019, Budgeted Training, arXiv 1905.04753), and "steps" divides by 10 at each milestone.
    """
    if step < num_warmup_steps:
        return (step + 1) / (num_warmup_steps + 1)
    progress = min(1.0, (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps))
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "linear":
        return 1 - progress
    if schedule == "steps":
        return 0.1 ** sum(step >= milestone for milestone in milestones)
    return 1.0
