"""Read a file of tensors as data: nothing in it is run, and what it is not is said."""

import argparse
import importlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy._core.multiarray as multiarray
import torch

from places.console import printable, say
from places.errors import CheckpointError
from places.files import is_unfinished
from places.models.archives import is_archive, what_is_damaged
from places.models.file_kinds import check_kind, is_safetensors, not_weights

_MAX_SHOWN = 100  # characters of a name or a reason
# What else files of weights hold beside tensors, and what does nothing when it is made: options of
# a training script (torchvision's and timm's), and numbers of NumPy, such as the best score.
_HARMLESS: tuple[tuple[Any, str], ...] = (
    (argparse.Namespace, "argparse.Namespace"),
    (multiarray.scalar, "numpy.core.multiarray.scalar"),
    (multiarray.scalar, "numpy._core.multiarray.scalar"),
    (np.dtype, "numpy.dtype"),
    *((type(np.dtype(kind)), f"numpy.dtypes.{type(np.dtype(kind)).__name__}") for kind in "fdilq"),
)
# How PyTorch says what it does not read, and that opening the file unsafely would run it.
_REFUSED = re.compile(
    r"(?:GLOBAL |blocked|function |class |globals`, but got )<?(?:class )?'?([\w.]+\.[\w.]+)"
)
_REFUSAL = "Weights only load failed"


def read_file(path: Path, *, tell: bool = True) -> object:
    """Return what a file of `torch.save` or a `.safetensors` file holds.

    An archive's checksums and sizes are compared.

    Args:
        path: The file.
        tell: Whether to say of a file that it has no checksums.

    Raises:
        CheckpointError: There is no such file, it is damaged, or it is something else.
    """
    check_kind(path)
    if is_safetensors(path) or path.suffix == ".safetensors":
        loaded, has_checksums = _read_safetensors(path), False
    else:
        has_checksums = is_archive(path)
        damaged = what_is_damaged(path) if has_checksums else None
        if damaged is not None:
            raise unreadable(path, damaged)
        loaded = read_torch(path)
    if tell and not has_checksums and not is_unfinished(path):
        say(f"{path} has no checksums: damage in its numbers would not be noticed")
    return loaded


def read_torch(path: Path) -> object:
    """Return what a file of `torch.save` holds, without a look at its checksums.

    Raises:
        CheckpointError: It is damaged, or holds what only running its code could make.
    """
    try:
        return _read_pickle(path)
    except Exception as error:  # damage in what describes the content may look like anything
        raise refusal_of(path, error) from error


def refusal_of(path: Path, error: Exception, *, of_checkpoint: bool = False) -> CheckpointError:
    """Return why PyTorch does not read a file, without its advice to read it unsafely.

    Args:
        path: The file.
        error: What `torch.load` said.
        of_checkpoint: Whether it should be a checkpoint of `places`.
    """
    text = str(error)
    if _REFUSAL in text or "weights_only" in text:
        said = _REFUSED.search(text.partition(_REFUSAL)[2] or text)
        what = f"a pickled {shown(said[1])}" if said else "more than tensors and plain values"
        message = f"{path} is not a plain file of weights: it holds {what}"
        if of_checkpoint:
            message = f"cannot read checkpoint {path}: it holds {what}"
        return CheckpointError(
            message,
            "opening it would run code from the file, so it is refused",
            "where it was made, save the weights alone:  torch.save(net.state_dict(), path)",
        )
    reason = text.partition("\n")[0] or type(error).__name__
    if of_checkpoint:
        return CheckpointError(f"cannot read checkpoint {path}", shown(reason))
    return unreadable(path, reason)


def unreadable(path: Path, reason: object) -> CheckpointError:
    """Return that a file is cut off or damaged.

    Args:
        path: The file.
        reason: What was found.
    """
    return not_weights(path, "damaged, cut off or of an unknown kind", shown(reason))


def shown(text: object) -> str:
    """Return a name or a reason from a file or a library so that it fits into a line."""
    line = printable(str(text)[:_MAX_SHOWN])
    return line if len(line) <= _MAX_SHOWN else f"{line[:_MAX_SHOWN]}..."


def _read_pickle(path: Path) -> object:
    with torch.serialization.safe_globals(list(_HARMLESS)):
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
        raise unreadable(path, error) from error
