"""A network that trains in milliseconds, for tests."""

from torch import nn


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
