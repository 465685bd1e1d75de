"""Which of the networks of `places.models` a file of weights was made for."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from places.models.resnet import ResNet
from places.models.vgg import VGG

_RESNETS, _VGGS = (18, 34, 50, 101, 152), (11, 13, 16, 19)
_HEADS = ("fc.weight", "classifier.6.weight")


def call_of(weights: Mapping[str, Tensor]) -> str | None:
    """Return what makes the network that has weights of these names and shapes.

    Args:
        weights: Tensors by their names in the network.

    Returns:
        As it is typed in Python, `places.models.ResNet(365, depth=18)` for instance; `None` if they
        belong to another network.
    """
    head = next((weights[name] for name in _HEADS if name in weights), None)
    if head is None or head.ndim != 2:
        return None
    for call, net in _networks(len(head)):
        shapes = {name: value.shape for name, value in net.state_dict().items()}
        # PyTorch before 0.4.1 did not count batches.
        missing = {name for name in shapes.keys() - weights.keys() if "num_batches" not in name}
        if not missing and all(shapes.get(name) == weights[name].shape for name in weights):
            return call
    return None


def _networks(num_classes: int) -> Iterator[tuple[str, nn.Module]]:
    with torch.device("meta"):  # shapes without numbers
        for depth in _RESNETS:
            call = f"places.models.ResNet({num_classes}, depth={depth})"
            yield call, ResNet(num_classes, depth)  # type: ignore[arg-type]  # one of them
        for depth in _VGGS:
            for norm in (True, False):
                call = f"places.models.VGG({num_classes}, depth={depth}, batch_norm={norm})"
                yield call, VGG(num_classes, depth, norm)  # type: ignore[arg-type]  # one of them
