from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from places.models import VGG, ResNet
from places.models.folded import folded
from places.models.inference import ACTIVATION, FEATURES, Inference
from places.models.pooled import pooled_head


class Functional(nn.Module):
    """Averages by a function, shares a layer, and does something with the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 5, 3), nn.Conv2d(5, 7, 3)
        self.act = nn.ReLU()
        self.head = nn.Linear(7, 4)

    def maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.act(self.second(self.act(self.first(images))))
        return maps

    def forward(self, images: Tensor) -> Tensor:
        return torch.tanh(self.head(self.maps(images).mean(dim=(2, 3))))


def _timm(name: str, **options: object) -> nn.Module:
    net: nn.Module = pytest.importorskip("timm").create_model(name, **options)
    return net


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _images(num: int = 3, size: int = 96) -> Tensor:
    return torch.randn(num, 3, size, size)


@torch.inference_mode()
def _answer(net: nn.Module, images: Tensor, fold: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    inference = Inference(net.eval(), {FEATURES, ACTIVATION}, fold=fold)
    inference(images[:2])  # whatever was seen before
    answer = inference(images)
    inference.close()
    assert answer.features is not None
    assert answer.activation is not None
    return answer.logits, answer.features, answer.activation


def _activation_by_hand(maps: Tensor, weight: Tensor, logits: Tensor) -> list[np.ndarray]:
    """Return the class activation maps of Zhou et al., one picture and place at a time."""
    found = []
    for picture, label in zip(maps.double().numpy(), logits.argmax(1).tolist(), strict=True):
        places = sum(w * m for w, m in zip(weight[label].double().tolist(), picture, strict=True))
        found.append((places - places.min()) / (places.max() - places.min()))
    return found


@pytest.mark.parametrize("fold", [True, False], ids=["folded", "as it is"])
@pytest.mark.parametrize(
    "make",
    [
        lambda: ResNet(365, depth=18),
        lambda: torchvision.models.resnet18(num_classes=11),
        lambda: _timm("resnet18", num_classes=11),
    ],
    ids=["places", "torchvision", "timm"],
)
def test_the_features_and_maps_of_a_resnet(make: Callable[[], nn.Module], fold: bool) -> None:
    net, images = make().eval(), _images()
    logits, features, activation = _answer(net, images, fold)
    with torch.inference_mode():
        maps = images
        for name, part in net.named_children():
            maps = part(maps)
            if name == "layer4":
                break
        torch.testing.assert_close(features, maps.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(logits, net(images), rtol=1e-4, atol=1e-4)
    assert features.dtype == activation.dtype == torch.float32
    by_hand = _activation_by_hand(maps, net.get_parameter("fc.weight").detach(), logits)
    assert activation.shape == (3, 3, 3)
    np.testing.assert_allclose(activation, np.stack(by_hand), atol=1e-3)
    assert activation.amin() == 0
    assert activation.amax() == 1
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in net.modules())


@pytest.mark.parametrize("name", ["densenet121", "mobilenet_v2", "regnet_y_400mf"])
def test_other_networks_of_torchvision_have_both(name: str) -> None:
    net, images = getattr(torchvision.models, name)(num_classes=5).eval(), _images(2, 64)
    logits, features, activation = _answer(net, images)
    head = [layer for layer in net.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.inference_mode():
        torch.testing.assert_close(head(features), logits)
        torch.testing.assert_close(logits, net(images), rtol=1e-4, atol=1e-5)
    assert activation.shape == (2, 2, 2)


def test_the_mean_may_be_a_function_and_layers_may_be_shared() -> None:
    net, images = Functional().eval(), _images(4, 9)
    logits, features, activation = _answer(net, images)
    with torch.inference_mode():
        maps = net.maps(images)
        torch.testing.assert_close(logits, net(images))
        torch.testing.assert_close(features, maps.mean(dim=(2, 3)))
        by_hand = _activation_by_hand(maps, net.head.weight, logits)
    np.testing.assert_allclose(activation, np.stack(by_hand), atol=1e-5)


def test_vgg_has_features_but_no_mean_of_maps() -> None:
    net, images = VGG(365, depth=11).eval(), _images(2, 64)
    with torch.inference_mode():
        inference = Inference(net, {FEATURES, ACTIVATION})
        answer = inference(images)
        assert answer.features is not None
        assert answer.activation is None
        hidden = net.classifier[:6](torch.flatten(net.avgpool(net.features(images)), 1))
        torch.testing.assert_close(answer.features, hidden, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "net",
    [
        nn.Sequential(nn.Conv2d(3, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        torchvision.models.convnext_tiny(num_classes=5),
    ],
    ids=["no linear layer", "a norm after the mean"],
)
def test_where_there_is_no_such_head_nothing_is_said(net: nn.Module) -> None:
    images = _images(1, 64)
    with torch.inference_mode():
        expected = net.eval()(images)
        inference = Inference(net, {ACTIVATION}, fold=False)
        answer = inference(images)
    assert answer.activation is None
    assert answer.features is None
    assert torch.equal(answer.logits, expected)


def test_a_picture_that_is_the_same_everywhere_has_no_place() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    _, _, activation = _answer(net, torch.ones(2, 3, 8, 8))
    assert torch.equal(activation, torch.zeros(2, 8, 8))


def test_without_a_wish_the_network_runs_once_and_as_it_is() -> None:
    net, images = Functional().eval(), _images(2, 9)
    calls: list[None] = []
    hook = net.register_forward_hook(lambda *_: calls.append(None))
    with torch.inference_mode():
        answer = Inference(net)(images)
    hook.remove()
    assert len(calls) == 1
    assert answer.features is None
    assert answer.activation is None
    assert torch.equal(answer.logits, net(images))


def test_16_bit_networks_have_features_in_32() -> None:
    net, images = ResNet(7, depth=18).bfloat16(), _images().bfloat16()
    logits, features, activation = _answer(net, images)
    assert logits.dtype == torch.bfloat16
    assert features.dtype == activation.dtype == torch.float32
    assert bool(activation.isfinite().all())


def test_a_head_is_found_in_a_folded_network() -> None:
    net = folded(ResNet(7, depth=18).eval())
    with torch.inference_mode():
        head = pooled_head(net, _images(1))
    assert head is not None
    assert head.linear is net.fc
    assert F.linear(torch.zeros(1, 512), head.linear.weight).shape == (1, 7)
