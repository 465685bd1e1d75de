"""The variants of ResNet against timm and torchvision, key by key and number by number."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torchvision
from tests.networks import as_after_training
from torch import Tensor, nn
from torch.nn import functional as F

from places.models import ResNet
from places.models.blur_pool import BlurPool


def _timm(name: str, **options: object) -> nn.Module:
    net: nn.Module = pytest.importorskip("timm").create_model(name, num_classes=7, **options)
    return net


def _blur_of_timm() -> type[nn.Module]:
    blur: type[nn.Module] = pytest.importorskip("timm").layers.BlurPool2d
    return blur


def _everything_of_timm() -> nn.Module:
    """Return timm's network with all that can be combined, which has no name there."""
    timm = pytest.importorskip("timm")
    net: nn.Module = timm.models.resnet.ResNet(
        timm.models.resnet.Bottleneck,
        (3, 4, 6, 3),
        num_classes=7,
        cardinality=32,
        base_width=4,
        stem_type="deep",
        stem_width=32,
        avg_down=True,
        aa_layer=_blur_of_timm(),
        block_args={"attn_layer": "se"},
    )
    return net


EVERYTHING = {
    "resnet_d": True,
    "blur_pool": True,
    "squeeze_excite": True,
    "groups": 32,
    "width_per_group": 4,
}
CASES: dict[str, tuple[dict[str, Any], Callable[[], nn.Module]]] = {
    "18d": ({"depth": 18, "resnet_d": True}, lambda: _timm("resnet18d")),
    "50d": ({"resnet_d": True}, lambda: _timm("resnet50d")),
    "blur18": (
        {"depth": 18, "blur_pool": True},
        lambda: _timm("resnet18", aa_layer=_blur_of_timm()),
    ),
    "blur50": ({"blur_pool": True}, lambda: _timm("resnetblur50")),
    "blur50d": ({"blur_pool": True, "resnet_d": True}, lambda: _timm("resnetblur50d")),
    "se18": ({"depth": 18, "squeeze_excite": True}, lambda: _timm("seresnet18")),
    "se50": ({"squeeze_excite": True}, lambda: _timm("seresnet50")),
    "next": ({"groups": 32, "width_per_group": 4}, lambda: _timm("resnext50_32x4d")),
    "wide": ({"width_per_group": 128}, lambda: _timm("wide_resnet50_2")),
    "everything": (EVERYTHING, _everything_of_timm),
    "torchvision next": (
        {"groups": 32, "width_per_group": 4},
        lambda: torchvision.models.resnext50_32x4d(num_classes=7),
    ),
    "torchvision wide": (
        {"width_per_group": 128},
        lambda: torchvision.models.wide_resnet50_2(num_classes=7),
    ),
}


def _images(seed: int = 0, size: int = 64) -> Tensor:
    return torch.randn(3, 3, size, size + 7, generator=torch.Generator().manual_seed(seed))


def _close(one: Tensor, other: Tensor, share: float) -> bool:
    return bool((one - other).abs().max() <= share * other.abs().max())


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


FAST = ("18d", "blur18", "se18", "everything")  # the others combine what is in these


@pytest.mark.first_covers
@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=() if x in FAST else pytest.mark.slow) for x in CASES]
)
def test_a_variant_does_what_the_reference_does(name: str) -> None:
    arguments, make = CASES[name]
    theirs = as_after_training(make()).double()  # nothing but rounding may differ
    ours = ResNet(7, **arguments).double().eval()
    weights = theirs.state_dict()
    assert {key: x.shape for key, x in ours.state_dict().items()} == {
        key: x.shape for key, x in weights.items()
    }
    ours.load_state_dict(weights)
    with torch.no_grad():
        assert _close(ours(_images().double()), theirs(_images().double()), 1e-12)
    for net in (ours.train(), theirs.train()):
        loss = F.cross_entropy(net(_images(1).double()), torch.tensor([1, 2, 3]))
        torch.autograd.backward(loss)
    gradients = {key: x.grad for key, x in theirs.named_parameters()}
    for key, parameter in ours.named_parameters():
        assert parameter.grad is not None
        assert _close(parameter.grad, gradients[key], 1e-8), key
    statistics = dict(theirs.named_buffers())
    for key, buffer in ours.named_buffers():
        assert _close(buffer.float(), statistics[key].float(), 1e-6), key


KEYWORDS = ("resnet_d", "blur_pool", "squeeze_excite", "zero_init_residual", "checkpoint_gradients")


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen", [names for num in (0, 1, 2, 5) for names in itertools.combinations(KEYWORDS, num)]
)
def test_every_combination_trains_and_folds(chosen: tuple[str, ...]) -> None:
    net = ResNet(5, depth=18, drop_path=0.2, **dict.fromkeys(chosen, True))
    torch.autograd.backward(net(_images(size=32)[:2]).square().mean())
    grads = [parameter.grad for parameter in net.parameters()]
    assert all(grad is not None and bool(grad.isfinite().all()) for grad in grads)
    plain = net.folded()
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in plain.modules())
    with torch.no_grad():
        assert _close(plain(_images()), net.eval()(_images()), 1e-5)


def test_the_whole_network_takes_the_smallest_pictures_and_odd_ones() -> None:
    net = ResNet(5, depth=18, blur_pool=True, resnet_d=True, squeeze_excite=True).eval()
    with torch.no_grad():
        for height, width in ((32, 32), (33, 47), (65, 40)):
            assert net(torch.rand(1, 3, height, width)).shape == (1, 5)


@pytest.mark.parametrize("shape", [(2, 3, 9, 12), (1, 5, 2, 2), (1, 1, 3, 2)])
def test_a_blur_is_the_binomial_filter_at_every_second_place(shape: tuple[int, ...]) -> None:
    maps = torch.randn(shape, dtype=torch.float64)
    got = BlurPool()(maps)
    weights = (0.25, 0.5, 0.25)
    for row, column in itertools.product(range(got.shape[2]), range(got.shape[3])):
        expected = torch.zeros(shape[:2], dtype=torch.float64)
        for down, across in itertools.product((-1, 0, 1), (-1, 0, 1)):
            y, x = abs(2 * row + down), abs(2 * column + across)  # mirrored at the first
            y, x = min(y, 2 * (shape[2] - 1) - y), min(x, 2 * (shape[3] - 1) - x)  # at the last
            expected += weights[down + 1] * weights[across + 1] * maps[:, :, y, x]
        torch.testing.assert_close(got[:, :, row, column], expected)
    assert got.shape[2:] == ((shape[2] + 1) // 2, (shape[3] + 1) // 2)


def test_weights_start_as_those_of_the_reference_are_spread() -> None:
    ours = ResNet(7, **EVERYTHING)  # type: ignore[arg-type]  # as they are
    theirs: Mapping[str, Tensor] = _everything_of_timm().state_dict()
    for key, value in ours.state_dict().items():
        if value.numel() > 500 and not key.startswith("fc"):
            expected = float(theirs[key].std())
            assert float(value.std()) == pytest.approx(expected, rel=0.25, abs=1e-6), key


def test_every_block_may_start_as_the_identity() -> None:
    net = ResNet(3, 18, zero_init_residual=True, squeeze_excite=True, blur_pool=True)
    positive = torch.rand(1, 64, 4, 4)
    assert torch.equal(net.layer1(positive), positive)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 18, "groups": 32}, "for bottlenecks, depth 50, 101 or 152: with depth 18"),
        ({"depth": 34, "width_per_group": 128}, "they must be 1 and 64, not 1 and 128"),
        ({"groups": 0}, "groups must be 1 or more, not 0"),
        ({"width_per_group": -4}, "width_per_group must be 1 or more, not -4"),
        ({"drop_path": 1.0}, "drop_path must be in 0..1 without 1, not 1.0"),
        ({"drop_path": -0.1}, "drop_path must be in 0..1 without 1, not -0.1"),
        ({"drop_path": float("nan")}, "drop_path must be in 0..1 without 1, not nan"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNet(365, **arguments)


def test_a_variant_runs_channels_last() -> None:
    net = as_after_training(ResNet(5, **EVERYTHING))  # type: ignore[arg-type]  # as they are
    with torch.no_grad():
        expected = net(_images())
        last = _images().contiguous(memory_format=torch.channels_last)
        assert _close(net.to(memory_format=torch.channels_last)(last), expected, 1e-5)
        assert _close(net.folded()(last), expected, 1e-5)
