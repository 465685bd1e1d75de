"""RepVGG: branches while it is trained, one 3x3 convolution after the other when it is used."""

from collections import OrderedDict
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from places.models.folded import Branches, foldable, folded_for_inference, folded_weights
from places.models.recompute import recomputed

# Blocks in each of four stages, and their channels: tables 2 and 3 of the paper.
_STAGES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "A0": ((2, 4, 14, 1), (48, 96, 192, 1280)),
    "A1": ((2, 4, 14, 1), (64, 128, 256, 1280)),
    "B0": ((4, 6, 16, 1), (64, 128, 256, 1280)),
}
_COLOURS = 3


class RepVGG(nn.Module):
    """Plain network that is trained with branches, of Ding et al. 2021.

    Paper: "RepVGG: Making VGG-style ConvNets Great Again", arXiv 2101.03697. In training each layer
    is the sum of a 3x3 convolution, a 1x1 convolution and, where the shapes allow it, the identity,
    each with a batch norm. `folded()` makes one 3x3 convolution of each such sum: the same answers
    with fewer parameters and in fewer steps. `places predict` does it by itself.

    Names and shapes of the weights are timm's (`repvgg_a0` and so on); they start as in the
    authors' code, as PyTorch starts each layer.

    Takes images `(N, 3, H, W)`, float, normalised (224 in the paper), and returns logits
    `(N, num_classes)`. Parameters at 365 classes, in training and folded: A0 8.3 M and 7.5 M, A1
    13.3 M and 12.0 M, B0 15.0 M and 13.5 M.

    Args:
        num_classes: Number of categories, the width of the last layer `head.fc`.
        variant: A0 has 22 layers, A1 is wider, B0 has 28. In the paper A0 is a bit better than a
            ResNet-18 on ImageNet.
        checkpoint_gradients: Keep the input of each block only and compute the rest again for the
            gradients: less memory for about a third more time. Results are the same.
    """

    def __init__(
        self,
        num_classes: int,
        variant: Literal["A0", "A1", "B0"] = "A0",
        checkpoint_gradients: bool = False,
    ) -> None:
        super().__init__()
        if variant not in _STAGES:
            raise ValueError(f"variant must be one of {', '.join(_STAGES)}, not {variant}")
        self._checkpoint_gradients = checkpoint_gradients
        depths, channels = _STAGES[variant]
        self.stem = RepVGGBlock(_COLOURS, channels[0], stride=2)
        self.stages = nn.Sequential()
        for depth, (inputs, outputs) in zip(
            depths, pairwise((channels[0], *channels)), strict=True
        ):
            first = RepVGGBlock(inputs, outputs, stride=2)
            others = (RepVGGBlock(outputs, outputs) for _ in range(depth - 1))
            self.stages.append(nn.Sequential(first, *others))
        head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels[-1], num_classes))
        names = ("global_pool", "flatten", "fc")
        self.head = nn.Sequential(OrderedDict(zip(names, head, strict=True)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of normalised images."""
        logits: Tensor
        if not (self._checkpoint_gradients and self.training):
            logits = self.head(self.stages(self.stem(images)))
            return logits
        features = recomputed(self.stem, images)
        for stage in self.stages:
            assert isinstance(stage, nn.Sequential)
            for block in stage:
                features = recomputed(block, features)
        logits = self.head(features)
        return logits

    def folded(self) -> nn.Module:
        """Return the same network for inference: one 3x3 convolution for each block."""
        return folded_for_inference(self)


class RepVGGBlock(Branches):
    """The sum of a 3x3 convolution, a 1x1 convolution and the identity, each normalised; a ReLU.

    Args:
        inputs: Channels of the maps `(N, C, H, W)` that it takes.
        outputs: Channels of those that it returns.
        stride: Of the convolutions. The identity is there if it is 1 and the channels are as many.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        keeps_shape = inputs == outputs and stride == 1
        self.identity = nn.BatchNorm2d(outputs) if keeps_shape else None
        self.conv_kxk = _normalised(nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False))
        # It takes the pixels that it sees: with a stride, three channels would train wrongly on
        # processors, see `places.models.channels_last`.
        self._step = stride if inputs == _COLOURS else 1
        self.conv_1x1 = _normalised(nn.Conv2d(inputs, outputs, 1, stride // self._step, bias=False))
        self.act = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maps after the block."""
        seen = maps[:, :, :: self._step, :: self._step]
        total = self.conv_1x1(seen) + self.conv_kxk(maps)
        if self.identity is not None:
            total += self.identity(maps)
        result: Tensor = self.act(total)
        return result

    def fused(self) -> nn.Module | None:
        """Return one convolution and the ReLU; `None` if the batch norms cannot be folded."""
        conv = self.conv_kxk.get_submodule("conv")
        assert isinstance(conv, nn.Conv2d)
        pairs = [tuple(part.children()) for part in (self.conv_kxk, self.conv_1x1)]
        if self.identity is not None:
            same = nn.Conv2d(conv.in_channels, conv.out_channels, 1, bias=False, device="meta")
            ones = torch.eye(conv.in_channels).to(conv.weight)
            same.weight = nn.Parameter(ones[:, :, None, None], requires_grad=False)
            pairs.append((same, self.identity))
        found = [both for pair in pairs if (both := foldable(*pair)) is not None]
        if len(found) < len(pairs):
            return None
        stride = conv.stride[0]
        plain = nn.Conv2d(conv.in_channels, conv.out_channels, 3, stride, 1, device="meta")
        plain.weight, plain.bias = _sum([folded_weights(*both) for both in found])
        names = {"reparam_conv": plain, "act": nn.ReLU(inplace=True)}
        return nn.Sequential(OrderedDict(names)).eval()


def _normalised(conv: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(conv.out_channels)))


def _sum(parts: list[tuple[nn.Parameter, nn.Parameter]]) -> tuple[nn.Parameter, nn.Parameter]:
    """Return the weight and the bias of the sum of a 3x3 convolution and others of 1x1."""
    # Not inference tensors, which the compiler does not take for weights.
    with torch.inference_mode(False), torch.no_grad():
        weights, biases = zip(*parts, strict=True)
        weight = sum((F.pad(other, [1, 1, 1, 1]) for other in weights[1:]), weights[0].detach())
        bias = sum(biases[1:], biases[0].detach())
        return nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
