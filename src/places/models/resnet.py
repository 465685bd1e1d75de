"""ResNet: torchvision's network behind a constructor that a recipe can call with a depth."""

from typing import Literal

import torch
import torchvision
from torch import Tensor
from torchvision.models.resnet import BasicBlock, Bottleneck

from places.models.recompute import recomputed

# Residual blocks in each of the four stages: table 1 of the paper.
_BLOCKS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 8, 36, 3]),
}


class ResNet(torchvision.models.ResNet):  # type: ignore[misc]  # torchvision ships no types
    """Residual network of He et al. 2015, "Deep Residual Learning for Image Recognition".

    Paper: arXiv 1512.03385. As in torchvision, the 3x3 convolution of a bottleneck carries the
    stride (often called v1.5); names and shapes of the weights are torchvision's too.

    Takes images `(N, 3, H, W)`, float, normalised, H and W of 32 or more (224 in the paper), and
    returns logits `(N, num_classes)`. Parameters at 365 classes: 11.4 M, 21.5 M, 24.3 M, 43.2 M
    and 58.9 M for the depths in rising order.

    Args:
        num_classes: Number of categories, the width of the last layer `fc`.
        depth: Number of layers with weights. 18 and 34 use basic blocks, the others bottlenecks.
        zero_init_residual: Start the last normalisation of each residual branch at scale 0, so that
            every block begins as the identity (Goyal et al. 2017, arXiv 1706.02677). It helps
            training with large batches; the paper and torchvision start at 1.
        checkpoint_gradients: Keep the input of each block only and compute the rest again for the
            gradients: less memory for about a third more time. Results are the same.
    """

    def __init__(
        self,
        num_classes: int,
        depth: Literal[18, 34, 50, 101, 152] = 50,
        zero_init_residual: bool = False,
        checkpoint_gradients: bool = False,
    ) -> None:
        if depth not in _BLOCKS:
            raise ValueError(f"depth must be one of {', '.join(map(str, _BLOCKS))}, not {depth}")
        block, num_blocks = _BLOCKS[depth]
        super().__init__(block, num_blocks, num_classes, zero_init_residual=zero_init_residual)
        self._checkpoint_gradients = checkpoint_gradients

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of normalised images."""
        logits: Tensor
        if not (self._checkpoint_gradients and self.training):
            logits = super().forward(images)
            return logits
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                features = recomputed(block, features)
        logits = self.fc(torch.flatten(self.avgpool(features), 1))
        return logits
