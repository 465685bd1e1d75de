"""ResNet and its variants: torchvision's network behind a constructor that a recipe can call."""

from itertools import pairwise
from typing import Literal

import torch
import torchvision
from torch import Tensor, nn

from places.models.blur_pool import BlurPool
from places.models.drop_path import branch_factors, drop_probabilities
from places.models.folded import folded_for_inference
from places.models.recompute import recomputed
from places.models.residual_blocks import (
    BasicBlock,
    Block,
    Bottleneck,
    last_norm,
    strided_convolution,
)
from places.models.squeeze_excite import SqueezeExcite

# Residual blocks in each of the four stages: table 1 of the paper.
_BLOCKS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 8, 36, 3]),
}
_STEM_CHANNELS = (3, 32, 32, 64)  # of ResNet-D


class ResNet(torchvision.models.ResNet):  # type: ignore[misc]  # torchvision ships no types
    """Residual network of He et al. 2015, "Deep Residual Learning for Image Recognition".

    Paper: arXiv 1512.03385. As in torchvision, the 3x3 convolution of a bottleneck carries the
    stride (often called v1.5); names and shapes of the weights are torchvision's too. Those that a
    variant adds or moves are called as in timm: `resnet50d`, `seresnet50`, `resnetblur50`.

    Takes images `(N, 3, H, W)`, float, normalised, H and W of 32 or more (224 in the paper), and
    returns logits `(N, num_classes)`. Parameters at 365 classes: 11.4 M, 21.5 M, 24.3 M, 43.2 M
    and 58.9 M for the depths in rising order. The variants may be combined; `places models` lists
    what they cost.

    Args:
        num_classes: Number of categories, the width of the last layer `fc`.
        depth: Number of layers with weights. 18 and 34 use basic blocks, the others bottlenecks.
        zero_init_residual: Start the last normalisation of each residual branch at scale 0, so that
            every block begins as the identity (Goyal et al. 2017, "Accurate, Large Minibatch SGD:
            Training ImageNet in 1 Hour", arXiv 1706.02677). It helps training with large batches;
            the paper and torchvision start at 1.
        checkpoint_gradients: Keep the input of each block only and compute the rest again for the
            gradients: less memory for about a third more time. Results are the same.
        resnet_d: ResNet-D (He et al. 2018, "Bag of Tricks for Image Classification with
            Convolutional Neural Networks", arXiv 1812.01187): three 3x3 convolutions in place of
            the first 7x7, and shortcuts that average before their 1x1 convolution, which would
            drop three pixels of four. 19,232 parameters more.
        blur_pool: Blur before maps become smaller: the max pooling and the 3x3 convolutions with a
            stride (Zhang 2019, "Making Convolutional Networks Shift-Invariant Again", arXiv
            1904.11486). As in timm the 1x1 convolutions of shortcuts keep their stride, which the
            author blurs too; with `resnet_d` they have none. No parameters.
        squeeze_excite: Weight the channels of each residual branch by what the whole picture holds
            (Hu et al. 2017, "Squeeze-and-Excitation Networks", arXiv 1709.01507): a tenth more
            parameters, hardly more arithmetic.
        drop_path: Stochastic depth (Huang et al. 2016, "Deep Networks with Stochastic Depth", arXiv
            1603.09382): probability with which the last block is skipped for a picture in training,
            in 0..1 without 1; blocks before it are skipped the less the earlier they come.
        groups: Groups of the 3x3 convolutions of bottlenecks: ResNeXt (Xie et al. 2016, "Aggregated
            Residual Transformations for Deep Neural Networks", arXiv 1611.05431) has 32 at a
            `width_per_group` of 4 (depth 50) or 8 (depth 101).
        width_per_group: Channels of each group in the first stage. With one group 128 makes the
            bottlenecks twice as wide (Zagoruyko & Komodakis 2016, "Wide Residual Networks", arXiv
            1605.07146).
    """

    def __init__(
        self,
        num_classes: int,
        depth: Literal[18, 34, 50, 101, 152] = 50,
        zero_init_residual: bool = False,
        checkpoint_gradients: bool = False,
        resnet_d: bool = False,
        blur_pool: bool = False,
        squeeze_excite: bool = False,
        drop_path: float = 0.0,
        groups: int = 1,
        width_per_group: int = 64,
    ) -> None:
        _check(depth, drop_path, groups, width_per_group)
        kind, num_blocks = _BLOCKS[depth]
        super().__init__(
            kind,
            num_blocks,
            num_classes,
            zero_init_residual=zero_init_residual,
            groups=groups,
            width_per_group=width_per_group,
        )
        self._checkpoint_gradients = checkpoint_gradients
        self._drop_probabilities = drop_probabilities(sum(num_blocks), drop_path)
        if resnet_d:
            self.conv1: nn.Module = _deep_stem()
        if blur_pool:
            self.maxpool: nn.Module = nn.Sequential(
                nn.MaxPool2d(3, stride=1, padding=1), BlurPool()
            )
        for block in self._blocks():
            if resnet_d and block.downsample is not None:
                block.downsample = _averaging(block.downsample)
            if blur_pool and block.stride > 1:
                strided_convolution(block).stride = (1, 1)
                block.blur = BlurPool()
            if squeeze_excite:
                block.se = SqueezeExcite(last_norm(block).num_features)
                _initialise(block.se)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of normalised images."""
        logits: Tensor
        drops = self._drop_probabilities[-1] > 0
        if not self.training or not (self._checkpoint_gradients or drops):
            logits = super().forward(images)
            return logits
        factors = branch_factors(images, self._drop_probabilities) if drops else None
        features = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for number, block in enumerate(self._blocks()):
            factor = factors[number] if factors is not None and number else None
            if self._checkpoint_gradients:
                features = recomputed(block, features, factor)
            else:
                features = block(features, factor)
        logits = self.fc(torch.flatten(self.avgpool(features), 1))
        return logits

    def folded(self) -> nn.Module:
        """Return the same network for inference, see `places.models.folded`."""
        return folded_for_inference(self)

    def _blocks(self) -> list[Block]:
        stages = (self.layer1, self.layer2, self.layer3, self.layer4)
        return [block for stage in stages for block in stage]


def _check(depth: int, drop_path: float, groups: int, width_per_group: int) -> None:
    if depth not in _BLOCKS:
        raise ValueError(f"depth must be one of {', '.join(map(str, _BLOCKS))}, not {depth}")
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path must be in 0..1 without 1, not {drop_path}")
    for name, value in (("groups", groups), ("width_per_group", width_per_group)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")
    if _BLOCKS[depth][0] is BasicBlock and (groups, width_per_group) != (1, 64):
        raise ValueError(
            "groups and width_per_group are for bottlenecks, depth 50, 101 or 152: "
            f"with depth {depth} they must be 1 and 64, not {groups} and {width_per_group}"
        )


def _deep_stem() -> nn.Sequential:
    """Return three 3x3 convolutions, which are followed by the first normalisation."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise(_STEM_CHANNELS)):
        if number:
            layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True)]
        stride = 1 if number else 2
        layers.append(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False))
    stem = nn.Sequential(*layers)
    _initialise(stem)
    return stem


def _averaging(downsample: nn.Sequential) -> nn.Sequential:
    """Return a shortcut that averages in place of the stride of its convolution."""
    conv, norm = downsample
    assert isinstance(conv, nn.Conv2d)
    stride = conv.stride[0]
    conv.stride = (1, 1)
    pool = nn.AvgPool2d(2, stride, ceil_mode=True, count_include_pad=False)
    return nn.Sequential(pool if stride > 1 else nn.Identity(), conv, norm)


def _initialise(part: nn.Module) -> None:
    """Start the convolutions of a part as torchvision and timm start those of the others."""
    for layer in part.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
