import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from tests.networks import as_after_training
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from places.models import VGG, ResNet
from places.models.folded import folded


def _timm(name: str, **options: object) -> nn.Module:
    net: nn.Module = pytest.importorskip("timm").create_model(name, **options)
    return net


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def _num_norms(net: nn.Module) -> int:
    return sum(isinstance(layer, _BatchNorm) for layer in net.modules())


@torch.inference_mode()
def _check(net: nn.Module, images: Tensor, num_left: int | None) -> nn.Module:
    """Check that a network folds so far, answers the same, and is left as it was."""
    before = {name: value.clone() for name, value in net.state_dict().items()}
    exact = net(images)
    new = folded(net)
    scale = exact.abs().max()
    assert bool(((new(images) - exact).abs() <= 2e-5 * scale).all())
    assert num_left is None or _num_norms(new) == num_left
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert torch.equal(net(images), exact)
    return new


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnets(depth: int) -> None:
    _check(as_after_training(ResNet(365, depth=depth)), torch.randn(2, 3, 64, 64), 0)  # type: ignore[arg-type]  # one of them


@pytest.mark.parametrize(
    ("make", "num_left"),
    [
        (lambda: VGG(365, depth=11), 0),
        (lambda: torchvision.models.mobilenet_v2(num_classes=7), 0),
        (lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=7), 0),
        (lambda: torchvision.models.densenet121(num_classes=7), 62),  # those before convolutions
        (lambda: _timm("resnet26d", num_classes=7), 0),
        (lambda: _timm("dla34", num_classes=7), 0),
        (lambda: _timm("efficientnet_b0", num_classes=7), None),
    ],
    ids=["vgg", "mobilenet", "shufflenet", "densenet", "timm-resnet", "timm-dla", "timm-effnet"],
)
def test_networks_of_all_kinds(make: Callable[[], nn.Module], num_left: int) -> None:
    _check(as_after_training(make()), torch.randn(2, 3, 64, 64), num_left)


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)], (2, 3, 9, 9)),
        ([nn.Conv2d(4, 8, 3, groups=2, dilation=2, stride=2), nn.BatchNorm2d(8)], (2, 4, 15, 15)),
        ([nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(3)], (2, 3, 9, 9)),
        ([nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, affine=False)], (2, 3, 9, 9)),
        ([nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, eps=0.1)], (1, 3, 9, 9)),
        ([nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8)], (2, 3, 9)),
        ([nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8)], (2, 3, 5, 5, 5)),
        ([nn.Conv2d(3, 8, 3), nn.SyncBatchNorm(8)], (2, 3, 9, 9)),
        ([nn.Conv2d(3, 8, 3).double(), nn.BatchNorm2d(8).double()], (2, 3, 9, 9)),
    ],
    ids=["plain", "grouped", "reflect", "no-affine", "eps", "1d", "3d", "sync", "double"],
)
@pytest.mark.parametrize("is_traced", [True, False], ids=["traced", "in parts"])
def test_a_norm_after_a_convolution(
    layers: list[nn.Module], shape: tuple[int, ...], is_traced: bool
) -> None:
    net = (
        as_after_training(nn.Sequential(*layers))
        if is_traced
        else as_after_training(Untraceable(*layers))
    )
    images = torch.randn(shape, dtype=next(net.parameters()).dtype)
    new = _check(net, images, 0 if is_traced else 1)
    called: list[nn.Module] = []
    for layer in new.modules():
        if isinstance(layer, _BatchNorm):
            layer.register_forward_hook(lambda layer, *_: called.append(layer))
    new(images)
    assert not called


class Untraceable(nn.Module):
    """Looks at numbers; may take a layer out of a part, which must then be what it was."""

    def __init__(self, *layers: nn.Module, num: int | None = None) -> None:
        super().__init__()
        self.part = nn.Sequential(*layers)
        self.num = num

    def forward(self, images: Tensor) -> Tensor:
        if images.sum() == 0:
            return images
        result: Tensor = self.part(images)
        if self.num is None:
            return result
        return torch.cat([result, self.part[: self.num](images), self.part[0](images)])


def test_who_takes_layers_out_of_a_part_gets_what_they_were() -> None:
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1)]
    _check(as_after_training(Untraceable(*layers, num=1)), torch.randn(2, 3, 9, 9), None)


class Twice(nn.Module):
    """One layer is used twice: `used` says which."""

    def __init__(self, used: str) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.other = nn.Conv2d(3, 3, 1)
        self.used = used
        self.alias = self.norm if used == "alias" else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        first = self.conv(images)
        if self.used == "output":
            return self.norm(first) + first  # type: ignore[no-any-return]  # torch's
        if self.used == "conv":
            return self.norm(first) + self.conv(images + 1)  # type: ignore[no-any-return]  # torch's
        if self.used == "norm":
            return self.norm(first) + self.norm(self.other(images))  # type: ignore[no-any-return]  # torch's
        if self.used == "weight":
            return self.norm(first) + self.conv.weight.sum()  # type: ignore[no-any-return]  # torch's
        return self.norm(first) + self.alias(self.other(images))  # type: ignore[no-any-return]  # torch's


@pytest.mark.parametrize("used", ["output", "conv", "norm", "weight", "alias"])
def test_what_is_used_twice_stays(used: str) -> None:
    _check(as_after_training(Twice(used)), torch.randn(2, 3, 5, 5), None)


def test_shared_weights_are_not_folded_for_another() -> None:
    first, second = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
    second.weight = first.weight
    net = nn.Sequential(first, nn.BatchNorm2d(3), nn.ReLU(), second)
    _check(as_after_training(net), torch.randn(2, 3, 5, 5), 0)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_of_16_bits_stay(kind: torch.dtype) -> None:
    net = as_after_training(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))).to(kind)
    assert _num_norms(folded(net)) == 1


def test_a_norm_that_looks_at_the_batch_stays() -> None:
    alone = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False))
    _check(as_after_training(alone), torch.randn(2, 3, 9, 9), 1)
    training = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    assert _num_norms(folded(training)) == 1


@pytest.mark.parametrize("number", [0, 1, 2])
def test_hooks_are_called_as_before(number: int) -> None:
    net = as_after_training(nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))))
    seen: list[Tensor] = []
    layer = [net[0], *net[0].children()][number]
    layer.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    new = folded(net)
    assert not seen
    images = torch.randn(2, 3, 9, 9)
    with torch.inference_mode():
        torch.testing.assert_close(new(images), net(images))
    torch.testing.assert_close(*seen)


def test_reparametrised_weights_stay() -> None:
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 8, 3))
    _check(as_after_training(nn.Sequential(conv, nn.BatchNorm2d(8))), torch.randn(2, 3, 9, 9), 1)


def test_what_cannot_be_copied_stays() -> None:
    net = as_after_training(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    net.lock = threading.Lock()
    assert folded(net) is net


def test_numbers_that_are_not_finite_stay_so() -> None:
    net = as_after_training(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)))
    assert isinstance(net[1], nn.BatchNorm2d)
    assert net[1].running_var is not None
    net[1].running_var[2] = torch.nan
    with torch.inference_mode():
        images = torch.randn(2, 3, 5, 5)
        assert torch.equal(folded(net)(images).isfinite(), net(images).isfinite())


def test_a_network_without_batch_norms_keeps_its_weights() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    assert folded(net).get_parameter("0.weight") is net.get_parameter("0.weight")


def test_it_remembers_nothing_of_being_traced() -> None:
    class Counting(nn.Sequential):
        num_calls = 0
        last: Tensor | None = None

        def forward(self, images: Tensor) -> Tensor:
            self.num_calls += 1
            self.last = images
            return super().forward(images)  # type: ignore[no-untyped-call,no-any-return]  # torch's

    net = as_after_training(Counting(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
    new = folded(net)
    assert isinstance(new, Counting)
    assert net.num_calls == new.num_calls == 0
    assert new.last is None
    assert _num_norms(new) == 0


def test_it_folds_within_inference_mode_for_weights_that_are_no_inference_tensors() -> None:
    net = as_after_training(ResNet(5, depth=18))
    with torch.inference_mode():
        new: Any = folded(net)
    assert not any(weight.is_inference() for weight in new.parameters())
    assert new.fc.weight is net.fc.weight  # large layers are not kept twice
