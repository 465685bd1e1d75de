import pytest
import torch
import torchvision
from tests.networks import as_after_training
from torch import nn

from places.models import VGG
from places.models.inference import ACTIVATION, FEATURES, Inference

CASES = [(depth, batch_norm) for depth in (11, 13, 16, 19) for batch_norm in (False, True)]


def name_of(depth: int, batch_norm: bool) -> str:
    return f"vgg{depth}{'_bn' * batch_norm}"


@pytest.mark.parametrize(("depth", "batch_norm"), CASES)
def test_vgg_has_the_published_number_of_parameters(depth: int, batch_norm: bool) -> None:
    weights = getattr(torchvision.models, f"VGG{depth}{'_BN' * batch_norm}_Weights")
    with torch.device("meta"):
        net = VGG(1000, depth, batch_norm)  # type: ignore[arg-type]  # parametrize widens it
    num_parameters = sum(parameter.numel() for parameter in net.parameters())
    assert num_parameters == weights.IMAGENET1K_V1.meta["num_params"]


@pytest.mark.parametrize(("depth", "batch_norm"), CASES)
def test_vgg_names_its_weights_as_torchvision_does(depth: int, batch_norm: bool) -> None:
    with torch.device("meta"):
        ours = VGG(7, depth, batch_norm).state_dict()  # type: ignore[arg-type]  # as above
        theirs = getattr(torchvision.models, name_of(depth, batch_norm))(num_classes=7)
    assert [(key, value.shape) for key, value in ours.items()] == [
        (key, value.shape) for key, value in theirs.state_dict().items()
    ]


def test_vgg_with_torchvision_weights_gives_the_same_logits() -> None:
    # Built without memory first: the random start of 120 million weights takes seconds.
    with torch.device("meta"):
        theirs = torchvision.models.vgg11_bn(num_classes=5)
        ours = VGG(5, 11)
    theirs.to_empty(device="cpu").eval()
    for tensor in (*theirs.parameters(), *theirs.buffers()):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0, 0.05)
    ours.to_empty(device="cpu").eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = ours(images)
        assert torch.equal(logits, theirs(images))
    assert logits.shape == (2, 5)
    assert logits.isfinite().all()


def test_vgg_drops_with_the_probability_asked_for() -> None:
    with torch.device("meta"):
        net = VGG(5, 11, dropout=0.25)
    assert [module.p for module in net.modules() if isinstance(module, nn.Dropout)] == [0.25, 0.25]


def test_vgg_of_another_depth_names_the_possible_ones() -> None:
    with pytest.raises(ValueError, match="one of 11, 13, 16, 19, not 12"):
        VGG(365, 12)  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg_with_global_pooling_classifies_means(batch_norm: bool) -> None:
    torch.manual_seed(0)
    net = as_after_training(VGG(365, 11, batch_norm, global_pool=True))
    with torch.device("meta"):
        usual = VGG(365, 11, batch_norm)
    ours, theirs = (dict(x.features.state_dict()) for x in (net, usual))
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    sizes = [sum(x.numel() for x in one.parameters()) for one in (usual, net)]
    assert sizes[0] - sizes[1] > 100e6
    images = torch.randn(2, 3, 64, 70)
    with torch.no_grad():
        features = net.features(images).mean(dim=(2, 3))
        expected = features @ net.classifier[1].weight.T + net.classifier[1].bias
        logits = net(images)
        torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
        assert (net.folded()(images) - logits).abs().max() <= 1e-5 * logits.abs().max()
    with torch.inference_mode():
        inference = Inference(net, {FEATURES, ACTIVATION})
        answer = inference(images)
        inference.close()
    assert answer.features is not None
    assert answer.activation is not None
    torch.testing.assert_close(answer.features, features, rtol=1e-3, atol=1e-5)
    assert answer.activation.shape == (2, 2, 2)


def test_vgg_with_global_pooling_starts_and_drops_as_the_usual_one() -> None:
    torch.manual_seed(0)
    net, theirs = VGG(365, 11, dropout=0.25, global_pool=True), VGG(5, 11)
    for key, value in net.features.state_dict().items():
        expected = theirs.features.state_dict()[key]
        if value.numel() > 1000:
            assert float(value.std()) == pytest.approx(float(expected.std()), rel=0.1), key
        else:
            assert torch.equal(value, expected), key
    linear = net.classifier[1]
    assert isinstance(linear, nn.Linear)
    assert float(linear.weight.detach().std()) == pytest.approx(0.01, rel=0.02)
    assert [layer.p for layer in net.modules() if isinstance(layer, nn.Dropout)] == [0.25]


def test_vgg_with_global_pooling_recomputes_the_same() -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = VGG(5, 11, checkpoint_gradients=recompute, global_pool=True)
        torch.manual_seed(1)
        logits = net(torch.rand(2, 3, 40, 40))
        torch.autograd.backward(logits.square().mean())
        results.append([logits, *(x.grad for x in net.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
