"""Blur-pool: halve the size of maps after a blur, so that small shifts change little."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BlurPool(nn.Module):
    """Blurs with the 3x3 binomial filter and keeps every second row and column.

    Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", arXiv 1904.11486.

    Takes and returns maps `(N, C, H, W)` and `(N, C, (H + 1) // 2, (W + 1) // 2)`, H and W of 2 or
    more; beyond the border they are mirrored. It has no weights.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Return the smaller maps."""
        # Not F.pad, whose gradients differ from run to run on a GPU.
        maps = torch.cat([maps[:, :, 1:2], maps, maps[:, :, -2:-1]], dim=2)
        maps = torch.cat([maps[:, :, :, 1:2], maps, maps[:, :, :, -2:-1]], dim=3)
        # (1, 2, 1) / 4 is the mean of two means of two. So there is no filter to keep.
        return F.avg_pool2d(F.avg_pool2d(maps, 2, stride=1), 2, stride=2)
