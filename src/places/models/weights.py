"""Load a file of weights into a network: every tensor finds its place, or the file is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from places.console import counted, first_few, printable
from places.errors import CheckpointError
from places.models.caffe.weights import (
    CaffeFile,
    caffe_tensors,
    match_eps,
    network_of_caffe,
    num_classes_of,
    other_strides,
    read_caffe,
    rgb_mean,
)
from places.models.file_kinds import check_kind, not_weights
from places.models.onnx_files import is_onnx
from places.models.onnx_network import OnnxNetwork
from places.models.programs import is_program, read_program
from places.models.recognise import flags_of, num_classes_in, spec_of, spec_of_arch, typed
from places.models.weight_files import read_file, shown
from places.models.weight_names import find_weights

CAFFE = ".caffemodel"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the pictures of ImageNet
_OFFICIAL = (".tar", ".pth", ".pt")


def load_weights(
    net: nn.Module,
    path: Path,
    *,
    replace_head: bool = False,
    mean: tuple[float, float, float] = MEAN,
    std: tuple[float, float, float] = STD,
) -> None:
    """Copy the weights of a file into `net`, in place and complete.

    Reads state dicts as torchvision, timm and `torch.save` write them, alone or in a table
    (`state_dict`, `model`, `model_ema`), the official Places365 files (`*.pth.tar`, and
    `.caffemodel` for VGG and ResNet), the checkpoints of `places`, and `*.safetensors`. Nothing in
    the file is executed. An archive's checksums and sizes are compared; of a file that has none
    this is said.

    Args:
        net: The network to fill. Its head is its last `nn.Linear`.
        path: The file to read.
        replace_head: Keep the head as `net` has it and load the rest, whatever head the file holds.
        mean: Mean of red, green and blue in 0..1 with which pictures are normalised; matters for
            `.caffemodel` only, whose network has its own.
        std: Their standard deviation.

    Raises:
        CheckpointError: The file is missing, damaged or unreadable, holds a pickled network instead
            of weights or numbers that are none, was made for another number of classes or another
            network, or its tensors differ from those of `net` in name, kind or shape.
    """
    if isinstance(net, OnnxNetwork):
        net.open(path)
        return
    own = net.state_dict()
    if path.suffix == CAFFE:
        file = _read_caffe(path)
        weights, spec = _caffe_weights(file, path, net, mean, std)
    else:
        loaded = _read(path)
        weights = find_weights(loaded, path, own)
        spec = _told_network(loaded)
        _check_told_network(spec, net, path)
    found = dict(weights)
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
    if wrong := _wrong_tensors(weights, own):
        raise _misfit(path, type(net).__name__, wrong, found, own, spec)
    _check_numbers(weights, own, path)
    net.load_state_dict(weights)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a file, but for one of Caffe, under the names that a network uses.

    Args:
        path: See `load_weights`.

    Raises:
        CheckpointError: The file is missing, damaged or unreadable, or holds something else.
    """
    return find_weights(_read(path), path)


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
    flags = [*flags_of(spec), f"--model.weights={path}"]
    if path.suffix == CAFFE:
        flags.append(f"--model.mean={list(colours_of_official(path)[0])}")
        flags.append(f"--model.num_classes={num_classes_of_official(path)}")
    return flags


def network_of_official(path: Path) -> dict[str, Any] | None:
    """Return the network of an official file: its class path and its arguments.

    Such files are called `resnet18_places365.pth.tar` and the like, and hold `arch`, the name of
    the network as in torchvision, beside its `state_dict`; or they are `.caffemodel` files.

    Args:
        path: Any file.

    Returns:
        `class_path` and `init_args`, or `None` if the file is of another kind.

    Raises:
        CheckpointError: The file is damaged, or its network is none of `places.models`.
    """
    if path.suffix == CAFFE:
        spec = network_of_caffe(_read_caffe(path))
        if spec is None:
            raise CheckpointError(
                f"{path} holds a network of another depth than those of places.models",
                f"name its class:  --model.net CLASS --model.weights {path}",
            )
        return {"class_path": spec[0], "init_args": spec[1]}
    if path.suffix not in _OFFICIAL:
        return None
    arch = _arch_of(read_file(path, tell=False))
    if arch is None:
        return None
    found = spec_of_arch(arch)
    if found is None:
        raise CheckpointError(
            f"{path} holds a network {shown(arch)!r}, which is none of places.models",
            f"name its class:  --model.net CLASS --model.weights {path}",
        )
    return found


def colours_of_official(
    path: Path,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the mean and the standard deviation with which an official file takes pictures.

    Args:
        path: A file of which `network_of_official` returned the network.

    Raises:
        CheckpointError: It is damaged.
    """
    return (rgb_mean(_read_caffe(path)), STD) if path.suffix == CAFFE else (MEAN, STD)


def num_classes_of_official(path: Path) -> int:
    """Return the number of classes of an official file, see `colours_of_official`."""
    return (num_classes_of(_read_caffe(path)) if path.suffix == CAFFE else None) or 365


def words_for(path: Path) -> str | None:
    """Return what names the network of a file of plain weights on a command line.

    Args:
        path: A file that says nothing of its network, so that only its shapes tell.

    Returns:
        Such as "--model.net ResNet --model.net.depth 18"; `None` if it is none of ours.

    Raises:
        CheckpointError: It is no file of weights; the message says what it is.
    """
    spec = spec_of(find_weights(read_file(path, tell=False), path))
    return None if spec is None else typed(spec)


def _read(path: Path) -> object:
    if is_onnx(path):
        check_kind(path)
        raise not_weights(
            path,
            "a program of ONNX, whose weights have no names of layers",
            f"use it as it is:  places predict PICTURES... --ckpt_path {path}",
        )
    return read_program(path) if is_program(path) else read_file(path)


def _read_caffe(path: Path) -> CaffeFile:
    check_kind(path)
    try:
        return read_caffe(path)
    except ValueError as error:  # a WireError, or shapes that do not go together
        raise not_weights(
            path, "no network of Caffe that can be read", printable(str(error))[:300]
        ) from error


def _caffe_weights(
    file: CaffeFile,
    path: Path,
    net: nn.Module,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    try:
        weights = caffe_tensors(file, mean, std, net.state_dict())
    except ValueError as error:  # a WireError, or shapes that do not go together
        raise not_weights(
            path, "no network of Caffe that can be read", printable(str(error))[:300]
        ) from error
    match_eps(file, net, weights)
    told = network_of_caffe(file)
    spec = None if told is None else {"class_path": told[0], "init_args": told[1]}
    if others := other_strides(file, net):
        name = [f"name it:  {typed(spec)}"] if spec else []
        raise CheckpointError(
            f"{path} does not fit the network {type(net).__name__}",
            f"{counted(len(others), 'convolution')} with other strides: {first_few(others)}",
            *name,
        )
    return weights, spec


def _arch_of(loaded: object) -> str | None:
    """Return the name of its network that a file tells, as CSAIL's and timm's do."""
    if not isinstance(loaded, Mapping) or not any(x in loaded for x in ("state_dict", "model")):
        return None
    arch = loaded.get("arch")
    return arch if isinstance(arch, str) else None


def _told_network(loaded: object) -> dict[str, Any] | None:
    """Return the network that a file tells, by its `arch` or as a checkpoint of ours."""
    if (arch := _arch_of(loaded)) is not None:
        return spec_of_arch(arch)
    found = loaded
    for key in ("places", "config", "model", "init_args", "net"):
        found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping) and isinstance(found.get("class_path"), str):
        arguments = found.get("init_args")
        table = dict(arguments) if isinstance(arguments, Mapping) else {}
        return {"class_path": found["class_path"], "init_args": table}
    return None


def _check_told_network(spec: dict[str, Any] | None, net: nn.Module, path: Path) -> None:
    """Refuse a network of ours that is of another class than the file tells, though shapes may fit.

    ResNet-18 and WideResNet-18 have the same weights, and other answers.
    """
    own = f"places.models.{type(net).__name__}"
    is_ours = type(net).__module__.startswith("places.models.")
    told = spec["class_path"] if spec else own
    if is_ours and told.startswith("places.models.") and told != own:
        assert spec is not None
        raise CheckpointError(
            f"{path} holds the weights of a {told.rpartition('.')[2]}, not of the network "
            f"{type(net).__name__}",
            f"name it:  {typed(spec)}",
        )


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
            "to load all but the last layer and train that afresh:  --model.replace_head true",
        )


def _wrong_tensors(weights: dict[str, Tensor], own: dict[str, Tensor]) -> list[str]:
    """Return a line for each way in which tensors differ from those of a network."""
    missing = [key for key in own if key not in weights]
    unexpected = [shown(key) for key in weights if key not in own]
    pairs = [(key, weights[key], own[key]) for key in own if key in weights]
    shapes = [
        f"{key} {shown(tuple(found.shape))} instead of {tuple(wanted.shape)}"
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
    return [f"{len(keys)} {what}: {first_few(keys)}" for what, keys in wrong.items() if keys]


def _misfit(
    path: Path,
    name: str,
    lines: list[str],
    weights: dict[str, Tensor],
    own: dict[str, Tensor],
    told: dict[str, Any] | None,
) -> CheckpointError:
    """Return how a file does not fit a network, and what to type for one that it fits.

    Args:
        path: The file.
        name: The class of the network.
        lines: How its tensors differ.
        weights: The tensors in the file.
        own: Those of the network.
        told: The network that the file tells, if it does.
    """
    spec = spec_of(weights) or told
    if spec is None:
        message = f"{path} does not fit the network {name}: another network or depth?"
        return CheckpointError(message, *lines[:3])
    words = typed(spec)
    if num_classes_in(weights, spec) not in (None, _num_classes(own)):
        words += " --model.replace_head true"
    # A line for the mistake, one for what to type, and two for the most that differs.
    return CheckpointError(
        f"{path} does not fit the network {name}", f"it fits:  {words}", *lines[:2]
    )


def _num_classes(own: Mapping[str, Tensor]) -> int | None:
    last = [value for key, value in own.items() if key.endswith(".weight") and value.ndim == 2]
    return len(last[-1]) if last else None


def _check_numbers(weights: dict[str, Tensor], own: dict[str, Tensor], path: Path) -> None:
    """Refuse NaN and infinite numbers, also those that become so in the kind of the network."""
    wrong = [
        shown(key)
        for key, value in weights.items()
        if own[key].is_floating_point() and not bool(torch.isfinite(value.to(own[key].dtype)).all())
    ]
    if wrong:
        raise CheckpointError(
            f"{path} holds numbers that are NaN or infinite: the training of it went wrong",
            f"in {counted(len(wrong), 'tensor')} of {len(weights)}: {first_few(wrong)}",
        )
