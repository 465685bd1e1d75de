"""Squeeze-and-excitation: channels are weighted by what the whole picture holds."""

from torch import Tensor, nn

_REDUCTION, _LEAST = 16, 8


class SqueezeExcite(nn.Module):
    """Multiplies each channel by a number in 0..1, computed from the means of all channels.

    Hu et al. 2017, "Squeeze-and-Excitation Networks", arXiv 1709.01507. Between the two layers are
    16 times fewer channels, but, as in timm, at least 8. Names of the weights are timm's.

    Args:
        num_channels: Of the maps `(N, C, H, W)` that it takes and returns.
    """

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        num_inner = max(_LEAST, num_channels // _REDUCTION)
        self.fc1 = nn.Conv2d(num_channels, num_inner, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Conv2d(num_inner, num_channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the weighted maps."""
        means = maps.mean(dim=(2, 3), keepdim=True)
        weights: Tensor = self.fc2(self.relu(self.fc1(means))).sigmoid()
        return maps * weights
