from pathlib import Path

import pytest
import torch
import torchvision

import places
from places.models.recognise import call_of
from places.models.weights import network_of_official


@pytest.mark.parametrize(
    "name", ["resnet50", "resnext50_32x4d", "vgg11", "vgg16_bn", "alexnet", "densenet161"]
)
def test_weights_of_torchvision_are_recognised_by_names_and_shapes(name: str) -> None:
    with torch.device("meta"):
        weights = getattr(torchvision.models, name)(num_classes=9).state_dict()
        call = call_of(weights)
        assert call is not None
        own = eval(call, {"places": places}).state_dict()
    assert {key: value.shape for key, value in own.items()} == {
        key: value.shape for key, value in weights.items()
    }
    old = {key: value for key, value in weights.items() if "num_batches" not in key}
    assert call_of(old) == call
    assert call_of({**weights, "more": torch.ones(1)}) is None


@pytest.mark.parametrize("name", ["squeezenet1_0", "densenet121", "mobilenet_v2"])
def test_other_networks_are_not_taken_for_ours(name: str) -> None:
    with torch.device("meta"):
        assert call_of(getattr(torchvision.models, name)(num_classes=9).state_dict()) is None


@pytest.mark.parametrize(
    ("arch", "name", "arguments"),
    [
        ("resnet152", "ResNet", {"depth": 152}),
        ("vgg16", "VGG", {"depth": 16, "batch_norm": False}),
        ("vgg16_bn", "VGG", {"depth": 16, "batch_norm": True}),
    ],
)
def test_an_official_file_names_its_network(
    arch: str, name: str, arguments: dict[str, object]
) -> None:
    torch.save({"arch": arch, "state_dict": {}}, "x.pth.tar")
    spec = {"class_path": f"places.models.{name}", "init_args": arguments}
    assert network_of_official(Path("x.pth.tar")) == spec
