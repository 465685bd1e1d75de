"""What an ONNX file says of itself, read with bounds before anything runs it."""

import mmap
from pathlib import Path

from places.console import printable
from places.models.caffe.wire import WireError, fields
from places.models.file_kinds import check_kind, not_weights

_MAX_BYTES = 2**31  # as protocol buffers allow
_MAX_TEXT_BYTES = 2**20
# Fields of ModelProto, GraphProto, TensorProto and StringStringEntryProto.
_GRAPH, _PROPERTY = 7, 14
_INITIALIZER, _LOCATION = 5, 14
_KEY, _VALUE = 1, 2
_ELSEWHERE = 1


def is_onnx(path: Path) -> bool:
    """Tell by its name or its first bytes whether a file is a program of ONNX.

    It begins with its version and the name of the program that wrote it.
    """
    if path.suffix == ".onnx":
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(64)
    name = head[4 : 4 + head[3]] if len(head) > 4 else b""
    return head[:1] == b"\x08" and head[2:3] == b"\x12" and name.isascii() and name != b""


def properties_of(path: Path) -> dict[str, str]:
    """Return the properties of a model.

    Raises:
        CheckpointError: It is no ONNX file, or has weights in another file.
    """
    check_kind(path)
    found: dict[str, str] = {}
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise WireError("larger than ONNX allows")
        with path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        has_graph = False
        for part in fields(content):
            if part.number == _PROPERTY:
                key, value = _pair(part.as_bytes())
                found[key] = value
            elif part.number == _GRAPH:
                has_graph = True
                _check_weights(part.as_bytes())
        if not has_graph:
            raise WireError("it has no graph")
    except WireError as error:
        raise not_weights(path, "no program of ONNX", printable(str(error))[:200]) from error
    return found


def _pair(message: memoryview) -> tuple[str, str]:
    texts = {}
    for part in fields(message):
        data = part.as_bytes()
        if len(data) > _MAX_TEXT_BYTES:
            raise WireError(f"a property of {len(data):,} bytes")
        texts[part.number] = bytes(data).decode("utf-8", errors="replace")
    return texts.get(_KEY, ""), texts.get(_VALUE, "")


def _check_weights(graph: memoryview) -> None:
    """Refuse weights that lie in another file, which might be any file of this machine."""
    for part in fields(graph):
        if part.number == _INITIALIZER:
            for told in fields(part.as_bytes()):
                if told.number == _LOCATION and told.as_int() == _ELSEWHERE:
                    raise WireError("its weights are in another file; export it as one")
