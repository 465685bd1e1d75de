"""From Caffe's names of layers to torchvision's, for the networks that CSAIL published so."""

import re
from collections.abc import Iterator

import numpy as np

from places.console import first_few
from places.models.caffe.layers import CaffeNetwork, Layer, Numbers
from places.models.caffe.wire import WireError

# conv1_1 and fc6, of VGG; the last layer has other names in other files: fc8, fc8a.
_VGG_CONV = re.compile(r"conv([1-5])_([1-9])")
_VGG_LINEAR = {"fc6": 0, "fc7": 3, "fc8": 6}
# conv1, bn_conv1, scale_conv1, res2a_branch1, bn3b11_branch2a, scale5c_branch2c, fc365: of ResNet.
_RESNET = re.compile(r"(res|bn|scale)([2-5])([a-z])(\d*)_branch(1|2[abc])")
_STEM = {"conv1": "conv1", "bn_conv1": "bn1", "scale_conv1": "bn1"}
_BRANCHES = {"res": {"1": "downsample.0", "2a": "conv1", "2b": "conv2", "2c": "conv3"}}
_BRANCHES["bn"] = {"1": "downsample.1", "2a": "bn1", "2b": "bn2", "2c": "bn3"}
_BRANCHES["scale"] = _BRANCHES["bn"]


def named_layers(network: CaffeNetwork) -> dict[str, list[Layer]]:
    """Return the layers by torchvision's name; a batch norm and its scale have the same.

    Raises:
        WireError: They are those of another network; the message says of which, if it is known.
    """
    names = [layer.name for layer in network.layers]
    if any(_RESNET.fullmatch(name) for name in names):
        pairs = list(_of_resnet(network.layers))
    elif any(_VGG_CONV.fullmatch(name) for name in names):
        pairs = list(_of_vgg(network.layers))
    else:
        raise WireError(_other_network(names))
    found: dict[str, list[Layer]] = {}
    for name, layer in pairs:
        found.setdefault(name, []).append(layer)
    for name, layers in found.items():
        kinds = [layer.kind for layer in layers]
        if len(layers) > 1 and kinds != ["BatchNorm", "Scale"]:
            raise WireError(f"two layers for {name}: {', '.join(x.name for x in layers)}")
    return found


def is_resnet(layers: dict[str, list[Layer]]) -> bool:
    """Tell whether layers that `named_layers` returned are those of a ResNet."""
    return "layer1.0.conv1" in layers


def _of_resnet(layers: list[Layer]) -> Iterator[tuple[str, Layer]]:
    for layer in layers:
        known = _RESNET.fullmatch(layer.name)
        if known is not None:
            kind, stage, letter, number, branch = known.groups()
            # Blocks are called a, b, c or a, b1, b2...
            block = int(number) if number else ord(letter) - ord("a")
            yield f"layer{int(stage) - 1}.{block}.{_BRANCHES[kind][branch]}", layer
        elif layer.name in _STEM:
            yield _STEM[layer.name], layer
        elif layer.kind == "InnerProduct" and layer is layers[-1]:
            yield "fc", layer
        else:
            raise WireError(f"a layer {layer.name!r:.60} ({layer.kind:.40}), unknown in a ResNet")


def _of_vgg(layers: list[Layer]) -> Iterator[tuple[str, Layer]]:
    number, stage = 0, 1  # of the layer in `features`: a ReLU after each, a pooling between stages
    for layer in layers:
        known = _VGG_CONV.fullmatch(layer.name)
        linear = next((n for name, n in _VGG_LINEAR.items() if layer.name.startswith(name)), None)
        if known is not None:
            number += int(known[1]) != stage
            stage = int(known[1])
            yield f"features.{number}", layer
            number += 2
        elif linear is not None:
            yield f"classifier.{linear}", layer
        else:
            raise WireError(f"a layer {layer.name!r:.60} ({layer.kind:.40}), unknown in a VGG")


def _other_network(names: list[str]) -> str:
    if any(name.startswith("inception") for name in names):
        return "it holds a GoogLeNet, which places.models does not have"
    if {"conv1", "conv5", "fc6"} <= set(names):
        return (
            "it holds Caffe's AlexNet (local response norms, grouped convolutions), which differs "
            "from PyTorch's: take alexnet_places365.pth.tar"
        )
    return f"only VGG and ResNet are read of Caffe, not layers {first_few(names)}"


def tensors_of(name: str, layers: list[Layer]) -> dict[str, Numbers]:
    """Return the weights of the layers behind one of torchvision's names.

    A batch norm of Caffe keeps sums with one factor for both; what scales and shifts after it is a
    layer of its own.

    Raises:
        WireError: There are too few or too many.
    """
    first = layers[0]
    if first.kind == "BatchNorm":
        mean, variance, *rest = _expect(first, 2, 3)
        factor = float(rest[0].reshape(-1)[0]) if rest and rest[0].size else 1.0
        by = 0.0 if factor == 0 else 1 / factor  # as Caffe does
        scaled: list[Numbers] = [
            np.asarray(x, np.float64).reshape(-1) * by for x in (mean, variance)
        ]
        gain: Numbers = np.ones_like(scaled[0])
        shift: Numbers = np.zeros_like(scaled[0])
        if len(layers) > 1:
            blobs = _expect(layers[1], 1, 2)
            gain = np.asarray(blobs[0]).reshape(-1)
            shift = np.asarray(blobs[1]).reshape(-1) if len(blobs) > 1 else shift
        parts = {"weight": gain, "bias": shift}
        parts |= {"running_mean": scaled[0], "running_var": scaled[1]}
    else:
        weight, *bias = _expect(first, 1, 2)
        if first.kind == "InnerProduct":  # older files have axes of 1 before the two
            weight = weight.reshape(weight.shape[-2:]) if weight.ndim >= 2 else weight
        elif weight.ndim != 4:
            raise WireError(f"layer {first.name!r:.60} has weights of shape {weight.shape}")
        parts = {"weight": weight}
        parts |= {"bias": bias[0].reshape(-1)} if bias else {}
    return {f"{name}.{key}": value for key, value in parts.items()}


def _expect(layer: Layer, least: int, most: int) -> list[Numbers]:
    if not least <= len(layer.blobs) <= most:
        raise WireError(f"layer {layer.name!r:.60} ({layer.kind}) has {len(layer.blobs)} blobs")
    return layer.blobs
