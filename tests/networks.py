"""A network that trains in milliseconds, for tests."""

import sys
from typing import Self

import torch
from torch import Tensor, nn

FAILURE = "the network fails now"


class Tiny(nn.Sequential):
    """Two convolutions with batch norm: everything that matters for state, and little else."""

    def __init__(self, num_classes: int, width: int = 8) -> None:
        super().__init__(
            nn.Conv2d(3, width, 3, stride=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * width, num_classes),
        )


class Dropping(nn.Sequential):
    """A network whose training depends on random numbers that nobody saves."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(*list(Tiny(num_classes))[:-1], nn.Dropout(0.3), nn.Linear(16, num_classes))


class Frozen(Tiny):
    """A network whose batch norms never look at the batch, so that it may be cut into parts."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Switch to training, but not the batch norms."""
        super().train(mode)
        for layer in self:
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self


class Failing(Tiny):
    """A network that fails in one process of several, in its third training step.

    Args:
        num_classes: Number of classes.
        rank: The process.
    """

    def __init__(self, num_classes: int, rank: int = 1) -> None:
        super().__init__(num_classes)
        self.rank = rank
        self._num_steps = 0

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        self._num_steps += self.training
        if self._num_steps == 3 and torch.distributed.get_rank() == self.rank:
            print(FAILURE, file=sys.stderr, flush=True)
            raise RuntimeError(f"the network of process {self.rank} failed")
        logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]  # torch's
        return logits
