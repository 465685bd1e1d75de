"""A network that trains in milliseconds, for tests."""

import sys
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from places.models import ResNet
from places.models.residual_blocks import BasicBlock

FAILURE = "the network fails now"


def as_after_training(net: nn.Module) -> Any:  # noqa: ANN401  # a network of the same class
    """Give the batch norms of a network statistics and weights as after a training, in place."""
    for norm in net.modules():
        if isinstance(norm, _BatchNorm):
            if norm.running_mean is not None and norm.running_var is not None:
                norm.running_mean.normal_(0, 0.3)
                norm.running_var.uniform_(0.3, 3)
            if norm.affine:
                nn.init.uniform_(norm.weight, 0.5, 1.5)
                nn.init.normal_(norm.bias, 0, 0.3)
    return net.eval()


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


class Convolutional(nn.Sequential):
    """A network whose last layer is a convolution."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(nn.Conv2d(3, num_classes, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Strided(nn.Sequential):
    """A network that PyTorch cannot train with the channels last on a processor."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 1, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, num_classes),
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


class Overflowing(Tiny):
    """A network without numbers for bright pictures.

    Args:
        num_classes: Number of classes.
        bad: What it gives for them.
    """

    def __init__(self, num_classes: int, bad: str = "nan") -> None:
        super().__init__(num_classes)
        self.bad = float(bad)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]  # torch's
        grey = torch.tensor([0.485, 0.456, 0.406])
        brightness = (images * torch.tensor([0.229, 0.224, 0.225])[:, None, None]).mean(dim=(2, 3))
        is_bright = (brightness + grey).mean(dim=1) > 128 / 255
        return logits.masked_fill(is_bright[:, None] & (torch.arange(365) == 7), self.bad)


class FailingValidations(Tiny):
    """A network without numbers in all validations but one.

    Args:
        num_classes: Number of classes.
        good: The number of that validation.
    """

    def __init__(self, num_classes: int, good: int) -> None:
        super().__init__(num_classes)
        self.good = good
        self._number = -1

    def train(self, mode: bool = True) -> Self:
        """Count the validations."""
        self._number += self.training and not mode
        return super().train(mode)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]  # torch's
        return logits if self.training or self._number == self.good else logits * torch.nan


class Thin(ResNet):
    """A ResNet-18 with stochastic depth and an eighth of the channels.

    Args:
        num_classes: Number of classes.
        checkpoint_gradients: See `ResNet`.
    """

    def __init__(self, num_classes: int, checkpoint_gradients: bool = False) -> None:
        with torch.device("meta"):
            super().__init__(num_classes, 18, False, checkpoint_gradients, drop_path=0.5)
        self.conv1: nn.Module = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.inplanes = 8
        for number, channels in enumerate((8, 16, 32, 64), 1):
            stage = self._make_layer(BasicBlock, channels, 2, stride=1 if number == 1 else 2)
            setattr(self, f"layer{number}", stage)
        self.fc = nn.Linear(64, num_classes)
