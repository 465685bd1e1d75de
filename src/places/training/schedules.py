"""What the optimizer is given: parameter groups, and the learning rate at each step."""

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


@dataclass(frozen=True)
class Course:
    """The course of the learning rate over a run, told in epochs; see `SceneClassifier`."""

    schedule: Schedule
    warmup_epochs: float
    milestones: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse epochs that are negative, and steps without a place."""
        check_range("model.warmup_epochs", self.warmup_epochs, 0)
        check_range("model.milestones", min(self.milestones, default=0), 0)
        if self.schedule == "steps" and not self.milestones:
            raise ConfigError(
                "model.schedule steps needs the epochs of its steps",
                "type:  --model.milestones [30,60]",
            )

    def steer(self, optimizer: Optimizer, trainer: Trainer) -> LambdaLR:
        """Let an optimizer follow the course, step by step."""
        steps_per_epoch, num_steps = count_steps(trainer)
        factor = partial(
            learning_rate_factor,
            num_steps=num_steps,
            num_warmup_steps=round(self.warmup_epochs * steps_per_epoch),
            schedule=self.schedule,
            milestones=[round(epoch * steps_per_epoch) for epoch in self.milestones],
        )
        return LambdaLR(optimizer, factor)


def count_steps(trainer: Trainer) -> tuple[int, int]:
    """Return the optimizer steps of an epoch and those of the whole run."""
    # Never trainer.estimated_stepping_batches: it makes Lightning forget the loader's position.
    num_batches = len(trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
    limit = trainer.limit_train_batches
    limit = limit if isinstance(limit, int) else int(num_batches * limit)
    # The last step of an epoch is taken with fewer batches if need be.
    steps_per_epoch = -(-min(num_batches, limit) // trainer.accumulate_grad_batches) or 1
    if trainer.max_steps > 0:
        return steps_per_epoch, trainer.max_steps
    return steps_per_epoch, steps_per_epoch * max(1, trainer.max_epochs or 1)


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
