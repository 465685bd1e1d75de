"""A `.caffemodel` as tensors under torchvision's names, for normalised RGB pictures.

Caffe's networks take blue, green and red in 0..255 less a mean. Ours take red, green and blue in
0..1, less a mean and over a standard deviation. The first convolution takes the difference in:

    w' = 255 * std * scale * w
    b' = b + sum over its taps of w * scale * (255 * mean - caffe_mean)

At the border the two differ, unless both means are the same: Caffe pads with its mean, ours with
its own. `--ckpt_path` and `places.load` therefore set the mean to Caffe's, and then the logits are
equal everywhere, but for rounding. With another `mean` a line says so.
"""

import math
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from places.console import say
from places.models.caffe.layers import Layer, Numbers, read_mean, read_network
from places.models.caffe.names import is_resnet, named_layers, tensors_of
from places.models.caffe.wire import WireError

# Blue, green and red of places365CNN_mean.binaryproto, as CSAIL publishes it beside its networks:
# averaged over the places of the picture, as Caffe's own Python scripts do it.
PLACES365_MEAN = (104.05100722, 112.51448911, 116.67603893)
_NEAR = 1e-3  # of 255: closer means are the same
_RESNET_DEPTHS = {16: 50, 33: 101, 50: 152}  # by the number of blocks
_VGG_DEPTHS = {8: 11, 10: 13, 13: 16, 16: 19}  # by the number of convolutions
_MEAN_FILES = ("places365CNN_mean.binaryproto", "places2CNN365_mean.binaryproto")


class CaffeFile(NamedTuple):
    """What a `.caffemodel` tells.

    Attributes:
        layers: By torchvision's names, see `named_layers`.
        mean: Blue, green and red in 0..255.
        scale: By what the difference from the mean was multiplied.
        where: Where the mean comes from, in words.
    """

    layers: dict[str, list[Layer]]
    mean: tuple[float, float, float]
    scale: float
    where: str


def read_caffe(path: Path) -> CaffeFile:
    """Read a `.caffemodel`, and the mean picture beside it, if there is one.

    Raises:
        WireError: It is damaged or of an unknown network.
        OSError: It cannot be read.
    """
    network = read_network(path)
    layers = named_layers(network)
    if network.mean is not None:
        return CaffeFile(layers, network.mean, network.scale, "told by the file")
    told = PurePosixPath(network.mean_file or "").name
    for name in dict.fromkeys(filter(None, (told, *_MEAN_FILES))):
        beside = path.parent / name
        if name.endswith(".binaryproto") and beside.is_file():
            try:
                return CaffeFile(layers, read_mean(beside), network.scale, f"of {beside}")
            except WireError as error:
                raise WireError(f"{beside} is no mean picture: {error}") from error
    return CaffeFile(layers, PLACES365_MEAN, network.scale, "of CSAIL's mean picture")


def rgb_mean(file: CaffeFile) -> tuple[float, float, float]:
    """Return the mean red, green and blue in 0..1."""
    blue, green, red = file.mean
    return red / 255, green / 255, blue / 255


def network_of_caffe(file: CaffeFile) -> tuple[str, dict[str, object]] | None:
    """Return the class of the network in a file, and its arguments; `None` if it has none here."""
    if is_resnet(file.layers):
        depth = _RESNET_DEPTHS.get(sum(name.endswith(".conv3") for name in file.layers))
        # Where the stride is, if the file tells it; nearly all are as the authors published it.
        first = file.layers["layer2.0.conv1"][0] if "layer2.0.conv1" in file.layers else None
        is_torchvisions = first is not None and first.strides == [1]
        name = "ResNet" if is_torchvisions else "CaffeResNet"
        return (f"places.models.{name}", {"depth": depth}) if depth else None
    num_convolutions = sum(name.startswith("features.") for name in file.layers)
    depth = _VGG_DEPTHS.get(num_convolutions)
    return ("places.models.VGG", {"depth": depth, "batch_norm": False}) if depth else None


def num_classes_of(file: CaffeFile) -> int | None:
    """Return the number of classes; `None` if the last layer is not there."""
    head = file.layers.get("fc" if is_resnet(file.layers) else "classifier.6")
    return len(head[0].blobs[0].reshape(head[0].blobs[0].shape[-2:])) if head else None


def caffe_tensors(
    file: CaffeFile,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    names: Collection[str] = (),
) -> dict[str, Tensor]:
    """Return the tensors of a file for pictures that are normalised like this.

    Args:
        file: As `read_caffe` returns it.
        mean: Mean of red, green and blue, in 0..1.
        std: Their standard deviation.
        names: The tensors of the network. A bias that it has no place for goes into the norm.

    Raises:
        WireError: Layers have not the weights that they should have.
    """
    arrays: dict[str, Numbers] = {}
    for name, layers in file.layers.items():
        arrays |= tensors_of(name, layers)
    first = next(iter(file.layers))
    weight = arrays[f"{first}.weight"]
    if weight.ndim != 4 or weight.shape[1] != 3:
        raise WireError(f"the first layer, {first}, takes no three colours: {weight.shape}")
    rgb = np.asarray(weight, np.float64)[:, ::-1] * file.scale
    offset = 255 * np.array(mean) - np.array(file.mean[::-1])
    shift = np.einsum("ochw,c->o", rgb, offset)
    arrays[f"{first}.weight"] = rgb * (255 * np.array(std)[:, None, None])
    bias = shift + arrays.pop(f"{first}.bias", np.zeros(len(rgb)))
    if is_resnet(file.layers) and f"{first}.bias" not in names:
        if "bn1.running_mean" not in arrays:
            raise WireError("a ResNet without a batch norm after its first layer")
        arrays["bn1.running_mean"] = arrays["bn1.running_mean"] - bias
    else:
        arrays[f"{first}.bias"] = bias
    if np.abs(offset).max() > _NEAR * 255:
        typed = ",".join(f"{value:.6f}" for value in rgb_mean(file))
        say(
            "Caffe pads pictures with its mean, this network with its own: to have the same at "
            f"the border, too:  --model.mean [{typed}]"
        )
    return {name: torch.from_numpy(np.array(value, np.float32)) for name, value in arrays.items()}


def match_eps(file: CaffeFile, net: nn.Module, weights: dict[str, Tensor]) -> None:
    """Change variances so that a norm with another small number added to them does the same."""
    for name, layers in file.layers.items():
        norm = dict(net.named_modules()).get(name) if layers[0].kind == "BatchNorm" else None
        if isinstance(norm, nn.BatchNorm2d) and not math.isclose(norm.eps, layers[0].eps):
            weights[f"{name}.running_var"] = (
                weights[f"{name}.running_var"] + layers[0].eps - norm.eps
            )


def other_strides(file: CaffeFile, net: nn.Module) -> list[str]:
    """Return the convolutions whose strides or groups in a network are not those of the file."""
    layers = dict(net.named_modules())
    found = []
    for name, (first, *_) in file.layers.items():
        conv = layers.get(name)
        if isinstance(conv, nn.Conv2d) and first.strides:
            told = tuple(first.strides * 2)[:2]
            if told != conv.stride or first.groups != conv.groups:
                found.append(f"{name} {told} instead of {conv.stride}")
    return found
