"""The networks of `places.models` by the names under which they are known. Imports no torch."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

_RESNET_PAPER = "He et al. 2015, arXiv 1512.03385"
_RESNET_D_PAPER = "He et al. 2018, arXiv 1812.01187"
_BLUR_PAPER = "Zhang 2019, arXiv 1904.11486"
_SE_PAPER = "Hu et al. 2017, arXiv 1709.01507"
_RESNEXT_PAPER = "Xie et al. 2016, arXiv 1611.05431"
_WIDE_PAPER = "Zagoruyko & Komodakis 2016, arXiv 1605.07146"
_VGG_PAPER = "Simonyan & Zisserman 2014, arXiv 1409.1556"
_GLOBAL_POOL_PAPER = "Lin et al. 2013, arXiv 1312.4400"
_REPVGG_PAPER = "Ding et al. 2021, arXiv 2101.03697"


@dataclass(frozen=True)
class Network:
    """A network as a recipe names it.

    Attributes:
        class_path: The class; its first argument is the number of classes.
        paper: Who published it, or what makes it a variant, when and where.
        init_args: The other arguments.
        weights: Who publishes weights for it: "CSAIL" (Places365; of a VGG for Caffe),
            "torchvision" and "timm" (both ImageNet).
    """

    class_path: str
    paper: str
    init_args: Mapping[str, Any] = field(default_factory=dict)
    weights: tuple[str, ...] = ()

    def build(self, num_classes: int = 365) -> "nn.Module":
        """Return the network, with random weights and in training mode."""
        module, _, name = self.class_path.rpartition(".")
        made = getattr(importlib.import_module(module), name)
        net: nn.Module = made(num_classes, **self.init_args)
        return net


def _resnet(depth: int, *weights: str, paper: str = _RESNET_PAPER, **variant: object) -> Network:
    return Network("places.models.ResNet", paper, {"depth": depth, **variant}, weights)


def _resnet_d(depth: int, *weights: str) -> Network:
    return _resnet(depth, *weights, paper=_RESNET_D_PAPER, resnet_d=True)


def _vgg(depth: int, batch_norm: bool, *more_weights: str) -> Network:
    arguments = {"depth": depth, "batch_norm": batch_norm}
    weights = (*more_weights, "torchvision", "timm")
    return Network("places.models.VGG", _VGG_PAPER, arguments, weights)


def _vgg_gap(depth: int, batch_norm: bool) -> Network:
    arguments = {"depth": depth, "batch_norm": batch_norm, "global_pool": True}
    return Network("places.models.VGG", _GLOBAL_POOL_PAPER, arguments)


def _repvgg(variant: str) -> Network:
    return Network("places.models.RepVGG", _REPVGG_PAPER, {"variant": variant}, ("timm",))


# The names are those of timm, torchvision and CSAIL.
NETWORKS: dict[str, Network] = {
    "resnet18": _resnet(18, "CSAIL", "torchvision", "timm"),
    "resnet34": _resnet(34, "torchvision", "timm"),
    "resnet50": _resnet(50, "CSAIL", "torchvision", "timm"),
    "resnet101": _resnet(101, "torchvision", "timm"),
    "resnet152": _resnet(152, "torchvision", "timm"),
    "resnet18d": _resnet_d(18, "timm"),
    "resnet34d": _resnet_d(34, "timm"),
    "resnet50d": _resnet_d(50, "timm"),
    "resnet101d": _resnet_d(101, "timm"),
    "resnet152d": _resnet_d(152, "timm"),
    "resnetblur18": _resnet(18, paper=_BLUR_PAPER, blur_pool=True),
    "resnetblur50": _resnet(50, "timm", paper=_BLUR_PAPER, blur_pool=True),
    "seresnet18": _resnet(18, paper=_SE_PAPER, squeeze_excite=True),
    "seresnet50": _resnet(50, "timm", paper=_SE_PAPER, squeeze_excite=True),
    "resnext50_32x4d": _resnet(
        50, "torchvision", "timm", paper=_RESNEXT_PAPER, groups=32, width_per_group=4
    ),
    "resnext101_32x8d": _resnet(
        101, "torchvision", "timm", paper=_RESNEXT_PAPER, groups=32, width_per_group=8
    ),
    "wide_resnet50_2": _resnet(50, "torchvision", "timm", paper=_WIDE_PAPER, width_per_group=128),
    "wide_resnet101_2": _resnet(101, "torchvision", "timm", paper=_WIDE_PAPER, width_per_group=128),
    "vgg11": _vgg(11, batch_norm=False),
    "vgg11_bn": _vgg(11, batch_norm=True),
    "vgg13": _vgg(13, batch_norm=False),
    "vgg13_bn": _vgg(13, batch_norm=True),
    "vgg16": _vgg(16, False, "CSAIL"),  # for Caffe
    "vgg16_bn": _vgg(16, batch_norm=True),
    "vgg19": _vgg(19, batch_norm=False),
    "vgg19_bn": _vgg(19, batch_norm=True),
    "vgg16_gap": _vgg_gap(16, batch_norm=False),
    "vgg16_bn_gap": _vgg_gap(16, batch_norm=True),
    "repvgg_a0": _repvgg("A0"),
    "repvgg_a1": _repvgg("A1"),
    "repvgg_b0": _repvgg("B0"),
    "alexnet": Network(
        "places.models.AlexNet",
        "Krizhevsky 2014, arXiv 1404.5997",
        weights=("CSAIL", "torchvision"),
    ),
    "densenet161": Network(
        "places.models.DenseNet161",
        "Huang et al. 2016, arXiv 1608.06993",
        weights=("CSAIL", "torchvision", "timm"),
    ),
    "wideresnet18": Network(
        "places.models.WideResNet18", "Zhou et al. 2017, IEEE TPAMI", weights=("CSAIL",)
    ),
}
