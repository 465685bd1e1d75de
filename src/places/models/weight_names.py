"""Which of the things in a file are the weights of a network, under the names that it uses."""

import re
import reprlib
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from places.console import counted, first_few, say
from places.errors import CheckpointError
from places.models.weight_files import shown

# Layers that only wrap a network (DataParallel, torch.compile) and leave a part in the keys.
_WRAPPERS = frozenset({"module", "_orig_mod"})
# Under which files keep the weights, the best first: averages score better, so timm takes them too.
_PARTS = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model_state", "model")
_MORE_PARTS = ("net", "network", "weights", "module", "teacher", "student")
_AVERAGES = ("state_dict_ema", "model_ema")
_COUNTERS = ("num_batches_tracked", "n_averaged")  # no weights
# PyTorch before 0.4 numbered the layers of a dense layer: `norm.1`, now `norm1`.
_OLD_DENSENET = re.compile(
    r"(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\.(?:weight|bias|running_mean|running_var))"
)
# How timm calls the last three layers of a VGG, two of which are convolutions there.
_TIMM_VGG = {"pre_logits.fc1": "classifier.0", "pre_logits.fc2": "classifier.3"}
_TIMM_VGG["head.fc"] = "classifier.6"
_MAX_PREFIX_PARTS = 3
_LEAST_FITTING = 0.5  # of the names of a network, in a part that may be one
_MAX_NESTED = 3  # tables in tables


def find_weights(loaded: object, path: Path, names: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the tensors of a loaded file under the names that a network uses.

    Args:
        loaded: What the file holds.
        path: The file, for messages.
        names: Those of the network, if it is known; what only wraps it may be a part of one.

    Raises:
        CheckpointError: There are none, or other things than tensors, or two for one name.
    """
    found = _state_dict(loaded, path)
    is_training = isinstance(loaded, dict) and "pytorch-lightning_version" in loaded
    if is_training and any(str(key).startswith("net.") for key in found):
        # The rest belongs to the training around the network, such as sums of metrics.
        found = {key[4:]: value for key, value in found.items() if str(key).startswith("net.")}
    found = {key: value for key, value in found.items() if str(key) != "n_averaged"}
    other = [shown(key) for key, value in found.items() if not is_plain_tensor(value)]
    if other:
        raise CheckpointError(f"{path} holds other things than tensors: {first_few(other)}")
    numbers = [shown(key) for key in found if not isinstance(key, str)]
    if numbers:
        raise CheckpointError(f"{path} holds tensors without names: {first_few(numbers)}")
    weights = {key if key in names else _unwrapped(key): value for key, value in found.items()}
    if len(weights) < len(found):
        raise CheckpointError(f"{path} holds two tensors for one name of the network")
    return _as_here(_without_prefix(weights, path, names), names)


def is_plain_tensor(value: object) -> bool:
    """Tell whether something is a tensor whose numbers can be copied."""
    return (
        type(value) in (Tensor, nn.Parameter)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and not (value.is_quantized or value.is_meta or value.is_complex() or value.is_nested)
    )


def _state_dict(loaded: object, path: Path) -> dict[str, Tensor]:
    """Return the table of tensors, which may be a part of a larger table."""
    found = loaded
    for _ in range(_MAX_NESTED):
        if not isinstance(found, Mapping):
            break
        tables = [x for x in (*_PARTS, *_MORE_PARTS) if isinstance(found.get(x), Mapping)]
        if not tables:
            break
        if tables[0] in _AVERAGES and tables[1:]:
            say(f"{path} holds an average of the weights, {tables[0]}: that is taken, as timm does")
        found = found[tables[0]]
    if not isinstance(found, Mapping) or not found:
        kind = type(found).__name__
        raise CheckpointError(
            f"{path} holds no weights by name, but a {kind}: {shown(reprlib.repr(found))}"
        )
    return dict(found)


def _unwrapped(key: str) -> str:
    # Official VGG and AlexNet files wrap only the convolutions: `features.module.0.weight`.
    return ".".join(part for part in key.split(".") if part not in _WRAPPERS)


def _without_prefix(
    weights: dict[str, Tensor], path: Path, names: Collection[str]
) -> dict[str, Tensor]:
    """Return the tensors of the one part that is the network: `backbone.`, `encoder.`, `model.`."""
    if not names:
        first, *_ = {key.partition(".")[0] for key in weights}
        is_alone = all(key.startswith(f"{first}.") for key in weights)
        return {key[len(first) + 1 :]: weights[key] for key in weights} if is_alone else weights
    wanted = {name for name in names if not name.endswith(_COUNTERS)}
    fitting = {"": len(wanted & weights.keys())}
    for prefix in _prefixes(weights):
        fitting[prefix] = sum(f"{prefix}{name}" in weights for name in wanted)
    best = max(fitting.values())
    if best < len(wanted) * _LEAST_FITTING:
        return weights
    first, *others = [prefix for prefix, count in fitting.items() if count == best]
    if not first or best == 0:
        return weights
    if others:
        raise CheckpointError(
            f"{path} holds the network {len(others) + 1} times: {first_few([first, *others])}",
            "save one of them alone, without that beginning of its names",
        )
    rest = [shown(key) for key in weights if not key.startswith(first)]
    if rest:
        say(f"{path}: not taken, as not of {first}: {counted(len(rest), 'tensor')}")
    return {key[len(first) :]: weights[key] for key in weights if key.startswith(first)}


def _prefixes(weights: Collection[str]) -> list[str]:
    found: dict[str, None] = {}
    for key in weights:
        parts = key.split(".")[:-1][:_MAX_PREFIX_PARTS]
        for end in range(1, len(parts) + 1):
            found[".".join(parts[:end]) + "."] = None
    return list(found)


def _as_here(weights: dict[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """Return tensors under torchvision's names of today."""
    renamed = {}
    is_vgg = "features.0.weight" in weights and "pre_logits.fc1.weight" in weights
    for key, tensor in weights.items():
        name = key
        if key not in names:
            name = _OLD_DENSENET.sub(r"\1\2", key)
            layer, _, part = key.rpartition(".")
            if is_vgg and layer in _TIMM_VGG:
                name = f"{_TIMM_VGG[layer]}.{part}"
                tensor = tensor.flatten(1) if part == "weight" else tensor
        renamed[name] = tensor
    return renamed
