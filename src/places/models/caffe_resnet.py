"""ResNet as Caffe has it: the published ResNet-152 for Places365 is one."""

from typing import Literal

from torch import nn

from places.models.resnet import ResNet


class CaffeResNet(ResNet):
    """Residual network of He et al. 2015 as its authors published it for Caffe.

    Paper: arXiv 1512.03385. Two things differ from `ResNet`, which is torchvision's: the first 1x1
    convolution of a bottleneck carries the stride, not the 3x3 one, and the first pooling rounds
    its size up instead of padding. Names and shapes of the weights, and so their number, are the
    same; outputs are not. For `resnet152_places365.caffemodel`; train a `ResNet`, which is the
    better one.

    Takes images `(N, 3, H, W)`, float, normalised, H and W of 32 or more (224 in the paper), and
    returns logits `(N, num_classes)`.

    Args:
        num_classes: Number of categories, the width of the last layer `fc`.
        depth: Number of layers with weights.
        checkpoint_gradients: Keep the input of each block only and compute the rest again for the
            gradients: less memory for about a third more time. Results are the same.
    """

    def __init__(
        self,
        num_classes: int,
        depth: Literal[50, 101, 152] = 152,
        checkpoint_gradients: bool = False,
    ) -> None:
        super().__init__(num_classes, depth, checkpoint_gradients=checkpoint_gradients)
        stride_as_in_caffe(self)


def stride_as_in_caffe(net: nn.Module) -> None:
    """Change a ResNet of bottlenecks in place, so that it computes what Caffe's does."""
    for layer in net.modules():
        first, second = getattr(layer, "conv1", None), getattr(layer, "conv2", None)
        if isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d):
            first.stride, second.stride = second.stride, (1, 1)
    net.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, ceil_mode=True)
