"""Which of the networks of `places.models` a file of weights was made for, and how to type it."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from places.models.cost import NUM_CLASSES, cost_of_named
from places.models.listing import NETWORKS

_NO_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked")


def spec_of_arch(arch: str) -> dict[str, Any] | None:
    """Return the network of a name such as `resnet18`; `None` if it is none of ours.

    Returns:
        `class_path` and `init_args`.
    """
    network = NETWORKS.get(arch.lower())
    if network is None:
        return None
    return {"class_path": network.class_path, "init_args": dict(network.init_args)}


def spec_of(weights: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """Return the network that has weights of these names and shapes; `None` for another's.

    Of several that have the same, as variants without weights of their own, it is the plainest.

    Args:
        weights: Tensors by their names in the network.

    Returns:
        `class_path` and `init_args`.
    """
    shapes = {name: tuple(value.shape) for name, value in weights.items()}
    sizes = _sizes_with_known_heads(shapes)
    for arch in NETWORKS:
        if cost_of_named(arch).parameters not in sizes:
            continue  # to build all of them takes seconds
        own, head = _shapes(arch)
        if head not in shapes or shapes[head][1:] != own[head][1:]:
            continue
        layer = head.rpartition(".")[0]
        found = {name: own.get(name) for name in shapes if not name.startswith(f"{layer}.")}
        # PyTorch before 0.4.1 did not count batches.
        missing = {name for name in own.keys() - shapes.keys() if "num_batches" not in name}
        if not missing and all(shapes[name] == shape for name, shape in found.items()):
            return spec_of_arch(arch)
    return None


def _sizes_with_known_heads(shapes: Mapping[str, tuple[int, ...]]) -> set[int]:
    """Return how many parameters there would be at 365 classes, whichever layer is the head."""
    total = sum(
        math.prod(shape) for name, shape in shapes.items() if not name.endswith(_NO_PARAMETERS)
    )
    heads = (shape for shape in shapes.values() if len(shape) == 2)
    return {total + (NUM_CLASSES - rows) * (columns + 1) for rows, columns in heads}


def num_classes_in(weights: Mapping[str, Tensor], spec: Mapping[str, Any]) -> int | None:
    """Return the number of classes of the weights of a network; `None` if its head is not there."""
    arch = next((x for x in NETWORKS if spec_of_arch(x) == spec), None)
    head = weights.get(_shapes(arch)[1]) if arch else None
    return None if head is None or not head.ndim else len(head)


def call_of(weights: Mapping[str, Tensor]) -> str | None:
    """Return what makes the network that has weights of these names and shapes.

    Args:
        weights: Tensors by their names in the network.

    Returns:
        As it is typed in Python, `places.models.ResNet(365, depth=18)` for instance; `None` if they
        belong to another network.
    """
    spec = spec_of(weights)
    if spec is None:
        return None
    arguments = "".join(f", {name}={value!r}" for name, value in spec["init_args"].items())
    return f"{spec['class_path']}({num_classes_in(weights, spec)}{arguments})"


def flags_of(spec: Mapping[str, Any], *, short: bool = False) -> list[str]:
    """Return the flags that build a network.

    Args:
        spec: `class_path` and `init_args`.
        short: Whether the name of its class is enough, as it is for those of `places.models`.
    """
    name = str(spec["class_path"])
    is_ours = name.startswith("places.models.")
    first = f"--model.net={name.rpartition('.')[2] if short and is_ours else name}"
    arguments = spec.get("init_args") or {}
    return [first, *(f"--model.net.{key}={_as_flag(value)}" for key, value in arguments.items())]


def typed(spec: Mapping[str, Any]) -> str:
    """Return the words that name a network on a command line."""
    return " ".join(flag.replace("=", " ", 1) for flag in flags_of(spec, short=True))


def _as_flag(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


@functools.cache
def _shapes(arch: str) -> tuple[dict[str, tuple[int, ...]], str]:
    """Return the shapes of a network of `NETWORKS`, and the name of the weights of its head."""
    with torch.device("meta"):  # shapes without numbers
        net = NETWORKS[arch].build(1)
    heads = [name for name, layer in net.named_modules() if isinstance(layer, torch.nn.Linear)]
    return {key: tuple(value.shape) for key, value in net.state_dict().items()}, (
        f"{heads[-1]}.weight"
    )
