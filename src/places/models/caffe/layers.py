"""The layers of a `.caffemodel`: their names, kinds, weights, and how pictures were prepared.

Only what is needed is read, of both forms that Caffe wrote: `LayerParameter`, and until 2014
`V1LayerParameter`. The numbers of fields are those of caffe.proto.
"""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from places.console import printable
from places.models.caffe.wire import Field, WireError, as_float, fields

Numbers = npt.NDArray[np.float64 | np.float32]

_MAX_BYTES = 2**31  # as protocol buffers themselves allow
_MAX_LAYERS, _MAX_BLOBS, _MAX_AXES = 10_000, 16, 8
# Fields of NetParameter.
_OLD_LAYERS, _LAYERS = 2, 100
# Fields of V1LayerParameter and of LayerParameter.
_OLD = {"name": 4, "kind": 5, "blobs": 6, "conv": 10, "transform": 36, "oldest": 1}
_NEW = {"name": 1, "kind": 2, "blobs": 7, "conv": 106, "transform": 100, "norm": 139}
# Kinds of V1LayerParameter that have weights, or tell how pictures are prepared.
_OLD_KINDS = {4: "Convolution", 5: "Data", 12: "ImageData", 14: "InnerProduct"}
_EPS = 1e-5


@dataclass
class Layer:
    """A layer with weights.

    Attributes:
        name: As its author called it.
        kind: As Caffe calls it: "Convolution", "InnerProduct", "BatchNorm", "Scale"...
        blobs: Its weights, as float32 or float64.
        strides: Of a convolution that tells it; an empty list if the file does not tell.
        groups: Of a convolution.
        eps: What a batch norm adds to variances.
    """

    name: str
    kind: str
    blobs: list[Numbers]
    strides: list[int] = field(default_factory=list)
    groups: int = 1
    eps: float = _EPS


@dataclass
class CaffeNetwork:
    """What a `.caffemodel` holds.

    Attributes:
        layers: Those with weights, in their order.
        mean: What was subtracted from blue, green and red, in 0..255; `None` if it does not tell.
        mean_file: The name of the file of a mean picture, if it tells one.
        scale: By what the difference was multiplied.
    """

    layers: list[Layer]
    mean: tuple[float, float, float] | None = None
    mean_file: str | None = None
    scale: float = 1.0


def read_network(path: Path) -> CaffeNetwork:
    """Read a `.caffemodel`.

    Raises:
        WireError: It is cut off, none, or has no weights.
        OSError: It cannot be read.
    """
    network = CaffeNetwork([])
    num_layers = 0
    for part in fields(_mapped(path)):
        if part.number not in (_OLD_LAYERS, _LAYERS):
            continue
        num_layers += 1
        if num_layers > _MAX_LAYERS:
            raise WireError(f"more than {_MAX_LAYERS:,} layers")
        _add_layer(part, network)
    if not network.layers:
        raise WireError("no layer in it has weights")
    return network


def read_mean(path: Path) -> tuple[float, float, float]:
    """Return the mean blue, green and red of a file with a mean picture, `.binaryproto`.

    Raises:
        WireError: It is no such file.
        OSError: It cannot be read.
    """
    blob = _blob(_mapped(path))
    shape = blob.shape[1:] if blob.ndim == 4 and blob.shape[0] == 1 else blob.shape
    if len(shape) != 3 or shape[0] != 3:
        raise WireError(f"no picture of three colours, but numbers of shape {blob.shape}")
    blue, green, red = (float(x) for x in blob.reshape(3, -1).mean(axis=1, dtype=np.float64))
    return blue, green, red


def _mapped(path: Path) -> memoryview:
    size_bytes = path.stat().st_size
    if size_bytes > _MAX_BYTES:
        raise WireError(f"{size_bytes:,} bytes, more than Caffe can read")
    if not size_bytes:
        raise WireError("it is empty")
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _add_layer(part: Field, network: CaffeNetwork) -> None:
    is_old = part.number == _OLD_LAYERS
    layer = Layer("", "", [])
    meanings = {number: name for name, number in (_OLD if is_old else _NEW).items()}
    for found in fields(part.as_bytes()):
        meaning = meanings.get(found.number)
        if meaning == "transform":
            _tell_pictures(found, network)
        elif meaning == "oldest":
            raise WireError("it is of the form that Caffe wrote until 2013 (V0LayerParameter)")
        elif meaning is not None:
            _tell_layer(meaning, found, layer)
    if layer.blobs:
        network.layers.append(layer)


def _tell_layer(meaning: str, part: Field, layer: Layer) -> None:
    if meaning == "name":
        layer.name = printable(part.as_text())
    elif meaning == "kind":
        is_text = isinstance(part.value, memoryview)
        layer.kind = printable(part.as_text()) if is_text else _old_kind(part.as_int())
    elif meaning == "conv":
        _tell_convolution(part, layer)
    elif meaning == "norm":
        layer.eps = next((as_float(x) for x in fields(part.as_bytes()) if x.number == 3), _EPS)
    elif len(layer.blobs) == _MAX_BLOBS:
        raise WireError(f"layer {layer.name!r:.60} has more than {_MAX_BLOBS} blobs")
    else:
        layer.blobs.append(_blob(part.as_bytes()))


def _old_kind(number: int) -> str:
    return _OLD_KINDS.get(number, f"kind {number}")


def _tell_convolution(part: Field, layer: Layer) -> None:
    layer.strides = []
    sides: dict[int, int] = {}
    for found in fields(part.as_bytes()):
        if found.number == 6:  # stride
            layer.strides += found.as_ints()
        elif found.number in (13, 14):  # stride_h, stride_w
            sides[found.number] = found.as_int()
        elif found.number == 5:
            layer.groups = found.as_int()
    layer.strides = list(sides.values()) or layer.strides or [1]


def _tell_pictures(part: Field, network: CaffeNetwork) -> None:
    means: list[float] = []
    for found in fields(part.as_bytes()):
        if found.number == 1:
            network.scale = as_float(found)
        elif found.number == 4:
            network.mean_file = printable(found.as_text())
        elif found.number == 5:
            means += found.as_numbers().tolist()
    if not all(map(math.isfinite, [network.scale, *means])) or not network.scale:
        raise WireError("the means of its colours, or their scale, are no numbers")
    if means:
        if len(means) not in (1, 3):
            raise WireError(f"{len(means)} means of colours")
        blue, green, red = means * 3 if len(means) == 1 else means
        network.mean = blue, green, red


def _blob(message: memoryview) -> Numbers:
    """Return the numbers of a BlobProto in their shape."""
    old_shape: dict[int, int] = {}
    shape: list[int] | None = None
    rows: list[Numbers] = []
    for found in fields(message):
        if found.number in (1, 2, 3, 4):  # num, channels, height, width
            old_shape[found.number] = found.as_int()
        elif found.number == 5:
            rows.append(found.as_numbers())
        elif found.number == 8:
            rows.append(found.as_numbers(wide=True))
        elif found.number == 7:
            shape = list(_axes(found))
    if shape is None:
        shape = [old_shape.get(axis, 1) for axis in (1, 2, 3, 4)] if old_shape else []
    numbers = rows[0] if len(rows) == 1 else np.concatenate(rows or [np.empty(0, np.float32)])
    if len(shape) > _MAX_AXES or math.prod(shape) != len(numbers):
        said = "x".join(map(str, shape[:_MAX_AXES])) or "one"
        raise WireError(f"numbers are said to be {said}, but there are {len(numbers):,}")
    return numbers.reshape(shape)


def _axes(part: Field) -> Iterator[int]:
    for found in fields(part.as_bytes()):
        if found.number == 1:
            yield from found.as_ints()
