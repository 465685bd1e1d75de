"""The networks of CSAIL against torchvision and against the published layout."""

from collections.abc import Callable

import pytest
import torch
import torchvision
from tests.networks import as_after_training
from torch import Tensor, nn
from torch.nn import functional as F

from places.models import AlexNet, DenseNet161, ResNet, WideResNet18
from places.models.inference import ACTIVATION, Inference


def _images(size: int = 64) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("make", "reference"),
    [(AlexNet, torchvision.models.alexnet), (DenseNet161, torchvision.models.densenet161)],
)
def test_it_does_what_torchvision_does(
    make: Callable[[int], nn.Module], reference: Callable[..., nn.Module]
) -> None:
    torch.manual_seed(0)
    theirs = as_after_training(reference(num_classes=7))
    ours = make(7).eval()
    weights = theirs.state_dict()
    assert [(key, x.shape) for key, x in ours.state_dict().items()] == [
        (key, x.shape) for key, x in weights.items()
    ]
    ours.load_state_dict(weights)
    with torch.no_grad():
        logits = ours(_images())
        assert torch.equal(logits, theirs(_images()))
        folded = ours.folded()(_images())  # type: ignore[operator]  # a method
        assert (folded - logits).abs().max() <= 1e-5 * logits.abs().max()
    for net in (ours.train(), theirs.train()):
        torch.manual_seed(1)  # of the dropout
        torch.autograd.backward(net(_images()).square().mean())
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert one.grad is not None
        assert torch.equal(one.grad, other.grad)


@pytest.mark.parametrize(
    ("make", "weights"),
    [
        (AlexNet, torchvision.models.AlexNet_Weights.IMAGENET1K_V1),
        (DenseNet161, torchvision.models.DenseNet161_Weights.IMAGENET1K_V1),
    ],
)
def test_it_has_the_published_number_of_parameters(
    make: Callable[[int], nn.Module], weights: torchvision.models.WeightsEnum
) -> None:
    with torch.device("meta"):
        net = make(1000)
    assert sum(x.numel() for x in net.parameters()) == weights.meta["num_params"]


def test_alexnet_drops_with_the_probability_asked_for() -> None:
    with torch.device("meta"):
        net = AlexNet(5, dropout=0.25)
    assert [layer.p for layer in net.modules() if isinstance(layer, nn.Dropout)] == [0.25, 0.25]


def _csail_forward(net: nn.Module, maps: Tensor) -> Tensor:
    """Run CSAIL's `wideresnet.py`, written by hand: no pooling, then the mean of 14x14 maps."""
    maps = F.relu(net.bn1(net.conv1(maps)))  # type: ignore[operator]  # layers
    for name in ("layer1", "layer2", "layer3", "layer4"):
        for block in net.get_submodule(name):  # type: ignore[attr-defined]  # a sequence
            branch = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(maps)))))
            maps = F.relu(branch + (block.downsample(maps) if block.downsample else maps))
    means = F.avg_pool2d(maps, 14).flatten(1)
    logits: Tensor = net.fc(means)  # type: ignore[operator]  # a layer
    return logits


def test_wideresnet18_is_a_resnet18_without_max_pooling() -> None:
    torch.manual_seed(0)
    net = as_after_training(WideResNet18(365))
    plain = ResNet(365, depth=18)
    assert [(key, x.shape) for key, x in net.state_dict().items()] == [
        (key, x.shape) for key, x in plain.state_dict().items()
    ]
    images = _images(224)[:1]
    with torch.no_grad():
        expected = _csail_forward(net, images)
        torch.testing.assert_close(net(images), expected, rtol=1e-5, atol=1e-5)
        plain_net = net.folded()
        assert (plain_net(images) - expected).abs().max() <= 1e-5 * expected.abs().max()
    with torch.inference_mode():
        inference = Inference(net, {ACTIVATION})
        answer = inference(images)
        inference.close()
    assert answer.activation is not None
    assert answer.activation.shape == (1, 14, 14)


def test_wideresnet18_takes_pictures_of_other_sizes_and_recomputes() -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = WideResNet18(5, checkpoint_gradients=recompute)
        logits = net(_images(40))
        torch.autograd.backward(logits.square().mean())
        results.append([logits, *(x.grad for x in net.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
