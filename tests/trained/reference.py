"""What a network answers, worked out by Pillow and torchvision alone."""

from pathlib import Path

import torch
import torchvision
from PIL import Image, ImageOps
from torch import Tensor, nn
from torchvision.transforms import functional

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def net_in(checkpoint: Path, prefix: str = "net.") -> nn.Module:
    """Return torchvision's ResNet-18 with weights of a checkpoint."""
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    net = torchvision.models.resnet18(num_classes=365).eval()
    own = {name.removeprefix(prefix): weights[name] for name in weights if name.startswith(prefix)}
    net.load_state_dict(own)
    assert isinstance(net, nn.Module)
    return net


def prepared(picture: Path | Image.Image, resize_size: int = 40, image_size: int = 32) -> Tensor:
    """Return a picture of 8 bits as the network takes it, `(1, 3, size, size)`."""
    if isinstance(picture, Path):
        with Image.open(picture) as image:
            return prepared(image, resize_size, image_size)
    image = functional.resize(ImageOps.exif_transpose(picture).convert("RGB"), resize_size)
    tensor = functional.to_tensor(functional.center_crop(image, image_size))
    normalised: Tensor = functional.normalize(tensor, MEAN, STD)[None]
    return normalised


def chances_of(net: nn.Module, picture: Path | Image.Image) -> Tensor:
    """Return the probabilities of all categories, `(365,)`."""
    with torch.inference_mode():
        # With 64 bits, so that all differences are of what is tested.
        chances: Tensor = net.double()(prepared(picture).double()).softmax(dim=1)[0]
    return chances
