import pytest
import torch
import torchvision

from places.models import ResNet

PUBLISHED = {
    18: torchvision.models.ResNet18_Weights.IMAGENET1K_V1,
    34: torchvision.models.ResNet34_Weights.IMAGENET1K_V1,
    50: torchvision.models.ResNet50_Weights.IMAGENET1K_V1,
    101: torchvision.models.ResNet101_Weights.IMAGENET1K_V1,
    152: torchvision.models.ResNet152_Weights.IMAGENET1K_V1,
}


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnet_has_the_published_number_of_parameters(depth: int) -> None:
    with torch.device("meta"):
        net = ResNet(1000, depth)  # type: ignore[arg-type]  # parametrize widens the literal
    num_parameters = sum(parameter.numel() for parameter in net.parameters())
    assert num_parameters == PUBLISHED[depth].meta["num_params"]


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_resnet_names_its_weights_as_torchvision_does(depth: int) -> None:
    with torch.device("meta"):
        ours = ResNet(7, depth).state_dict()  # type: ignore[arg-type]  # as above
        theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=7).state_dict()
    assert [(key, value.shape) for key, value in ours.items()] == [
        (key, value.shape) for key, value in theirs.items()
    ]


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_with_torchvision_weights_gives_the_same_logits(depth: int) -> None:
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=11).eval()
    ours = ResNet(11, depth).eval()  # type: ignore[arg-type]  # as above
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(ours(images), theirs(images))


def test_resnet_starts_each_block_as_the_identity_if_asked() -> None:
    net = ResNet(3, 18, zero_init_residual=True)
    stage = net.layer1
    positive = torch.rand(1, 64, 4, 4)  # unchanged by the ReLU that ends a block
    assert torch.equal(stage(positive), positive)
    assert not torch.equal(ResNet(3, 18).layer1(positive), positive)


def test_resnet_of_another_depth_names_the_possible_ones() -> None:
    with pytest.raises(ValueError, match="one of 18, 34, 50, 101, 152, not 20"):
        ResNet(365, 20)  # type: ignore[arg-type]  # the mistake under test
