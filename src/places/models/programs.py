"""The weights in a program of torch.export (`.pt2`), which is not opened as a program.

`torch.export.load` evaluates text in the file and may unpickle parts of it, so it runs what the
file says. The file is a zip archive, and its weights lie in it as plain numbers with a table in
JSON: these are read here, and nothing else.
"""

import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from places.models.file_kinds import not_weights
from places.models.weight_files import shown

EXTRA = "places"  # the name of the extra file with what `places` says of the network
_MAX_TEXT_BYTES = 2**20
_MAX_TABLE_BYTES = 2**25
_MAX_AXES = 8
# By the numbers of torch.export's table.
_KINDS = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    13: torch.bfloat16,
}


def is_program(path: Path) -> bool:
    """Tell whether a file is a program of torch.export that `places` wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(f"/extra/{EXTRA}") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def text_in_program(path: Path) -> str:
    """Return what `places` says of the network in a program.

    Raises:
        CheckpointError: The file is damaged.
    """
    with _opened(path) as archive:
        return _read(archive, f"extra/{EXTRA}", _MAX_TEXT_BYTES).decode("utf-8", errors="replace")


def read_program(path: Path) -> dict[str, Tensor]:
    """Return the tensors of the network in a program by their names.

    Raises:
        CheckpointError: The file is damaged.
    """
    with _opened(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"damaged at {damaged}")
        tables = [n for n in archive.namelist() if n.endswith("_weights_config.json")]
        if len(tables) != 1:
            raise ValueError(f"{len(tables)} tables of weights")
        table = json.loads(_read(archive, tables[0].partition("/")[2], _MAX_TABLE_BYTES))
        return {str(name): _tensor(archive, told) for name, told in dict(table["config"]).items()}


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a program; whatever goes wrong in the block is damage of the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except Exception as error:  # damage in what describes the content may look like anything
        reason = str(error) or type(error).__name__
        raise not_weights(path, "a damaged program of torch.export", shown(reason)) from error


def _read(archive: zipfile.ZipFile, name: str, limit_bytes: int) -> bytes:
    members = (x for x in archive.infolist() if x.filename.partition("/")[2] == name)
    found = next(members, None)
    if found is None:
        raise ValueError(f"{name} is not there")
    if found.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, as torch.export compresses nothing")
    if found.file_size > limit_bytes:
        raise ValueError(f"{name} has {found.file_size:,} bytes")
    return archive.read(found)


def _tensor(archive: zipfile.ZipFile, told: dict[str, Any]) -> Tensor:
    meta = told["tensor_meta"]
    kind = _KINDS[meta["dtype"]]
    sizes, strides = ([int(x["as_int"]) for x in meta[key]] for key in ("sizes", "strides"))
    if told["use_pickle"] or int(meta["storage_offset"]["as_int"]):
        raise ValueError("a tensor that is not stored as plain numbers")
    if len(sizes) > _MAX_AXES or len(sizes) != len(strides) or min(sizes + strides, default=0) < 0:
        raise ValueError(f"a tensor of shape {sizes}")
    if not math.prod(sizes):
        return torch.empty(sizes, dtype=kind)
    last = sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if last + 1 > math.prod(sizes):
        raise ValueError(f"a tensor of shape {sizes} with gaps")
    size_bytes = (last + 1) * kind.itemsize
    data = _read(archive, f"data/weights/{told['path_name']}", size_bytes + 64)
    if len(data) < size_bytes:
        raise ValueError(f"{told['path_name']} has {len(data):,} bytes of {size_bytes:,}")
    flat = torch.frombuffer(bytearray(data), dtype=kind, count=last + 1)
    return flat.as_strided(sizes, strides).contiguous()
