"""`.caffemodel` files whose layers are not those of a network that is read, and odd means."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.caffe.networks import resnet, torch_resnet, torch_vgg, vgg
from tests.models.caffe.writer import Caffe, Floats, blob, caffemodel, data, number, single, varint
from torch import nn

import places
from places.errors import CheckpointError
from places.models.caffe import wire
from places.models.weights import load_weights


def _ones(*shape: int) -> Floats:
    return np.ones(shape, np.float32)


def _vgg_with(at: int, **changes: object) -> list[Caffe]:
    """A VGG of which one layer is changed."""
    layers = vgg()
    for name, value in changes.items():
        setattr(layers[at], name, value)
    return layers


def _means(*values: float) -> Caffe:
    return Caffe("data", "Data", extra=data(100, b"".join(single(5, x) for x in values)))


def _without_norm() -> list[Caffe]:
    return [layer for layer in resnet() if layer.name not in ("bn_conv1", "scale_conv1")]


@pytest.fixture(scope="module")
def small() -> nn.Module:
    """A VGG that takes weights again and again."""
    return torch_vgg()


LINEAR = Caffe("more", "InnerProduct", [_ones(2, 2)])
ODD: dict[str, tuple[list[Caffe], str]] = {
    "another layer in a VGG": (
        [*vgg(), LINEAR],
        r"a layer 'more' \(InnerProduct\), unknown in a V",
    ),
    "another layer in a ResNet": ([LINEAR, *resnet()], r"a layer 'more' .*, unknown in a ResNet"),
    "a layer twice": ([*resnet()[:1], *resnet()], "two layers for conv1: conv1, conv1"),
    "weights of three axes": (_vgg_with(0, blobs=[_ones(8, 3, 3)]), r"has weights of shape \(8, 3"),
    "three blobs": (_vgg_with(-1, blobs=[_ones(2, 2)] * 3), r"layer 'fc8a' \(Inn.* has 3 blobs"),
    "grey pictures": (
        _vgg_with(0, blobs=[_ones(8, 1, 3, 3), _ones(8)]),
        r"the first layer, features\.0, takes no three colours: \(8, 1, 3, 3\)",
    ),
    "two means": ([_means(1, 2), *vgg()], "2 means of colours"),
    "no norm": (_without_norm(), "a ResNet without a batch norm after its first layer"),
    "a stride of bytes": (_vgg_with(0, extra=data(106, data(13, b"1"))), "not a whole number"),
    "weights that are a number": (_vgg_with(0, extra=data(7, number(5, 3))), "not numbers"),
    "a linear layer of 3 axes": (_vgg_with(-1, blobs=[_ones(2, 2, 2)]), "cannot reshape array"),
}


@pytest.mark.parametrize("name", ODD)
def test_layers_of_other_networks_are_refused_by_what_is_odd(
    name: str, tmp_path: Path, small: nn.Module
) -> None:
    layers, reason = ODD[name]
    file = tmp_path / "net.caffemodel"
    file.write_bytes(caffemodel(layers))
    net = torch_resnet() if layers[-1].name == "fc365" else small
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_weights(net, file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4


def test_strides_and_groups_are_compared_however_they_are_told(
    tmp_path: Path, small: nn.Module
) -> None:
    file = tmp_path / "net.caffemodel"

    def conv(height: int, width: int, groups: int) -> bytes:
        told = data(106, number(13, height) + number(14, width) + number(5, groups))
        return caffemodel(_vgg_with(0, extra=told))

    file.write_bytes(conv(1, 1, 1))
    load_weights(small, file)
    for height, width, groups in ((2, 1, 1), (1, 2, 1), (1, 1, 2)):
        file.write_bytes(conv(height, width, groups))
        with pytest.raises(CheckpointError, match="1 convolution with other strides"):
            load_weights(small, file)


def test_what_is_unknown_of_weights_is_passed_over(tmp_path: Path, small: nn.Module) -> None:
    file = tmp_path / "net.caffemodel"
    file.write_bytes(caffemodel(vgg()))
    load_weights(small, file)
    expected = {name: value.clone() for name, value in small.state_dict().items()}
    torch.nn.init.zeros_(small.get_parameter("features.0.bias"))
    layers = vgg()
    bias = layers[0].blobs[1]
    shape = data(7, number(2, 9) + data(1, varint(len(bias))))
    told = number(9, 4) + shape + data(5, bias.tobytes())
    layers[0].blobs, layers[0].extra = layers[0].blobs[:1], data(7, told)
    file.write_bytes(caffemodel(layers))
    load_weights(small, file)
    for name, value in small.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_a_norm_without_its_scale_scales_nothing(tmp_path: Path) -> None:
    file, nets = tmp_path / "net.caffemodel", [torch_resnet(), torch_resnet()]
    layers = resnet()
    (scale,) = (layer for layer in layers if layer.name == "scale_conv1")
    scale.blobs = [np.ones_like(scale.blobs[0]), np.zeros_like(scale.blobs[1])]
    for net, some in zip(nets, (layers, [x for x in layers if x is not scale]), strict=True):
        file.write_bytes(caffemodel(some))
        load_weights(net, file)
    for one, other in zip(*(net.state_dict().values() for net in nets), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (blob(_ones(1, 4, 4)), "no picture of three colours, but numbers of shape"),
        (b"", "it is empty"),
        (blob(_ones(3, 4, 4))[:-5], "field 5 is said to have"),
    ],
)
def test_a_mean_picture_that_is_none_is_named(
    content: bytes, reason: str, tmp_path: Path, small: nn.Module
) -> None:
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(vgg()))
    mean = tmp_path / "places365CNN_mean.binaryproto"
    mean.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{mean.name} is no mean picture: {reason}"):
        load_weights(small, tmp_path / "net.caffemodel")
    os.truncate(mean, 2**31 + 1)  # takes no room
    with pytest.raises(CheckpointError, match="2,147,483,649 bytes, more than Caffe can read"):
        load_weights(small, tmp_path / "net.caffemodel")


def test_more_than_any_file_needs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: nn.Module
) -> None:
    monkeypatch.setattr(wire, "_MAX_FIELDS", 100)
    file = tmp_path / "net.caffemodel"
    for content, reason in (
        (number(1, 1) * 101, "more than 100 fields in one message"),
        (data(100, data(7, data(7, data(1, b"\1" * 101)))), "field 1 has more than 100 numbers"),
    ):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=reason):
            load_weights(small, file)


def test_a_network_that_nobody_named_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(vgg()))  # of no depth that is known
    with pytest.raises(CheckpointError, match="of another depth than those of") as caught:
        places.load(tmp_path / "net.caffemodel")
    assert "net=YOUR_NETWORK" in str(caught.value)
