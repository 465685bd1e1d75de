"""Load a file of weights into a network: every tensor finds its place, or the file is refused."""

import importlib
import re
import reprlib
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from places.console import counted, first_few, printable, say
from places.errors import CheckpointError
from places.models.archives import is_archive, what_is_damaged

_MAX_SHOWN = 100  # characters of a name or a reason
# Layers that only wrap a network (DataParallel, torch.compile) and leave a part in the keys.
_WRAPPERS = frozenset({"module", "_orig_mod"})
# How torchvision and CSAIL call the networks that `places.models` has.
_ARCH = re.compile(r"(?P<name>resnet|vgg)(?P<depth>\d+)(?P<norm>_bn)?")


def load_weights(net: nn.Module, path: Path, *, replace_head: bool = False) -> None:
    """Copy the weights of a file into `net`, in place and complete.

    Reads state dicts as torchvision and `torch.save` write them, the official Places365 files
    (`*.pth.tar`, a dict with `state_dict`), the checkpoints of `places`, and `*.safetensors`.
    Nothing in the file is executed. An archive's checksums and sizes are compared; of a file that
    has none this is said.

    Args:
        net: The network to fill. Its head is its last `nn.Linear`.
        path: The file to read.
        replace_head: Keep the head as `net` has it and load the rest, whatever head the file holds.

    Raises:
        CheckpointError: The file is missing, damaged or unreadable, holds a pickled network instead
            of weights, was made for another number of classes, or its tensors differ from those of
            `net` in name, kind or shape.
    """
    own = net.state_dict()
    weights = read_weights(path, own)
    head = _find_head(net)
    head_keys = {key for key in own if head is not None and key.startswith(f"{head}.")}
    if replace_head:
        if head is None:
            raise ValueError(f"{type(net).__name__} has no nn.Linear, so no head to keep")
        weights |= {key: own[key] for key in head_keys}
    elif head is not None:
        _check_num_classes(weights, own, f"{head}.weight", path)
    # PyTorch before 0.4.1 did not count batches; the count only matters where momentum is None.
    old = {key for key in own.keys() - weights.keys() if key.endswith(".num_batches_tracked")}
    weights |= {key: own[key] for key in old}
    _check_tensors(weights, own, path, type(net).__name__)
    net.load_state_dict(weights)


def read_weights(path: Path, names: Collection[str] = ()) -> dict[str, Tensor]:
    """Return the tensors in a file, under the names that a network uses.

    Args:
        path: See `load_weights`.
        names: Those of the network; what only wraps it may be a part of one.

    Raises:
        CheckpointError: The file is missing, damaged or unreadable, or holds something else.
    """
    return _find_weights(_read(path), path, names)


def flags_of_official(path: Path) -> list[str] | None:
    """Return the flags that build the network of an official file and load it, e.g. of CSAIL.

    Args:
        path: Any file.

    Returns:
        The flags, or `None` if the file is of another kind.

    Raises:
        CheckpointError: See `network_of_official`.
    """
    spec = network_of_official(path)
    if spec is None:
        return None
    arguments = [f"--model.net.{name}={str(v).lower()}" for name, v in spec["init_args"].items()]
    return [f"--model.net={spec['class_path']}", *arguments, f"--model.weights={path}"]


def network_of_official(path: Path) -> dict[str, Any] | None:
    """Return the network of an official file: its class path and its arguments.

    Such files are called `resnet18_places365.pth.tar` and the like, and hold `arch`, the name of
    the network as in torchvision, beside its `state_dict`.

    Args:
        path: Any file.

    Returns:
        `class_path` and `init_args`, or `None` if the file is of another kind.

    Raises:
        CheckpointError: The file is damaged, or its network is none of `places.models`.
    """
    if path.suffix not in (".tar", ".pth", ".pt"):
        return None
    loaded = _read_torch(path)
    arch = loaded.get("arch") if isinstance(loaded, dict) and "state_dict" in loaded else None
    if not isinstance(arch, str):
        return None
    known = _ARCH.fullmatch(arch)
    if known is None:
        raise CheckpointError(
            f"{path} holds a network {_shown(arch)!r}, which is none of places.models",
            f"name its class:  --model.net CLASS --model.weights {path}",
        )
    arguments: dict[str, Any] = {"depth": int(known["depth"])}
    if known["name"] == "resnet":
        return {"class_path": "places.models.ResNet", "init_args": arguments}
    arguments["batch_norm"] = known["norm"] is not None
    return {"class_path": "places.models.VGG", "init_args": arguments}


def _read(path: Path) -> object:
    if not path.is_file():
        raise CheckpointError(f"no file of weights at {path}")
    has_checksums = is_archive(path)
    damaged = what_is_damaged(path) if has_checksums else None
    if damaged is not None:
        raise _unreadable(path, damaged)
    loaded = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if not has_checksums:
        say(f"{path} has no checksums: damage in its numbers would not be noticed")
    return loaded


def _read_torch(path: Path) -> object:
    try:
        return _read_pickle(path)
    except Exception as error:  # damage in what describes the content may look like anything
        found = re.search(r"GLOBAL (\S+) was not an allowed global", str(error))
        if found:
            raise CheckpointError(
                f"{path} is not a plain file of weights: it holds a pickled {_shown(found[1])}",
                "opening it would run code from the file, so it is refused",
                "where it was made, save the weights alone:  torch.save(net.state_dict(), path)",
            ) from error
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise _unreadable(path, reason) from error


def _unreadable(path: Path, reason: object) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be read as weights ({counted(path.stat().st_size, 'byte')})", _shown(reason)
    )


def _read_pickle(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnicodeDecodeError:
        # Python 2 stored text as bytes, of which UTF-8 knows only some; Latin-1 takes them all.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="pickle_load_args only works")
            return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")


def _read_safetensors(path: Path) -> object:
    try:
        load_file = importlib.import_module("safetensors.torch").load_file
        broken: type[Exception] = importlib.import_module("safetensors").SafetensorError
    except ImportError as error:
        raise CheckpointError(
            f"reading {path} needs the package safetensors", "install it:  pip install safetensors"
        ) from error
    try:
        return load_file(path)
    except broken as error:
        raise _unreadable(path, error) from error


def _find_weights(loaded: object, path: Path, own: Collection[str]) -> dict[str, Tensor]:
    """Return the tensors of a loaded file under the names that the network uses."""
    found = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(found, dict) or not found:
        kind = type(found).__name__
        shown = _shown(reprlib.repr(found))
        raise CheckpointError(f"{path} holds no weights by name, but a {kind}: {shown}")
    if isinstance(loaded, dict) and "pytorch-lightning_version" in loaded:
        # The rest belongs to the training around the network, such as sums of metrics.
        found = {key[4:]: value for key, value in found.items() if str(key).startswith("net.")}
        if not found:
            raise CheckpointError(f"{path} is a Lightning checkpoint without a part named 'net'")
    other = [_shown(key) for key, value in found.items() if not is_plain_tensor(value)]
    if other:
        raise CheckpointError(f"{path} holds other things than tensors: {first_few(other)}")
    numbers = [_shown(key) for key in found if not isinstance(key, str)]
    if numbers:
        raise CheckpointError(f"{path} holds tensors without names: {first_few(numbers)}")
    weights = {key if key in own else _unwrapped(key): value for key, value in found.items()}
    if len(weights) < len(found):
        raise CheckpointError(f"{path} holds two tensors for one name of the network")
    return weights


def is_plain_tensor(value: object) -> bool:
    """Tell whether something is a tensor whose numbers can be copied."""
    return (
        type(value) in (Tensor, nn.Parameter)
        and isinstance(value, Tensor)
        and value.layout == torch.strided
        and not (value.is_quantized or value.is_meta or value.is_complex() or value.is_nested)
    )


def _shown(text: object) -> str:
    """Return a name or a reason from a file or a library so that it fits into a line."""
    line = printable(str(text)[:_MAX_SHOWN])
    return line if len(line) <= _MAX_SHOWN else f"{line[:_MAX_SHOWN]}..."


def _unwrapped(key: str) -> str:
    # Official VGG and AlexNet files wrap only the convolutions: `features.module.0.weight`.
    return ".".join(part for part in key.split(".") if part not in _WRAPPERS)


def _find_head(net: nn.Module) -> str | None:
    linear = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def _check_num_classes(
    weights: dict[str, Tensor], own: dict[str, Tensor], key: str, path: Path
) -> None:
    if key not in weights or weights[key].ndim != 2:
        return
    (found, found_inputs), (wanted, wanted_inputs) = weights[key].shape, own[key].shape
    if found != wanted and found_inputs == wanted_inputs:
        raise CheckpointError(
            f"{path} classifies {counted(found, 'class', 'classes')}, the network {wanted}",
            "to load all but the last layer and train that afresh:  replace_head: true",
        )


def _check_tensors(
    weights: dict[str, Tensor], own: dict[str, Tensor], path: Path, name: str
) -> None:
    missing = [key for key in own if key not in weights]
    unexpected = [_shown(key) for key in weights if key not in own]
    pairs = [(key, weights[key], own[key]) for key in own if key in weights]
    shapes = [
        f"{key} {_shown(tuple(found.shape))} instead of {tuple(wanted.shape)}"
        for key, found, wanted in pairs
        if found.shape != wanted.shape
    ]
    # Whole numbers may become floating point, but weights would be cut off as whole numbers.
    kinds = [
        f"{key} {found.dtype} instead of {wanted.dtype}"
        for key, found, wanted in pairs
        if found.is_floating_point() != wanted.is_floating_point()
    ]
    wrong = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    wrong = {**wrong, "of another type": [] if any(wrong.values()) else kinds}
    lines = [f"{len(keys)} {what}: {first_few(keys)}" for what, keys in wrong.items() if keys]
    if lines:
        raise CheckpointError(
            f"{path} does not fit the network {name}: another network or depth?", *lines
        )
