"""`.caffemodel` files against OpenCV's importer, and files that are none."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.caffe.networks import NUM_CLASSES, torch_vgg, vgg
from tests.models.caffe.opencv import CAN_IMPORT, CASES, RECORDED, logits, picture, written
from tests.models.caffe.writer import Caffe, caffemodel, data, number, single, varint
from torch import Tensor, nn

from places.errors import CheckpointError
from places.models import CaffeResNet
from places.models.caffe.weights import PLACES365_MEAN
from places.models.resnet import ResNet
from places.models.weights import flags_of_official, load_weights, network_of_official

STD = (0.229, 0.224, 0.225)
MEAN = tuple(value / 255 for value in PLACES365_MEAN[::-1])


def answer(net: nn.Module, mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> Tensor:
    pixels = torch.from_numpy(picture().copy()).permute(2, 0, 1)[None] / 255
    colours = [torch.tensor(values)[:, None, None] for values in (mean, std)]
    with torch.inference_mode():
        found: Tensor = net((pixels - colours[0]) / colours[1])[0]
    return found


@pytest.mark.parametrize("name", CASES)
def test_logits_are_those_of_opencv(name: str, tmp_path: Path) -> None:
    file = tmp_path / "net.caffemodel"
    file.write_bytes(written(name))
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))[name]
    if CAN_IMPORT:
        np.testing.assert_allclose(logits(name, tmp_path), recorded, rtol=1e-4, atol=1e-3)
    net = CASES[name][1]()
    for std in (STD, (1.0, 0.5, 0.25)):
        load_weights(net, file, mean=MEAN, std=std)  # type: ignore[arg-type]  # three numbers
        scale = max(map(abs, recorded))
        np.testing.assert_allclose(answer(net, std=std).numpy(), recorded, atol=2e-5 * scale)


def test_another_mean_changes_the_border_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.caffemodel").write_bytes(written("vgg"))
    mean = (0.485, 0.456, 0.406)
    maps = []
    for used in (MEAN, mean):
        net = torch_vgg()
        load_weights(net, tmp_path / "net.caffemodel", mean=used)  # type: ignore[arg-type]  # three
        features = net.get_submodule("features")[:2]  # type: ignore[index]  # a Sequential
        maps.append(answer(features, used))
    torch.testing.assert_close(maps[0][:, 1:-1, 1:-1], maps[1][:, 1:-1, 1:-1], rtol=0, atol=1e-3)
    assert not torch.allclose(maps[0][:, 0], maps[1][:, 0], atol=1e-1)
    assert "--model.mean [0.457553,0.441233,0.408043]" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["values", "one value", "file", "default"])
def test_the_mean_is_that_of_the_file_or_of_the_picture_beside_it(
    place: str, tmp_path: Path
) -> None:
    colours = {"values": [10.0, 20.0, 30.0], "one value": [15.0, 15.0, 15.0]}
    told = {
        "values": b"".join(single(5, x) for x in colours["values"]),
        "one value": single(5, 15.0),
        "file": data(4, b"/data/some_mean.binaryproto"),
        "default": number(3, 224),
    }[place]
    layers = [Caffe("data", "Data", extra=data(100, told)), *vgg()]
    if place == "file":
        pixels = np.arange(3 * 4 * 4, dtype="<f4").reshape(3, 4, 4)
        colours["file"] = pixels.mean((1, 2)).tolist()
        sizes = number(1, 1) + number(2, 3) + number(3, 4) + number(4, 4)
        (tmp_path / "some_mean.binaryproto").write_bytes(sizes + data(5, pixels.tobytes()))
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(layers))
    bgr = colours.get(place, list(PLACES365_MEAN))
    mean = [value / 255 for value in bgr[::-1]]
    nets = [torch_vgg(), torch_vgg()]
    load_weights(nets[0], tmp_path / "net.caffemodel", mean=tuple(mean))  # type: ignore[arg-type]  # three
    weights = vgg()[0].blobs
    torch.testing.assert_close(
        nets[0].get_parameter("features.0.bias").detach(),
        torch.from_numpy(weights[1]),
        rtol=1e-5,
        atol=1e-5,
    )


def test_numbers_of_64_bits_are_the_same_network(tmp_path: Path) -> None:
    nets = [torch_vgg(), torch_vgg()]
    for net, form in zip(nets, ("new", "double"), strict=True):
        (tmp_path / "net.caffemodel").write_bytes(caffemodel(vgg(), form=form))
        load_weights(net, tmp_path / "net.caffemodel")
    torch.testing.assert_close(answer(nets[0]), answer(nets[1]), rtol=0, atol=0)


def test_a_network_with_strides_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.caffemodel").write_bytes(written("resnet"))
    net = CASES["resnet"][1]()
    for name, stride in (("conv1", (1, 1)), ("conv2", (2, 2))):
        conv = net.get_submodule(f"layer2.0.{name}")
        assert isinstance(conv, nn.Conv2d)
        conv.stride = stride
    with pytest.raises(CheckpointError, match=r"other strides: layer2\.0\.conv1") as caught:
        load_weights(net, tmp_path / "net.caffemodel")
    assert len(str(caught.value).splitlines()) <= 4


def layer_names(depth: int) -> list[str]:
    """The names of the convolutions of a published ResNet."""
    blocks = {152: (3, 8, 36, 3), 50: (3, 4, 6, 3)}[depth]
    names = ["conv1"]
    for stage, count in enumerate(blocks, 2):
        letters = ["a", *(f"b{n}" for n in range(1, count))] if count > 6 else "abcdef"[:count]
        for letter in letters:
            branches = ["branch1"] if letter == "a" else []
            branches += ["branch2a", "branch2b", "branch2c"]
            names += [f"res{stage}{letter}_{branch}" for branch in branches]
    return names


@pytest.mark.parametrize("depth", [50, 152])
def test_a_published_resnet_is_recognised_by_the_names_of_its_layers(
    depth: int, tmp_path: Path
) -> None:
    one = np.ones((1, 1, 1, 1), np.float32)
    layers = [Caffe(name, "Convolution", [one], stride=2) for name in layer_names(depth)]
    head = Caffe("fc365", "InnerProduct", [np.ones((365, 1), np.float32), np.ones(365, np.float32)])
    (tmp_path / "net.caffemodel").write_bytes(caffemodel([*layers, head]))
    assert network_of_official(tmp_path / "net.caffemodel") == {
        "class_path": "places.models.CaffeResNet",
        "init_args": {"depth": depth},
    }
    flags = flags_of_official(tmp_path / "net.caffemodel") or []
    assert "--model.net=places.models.CaffeResNet" in flags
    assert "--model.num_classes=365" in flags


def test_a_published_vgg16_is_recognised(tmp_path: Path) -> None:
    one, counts = np.ones((1, 1, 1, 1), np.float32), (2, 2, 3, 3, 3)
    names = [f"conv{s}_{n}" for s, count in enumerate(counts, 1) for n in range(1, count + 1)]
    layers = [Caffe(name, "Convolution", [one]) for name in names]
    (tmp_path / "net.caffemodel").write_bytes(caffemodel(layers))
    assert network_of_official(tmp_path / "net.caffemodel") == {
        "class_path": "places.models.VGG",
        "init_args": {"depth": 16, "batch_norm": False},
    }


def test_caffe_resnet_differs_from_torchvisions_by_strides_and_pooling() -> None:
    with torch.device("meta"):
        ours, plain = CaffeResNet(NUM_CLASSES, depth=50), ResNet(NUM_CLASSES, depth=50)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in plain.state_dict().items()
    }
    assert ours.layer3[0].conv1.stride == (2, 2)
    assert ours.layer3[0].conv2.stride == (1, 1)
    assert isinstance(ours.maxpool, nn.MaxPool2d)
    assert ours.maxpool.padding == 0
    assert ours.maxpool.ceil_mode


GOOD = caffemodel(vgg())
HUGE = data(100, data(1, b"conv1_1") + data(7, data(7, data(1, varint(2**62) * 2)) + data(5, b"")))
NONE = {
    "cut off": (GOOD[: len(GOOD) // 2], "said to have .* bytes, but"),
    "a length without end": (varint(100 << 3 | 2) + b"\xff" * 12, "cut off, or longer"),
    "a length beyond the file": (varint(100 << 3 | 2) + varint(2**50), "but 0 are left"),
    "a group": (varint(100 << 3 | 3), "which there is not"),
    "field 0": (b"\x00\x00", "which there is not"),
    "a gigantic shape": (HUGE, "but there are 0"),
    "no layers": (data(1, b"name"), "no layer in it has weights"),
    "many axes": (
        data(100, data(7, data(7, data(1, varint(1) * 100_000)) + single(5, 1))),
        "but there are|said to be",
    ),
    "a layer that is a number": (number(100, 5), "not bytes"),
    "half a number": (data(100, data(7, data(5, b"abc"))), "ends within a number"),
    "a long name": (data(100, data(1, b"x" * 5000)), "a text of 5,000 bytes"),
    "too many blobs": (data(100, data(7, single(5, 1)) * 99), "more than 16 blobs"),
    "too many layers": (data(100, b"") * 20_000, "more than 10,000 layers"),
    "the oldest form": (data(2, data(1, b"")), "until 2013"),
    "GoogLeNet": (
        caffemodel([Caffe("inception_3a/1x1", "Convolution", [np.ones((1, 3, 1, 1), np.float32)])]),
        "GoogLeNet",
    ),
    "AlexNet": (
        caffemodel(
            [
                Caffe(name, "InnerProduct", [np.ones((1, 1), np.float32)])
                for name in ("conv1", "conv5", "fc6")
            ]
        ),
        "take alexnet_places365.pth.tar",
    ),
    "another": (caffemodel([Caffe("ip1", "InnerProduct", [np.ones((1, 1), np.float32)])]), "ip1"),
    "no means": (
        caffemodel([Caffe("data", "Data", extra=data(100, single(5, float("nan")))), *vgg()]),
        "no numbers",
    ),
    "a web page": (b"<!DOCTYPE html><html>", "a web page"),
}


@pytest.mark.parametrize("name", NONE)
def test_a_file_that_is_none_is_refused_by_what_it_is(name: str, tmp_path: Path) -> None:
    content, reason = NONE[name]
    file = tmp_path / "net.caffemodel"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_weights(torch_vgg(), file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4
    assert "Traceback" not in str(caught.value)
    with pytest.raises(CheckpointError):
        network_of_official(file)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_is_refused_or_read(seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    content = bytearray(GOOD)
    for position in generator.integers(0, min(len(content), 4000), 5):
        content[position] = generator.integers(256)
    (tmp_path / "net.caffemodel").write_bytes(content)
    with suppress(CheckpointError):
        load_weights(torch_vgg(), tmp_path / "net.caffemodel")
