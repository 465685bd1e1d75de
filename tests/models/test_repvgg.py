"""RepVGG against timm, and its folded form against both."""

from typing import Any, Literal

import pytest
import torch
from tests.networks import as_after_training
from torch import Tensor, nn
from torch.nn import functional as F

from places.models import RepVGG
from places.models.folded import folded
from places.models.inference import ACTIVATION, FEATURES, Inference
from places.models.repvgg import RepVGGBlock

Variant = Literal["A0", "A1", "B0"]
VARIANTS: list[Variant] = ["A0", "A1", "B0"]
# Tables 4 and 5 of the paper, at 1000 classes: parameters in millions, as trained and folded.
PUBLISHED = {"A0": (9.11, 8.31), "A1": (14.09, 12.79), "B0": (15.82, 14.34)}


def _images(seed: int = 0) -> Tensor:
    return torch.randn(2, 3, 64, 70, generator=torch.Generator().manual_seed(seed))


def _close(one: Tensor, other: Tensor, share: float) -> bool:
    return bool((one - other).abs().max() <= share * other.abs().max())


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_does_what_timm_does(variant: Variant) -> None:
    timm: Any = pytest.importorskip("timm")
    theirs = as_after_training(timm.create_model(f"repvgg_{variant.lower()}", num_classes=7))
    theirs.double()
    ours = RepVGG(7, variant).double().eval()
    weights = theirs.state_dict()
    assert [(key, x.shape) for key, x in ours.state_dict().items()] == [
        (key, x.shape) for key, x in weights.items()
    ]
    ours.load_state_dict(weights)
    images = _images().double()
    with torch.no_grad():
        logits = ours(images)
        assert _close(logits, theirs(images), 1e-12)
        assert _close(ours.folded()(images), logits, 1e-12)
        theirs_plain = timm.utils.model.reparameterize_model(theirs)
        assert _close(ours.folded()(images), theirs_plain(images), 1e-12)
    for net in (ours.train(), theirs.train()):
        torch.autograd.backward(F.cross_entropy(net(images), torch.tensor([1, 2])))
    gradients = {key: x.grad for key, x in theirs.named_parameters()}
    for key, parameter in ours.named_parameters():
        assert parameter.grad is not None
        assert _close(parameter.grad, gradients[key], 1e-8), key


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_has_the_published_numbers_of_parameters(variant: Variant) -> None:
    with torch.device("meta"):
        net = RepVGG(1000, variant)
    numbers = [sum(x.numel() for x in one.parameters()) / 1e6 for one in (net, net.folded())]
    assert numbers == pytest.approx(PUBLISHED[variant], abs=0.006)


@pytest.mark.parametrize("variant", VARIANTS)
def test_folded_it_is_plain(variant: Variant) -> None:
    net = as_after_training(RepVGG(365, variant)).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    generator = torch.get_rng_state()
    plain = net.folded()
    assert torch.equal(torch.get_rng_state(), generator)
    assert net.training
    assert not plain.training
    kinds = {type(layer) for layer in plain.modules() if not list(layer.children())}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear}
    convs = [layer for layer in plain.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convs) == {"A0": 22, "A1": 22, "B0": 28}[variant]
    assert all(conv.kernel_size == (3, 3) for conv in convs)
    with torch.no_grad():
        assert _close(plain(_images()), net.eval()(_images()), 1e-5)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_block_is_a_sum_of_three() -> None:
    block = as_after_training(RepVGGBlock(6, 6)).double()
    maps = torch.randn(2, 6, 5, 7, dtype=torch.float64)

    def normalised(maps: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        shape = (1, -1, 1, 1)
        maps = (maps - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + 1e-5).sqrt()
        return maps * norm.weight.view(shape) + norm.bias.view(shape)

    three = normalised(F.conv2d(maps, block.conv_kxk.conv.weight, padding=1), block.conv_kxk.bn)
    one = normalised(F.conv2d(maps, block.conv_1x1.conv.weight), block.conv_1x1.bn)
    expected = (three + one + normalised(maps, block.identity)).clamp(min=0)
    torch.testing.assert_close(block(maps), expected)
    torch.testing.assert_close(folded(block)(maps), expected)


@pytest.mark.parametrize(
    "kind", ["hook on a block", "hook inside", "training", "16 bits", "forward"]
)
def test_a_block_that_is_not_surely_plain_stays(kind: str) -> None:
    net = as_after_training(nn.Sequential(RepVGGBlock(3, 4), RepVGGBlock(4, 4)))
    block = net[1]
    if kind == "hook":
        block.register_forward_hook(lambda *_: None)
    elif kind == "hook inside":
        block.conv_1x1.bn.register_forward_hook(lambda *_: None)
    elif kind == "training":
        block.identity.train()
    elif kind == "16 bits":
        block.to(torch.bfloat16)
    else:
        block.forward = lambda maps: maps
    new = folded(net)
    assert not isinstance(new.get_submodule("0"), RepVGGBlock)
    assert isinstance(new.get_submodule("1"), RepVGGBlock)


def test_its_features_and_maps_are_found_folded_and_not() -> None:
    net = as_after_training(RepVGG(365))
    answers = []
    for fold in (True, False):
        with torch.inference_mode():
            inference = Inference(net, {FEATURES, ACTIVATION}, fold=fold)
            answers.append(inference(_images()))
            inference.close()
    with torch.no_grad():
        features = net.stages(net.stem(_images())).mean(dim=(2, 3))
    for answer in answers:
        assert answer.features is not None
        assert answer.activation is not None
        assert _close(answer.features, features, 1e-4)
        assert answer.activation.shape == (2, 2, 3)
    assert not any(x.is_inference() for x in net.folded().parameters())
    with torch.inference_mode():
        assert not any(x.is_inference() for x in net.folded().parameters())


def test_recomputation_changes_nothing() -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = RepVGG(5, checkpoint_gradients=recompute)
        torch.autograd.backward(net(_images()).square().mean())
        results.append([*(x.grad for x in net.parameters()), *net.buffers()])
    for one, other in zip(*results, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_it_runs_channels_last() -> None:
    net = as_after_training(RepVGG(5))
    with torch.no_grad():
        expected = net(_images())
        images = _images().contiguous(memory_format=torch.channels_last)
        net.to(memory_format=torch.channels_last)
        plain = net.folded()
        assert _close(net(images), expected, 1e-5)
        assert _close(plain(images), expected, 1e-5)
    weight = plain.get_parameter("stages.0.0.reparam_conv.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_an_unknown_variant_names_the_possible_ones() -> None:
    with pytest.raises(ValueError, match="one of A0, A1, B0, not A2"):
        RepVGG(365, "A2")  # type: ignore[arg-type]  # the mistake under test
