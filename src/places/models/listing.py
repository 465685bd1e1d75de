"""The networks of `places.models` by the names under which they are known. Imports no torch."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_RESNET, _VGG = "places.models.ResNet", "places.models.VGG"
_RESNET_PAPER = "He et al. 2015, arXiv 1512.03385"
_VGG_PAPER = "Simonyan & Zisserman 2014, arXiv 1409.1556"


@dataclass(frozen=True)
class Network:
    """A network as a recipe names it.

    Attributes:
        class_path: The class; its first argument is the number of classes.
        init_args: The other arguments, those that differ from their defaults in what they do.
        paper: Who published it, when and where.
        weights: Who publishes weights that fit: "CSAIL" (Places365), "torchvision", "timm"
            (both ImageNet).
    """

    class_path: str
    paper: str
    init_args: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()

    def build(self, num_classes: int = 365) -> "nn.Module":
        """Return the network, with random weights and in training mode."""
        module, _, name = self.class_path.rpartition(".")
        net: nn.Module = getattr(importlib.import_module(module), name)(
            num_classes, **self.init_args
        )
        return net


def _resnet(depth: int, *weights: str, paper: str = _RESNET_PAPER, **variant: object) -> Network:
    return Network(_RESNET, paper, {"depth": depth, **variant}, weights)


def _vgg(depth: int, *weights: str, paper: str = _VGG_PAPER, **variant: object) -> Network:
    return Network(_VGG, paper, {"depth": depth, **variant}, weights)


NETWORKS: dict[str, Network] = {
    "resnet18": _resnet(18, "CSAIL", "torchvision", "timm"),
    "resnet34": _resnet(34, "torchvision", "timm"),
    "resnet50": _resnet(50, "CSAIL", "torchvision", "timm"),
    "resnet101": _resnet(101, "torchvision", "timm"),
    "resnet152": _resnet(152, "torchvision", "timm"),
    "vgg11": _vgg(11, "torchvision", batch_norm=False),
    "vgg11_bn": _vgg(11, "torchvision", batch_norm=True),
    "vgg13": _vgg(13, "torchvision", batch_norm=False),
    "vgg13_bn": _vgg(13, "torchvision", batch_norm=True),
    "vgg16": _vgg(16, "torchvision", batch_norm=False),
    "vgg16_bn": _vgg(16, "torchvision", batch_norm=True),
    "vgg19": _vgg(19, "torchvision", batch_norm=False),
    "vgg19_bn": _vgg(19, "torchvision", batch_norm=True),
}
