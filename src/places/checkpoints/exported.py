"""A network in one file, with all that is needed to use it: what `places export` writes.

The format, version 1: a safetensors file whose tensors are the state dict of the network, without
any prefix, and whose metadata has under the key `places` a text: a JSON object with these keys.

    version       1
    net           {"class_path": "places.models.ResNet", "init_args": {"depth": 18}}: the network
                  but for its first argument, the number of classes
    num_classes   365
    mean, std     three numbers each, for pictures in 0..1
    image_size, resize_size, resize_mode    how a picture is cut, as in `Places365`
    channels_last whether the channels are last in memory
    categories    the names of the classes in the order of their labels

All but `version` and `net` may be left out, and are then as `places` has them by default.

The same text is in the two other forms: in an ONNX file as the property `places` of the model, and
in a program of torch.export (`.pt2`) as the extra file `places`. ONNX Runtime runs the graph of the
one, which can do nothing but compute. Of the other only the weights are read: to open it as a
program would run code from it.
"""

import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from places.categories import load_categories
from places.checkpoints.description import Description, described
from places.config.trust import check_part, check_plain
from places.console import printable
from places.errors import CheckpointError
from places.models.file_kinds import check_kind, is_safetensors
from places.models.onnx_files import is_onnx, properties_of
from places.models.programs import is_program, text_in_program

METADATA_KEY = "places"
EXPORT_VERSION = 1
NET_OF_ONNX = {"class_path": "places.models.onnx_network.OnnxNetwork", "init_args": {}}
_MAX_HEADER_BYTES = 100_000_000  # as safetensors itself allows
_MAX_TEXT = 2**20  # characters of our part of it
_CROP = (
    "image_size",
    "resize_size",
    "resize_mode",
)  # how many crops are taken is not the network's
_KEYS = frozenset(
    {"version", "net", "num_classes", "mean", "std", *_CROP, "channels_last", "categories"}
)
_MAX_NAME = 200  # characters of a category


def text_of(description: Description) -> str:
    """Return what an exported file says about its network, to be read by `read_exported`.

    Args:
        description: With the class path of its network.
    """
    told = {
        "version": EXPORT_VERSION,
        "net": description.net,
        "num_classes": description.num_classes,
        "mean": description.mean,
        "std": description.std,
        **{name: getattr(description.crop, name) for name in _CROP},
        "channels_last": description.channels_last,
        "categories": description.categories,
    }
    return json.dumps({key: value for key, value in told.items() if value is not None})


def is_exported(path: Path) -> bool:
    """Tell by its name or its first bytes whether a file may be one that `places export` wrote."""
    if path.suffix == ".safetensors" or is_onnx(path):
        return True
    return path.is_file() and (is_safetensors(path) or is_program(path))


def read_exported(path: Path) -> Description | None:
    """Return what an exported file says about its network; `None` if it says nothing.

    Nothing in it is believed yet: what `net` names is still to be checked, see `check_part`.

    Raises:
        CheckpointError: It is no such file, or what it says is not of this format.
    """
    check_kind(path)
    if is_onnx(path):
        return _read_onnx(path)
    if is_program(path):
        text: object = text_in_program(path)
    else:
        metadata = _header_of(path).get("__metadata__")
        text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    return None if text is None else _read_text(text, path)


def _read_onnx(path: Path) -> Description:
    text = properties_of(path).get(METADATA_KEY)
    if text is None:
        raise CheckpointError(
            f"{path} does not say how pictures are prepared for it, nor what its classes are",
            "write it anew:  places export --ckpt_path CHECKPOINT --format onnx --file FILE",
        )
    # The graph is the network: no class is built but the one that runs it.
    return replace(_read_text(text, path), net=NET_OF_ONNX)


def _read_text(text: object, path: Path) -> Description:
    try:
        if not isinstance(text, str) or len(text) > _MAX_TEXT:
            raise ValueError("no text, or a very long one")
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"no JSON in it: {error}") from error
    if not isinstance(told, dict) or told.get("version") != EXPORT_VERSION:
        version = told.get("version") if isinstance(told, dict) else None
        raise _wrong(path, f"version {version!r:.40}, this program reads {EXPORT_VERSION}")
    check_plain(told, path)
    if unknown := sorted(told.keys() - _KEYS):
        raise _wrong(path, f"unknown: {printable(unknown[0])[:60]}")
    if "net" not in told:
        raise _wrong(path, "it names no network")
    found = described(told, path)
    categories = _categories(told, found.num_classes, path)
    return replace(found, categories=categories)


def flags_of_exported(path: Path, trusted: Collection[str]) -> list[str] | None:
    """Return the flags that build the network of an exported file and prepare its pictures.

    Args:
        path: Any file.
        trusted: Packages that the user trusts, see `check_stored`.

    Returns:
        The flags, or `None` if it is no file as `places export` writes it.

    Raises:
        CheckpointError: It does not tell its network, names what it may not name, or has categories
            of its own.
    """
    if not is_exported(path):
        return None
    told = read_exported(path)
    if told is None:
        raise CheckpointError(
            f"{path} does not say how its network is built",
            f"use it as weights:  --config RECIPE --model.weights {path}",
        )
    if told.categories not in (None, load_categories()):
        raise CheckpointError(
            f"{path} has {len(told.categories or ())} categories of its own",
            f'use it from Python:  places.load("{path}")',
        )
    check_part("model.net", told.net, trusted, path)
    model = {name: getattr(told, name) for name in ("net", "num_classes", "mean", "std")}
    model |= {"channels_last": told.channels_last, "weights": str(path)}
    if is_onnx(path):
        model["compile"] = False
    settings = {f"model.{name}": value for name, value in model.items()}
    settings |= {f"data.{name}": getattr(told.crop, name) for name in _CROP}
    return [
        f"--{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in settings.items()
    ]


def _header_of(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            size_bytes = int.from_bytes(file.read(8), "little")
            if not 2 <= size_bytes <= min(_MAX_HEADER_BYTES, path.stat().st_size - 8):
                raise ValueError("its header is longer than the file, or absent")
            header = json.loads(file.read(size_bytes))
    except (OSError, ValueError, RecursionError) as error:
        reason = printable(str(error))[:100]
        raise CheckpointError(f"{path} is no safetensors file", reason) from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is no safetensors file", "its header is no table")
    return header


def _categories(told: dict[str, Any], num_classes: int, path: Path) -> tuple[str, ...] | None:
    names = told.get("categories")
    if names is None:
        return None
    is_list = isinstance(names, list) and len(names) == num_classes
    if not is_list or not all(isinstance(name, str) and len(name) <= _MAX_NAME for name in names):
        raise _wrong(path, f"categories must be {num_classes} names")
    return tuple(names)


def _wrong(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"what {path} says about its network cannot be used: {reason}")
