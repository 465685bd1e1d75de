"""Writes `.caffemodel` files for tests: protocol buffers by hand, in both forms of Caffe."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
OLD_KINDS = {"Convolution": 4, "InnerProduct": 14, "Pooling": 17, "ReLU": 18}


def varint(value: int) -> bytes:
    """A whole number."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def number(field_number: int, value: int) -> bytes:
    """A field that is a whole number."""
    return varint(field_number << 3) + varint(value)


def data(field_number: int, content: bytes) -> bytes:
    """A field of bytes: a text, a message or a row of numbers."""
    return varint(field_number << 3 | 2) + varint(len(content)) + content


def single(field_number: int, value: float) -> bytes:
    """A field that is a float."""
    return varint(field_number << 3 | 5) + struct.pack("<f", value)


def blob(values: Floats, form: str = "new") -> bytes:
    """A BlobProto: its shape in one of two forms, its numbers in one of three."""
    if form == "old":
        axes = [1] * (4 - values.ndim) + list(values.shape)
        shape = b"".join(number(n, size) for n, size in enumerate(axes, 1))
        # Not packed: each number is a field.
        return shape + b"".join(single(5, float(x)) for x in values.reshape(-1))
    shape = data(7, data(1, b"".join(map(varint, values.shape))))
    if form == "double":
        return shape + data(8, values.astype("<f8").tobytes())
    return shape + data(5, values.astype("<f4").tobytes())


@dataclass
class Caffe:
    """A layer of a test's network.

    Attributes:
        name: Its name.
        kind: As Caffe calls it.
        blobs: Its weights.
        stride: Of a convolution.
        pad: Of a convolution.
        bottoms: Layers before it; the one before in the list, if there are none.
        text: More of it in the description for OpenCV.
    """

    name: str
    kind: str
    blobs: Sequence[Floats] = ()
    stride: int = 1
    pad: int = 0
    bottoms: Sequence[str] = ()
    text: str = ""
    eps: float | None = None
    extra: bytes = field(default=b"", repr=False)

    def new(self, form: str = "new") -> bytes:
        """The layer as a LayerParameter."""
        parts = [data(1, self.name.encode()), data(2, self.kind.encode())]
        parts += [data(7, blob(values, form)) for values in self.blobs]
        if self.kind == "Convolution":
            size = self.blobs[0].shape[-1]
            told = number(1, len(self.blobs[0])) + number(4, size) + number(3, self.pad)
            parts.append(data(106, told + number(6, self.stride)))
        if self.eps is not None:
            parts.append(data(139, single(3, self.eps)))
        return data(100, b"".join([*parts, self.extra]))

    def old(self, form: str = "old") -> bytes:
        """The layer as a V1LayerParameter."""
        parts = [data(4, self.name.encode()), number(5, OLD_KINDS[self.kind])]
        parts += [data(6, blob(values, form)) for values in self.blobs]
        if self.kind == "Convolution":
            size = self.blobs[0].shape[-1]
            told = number(1, len(self.blobs[0])) + number(4, size) + number(3, self.pad)
            parts.append(data(10, told + number(6, self.stride)))
        return data(2, b"".join([*parts, self.extra]))


def caffemodel(layers: Sequence[Caffe], *, old: bool = False, form: str = "new") -> bytes:
    """The file."""
    written = (layer.old(form) if old else layer.new(form) for layer in layers)
    return data(1, b"a network") + b"".join(written)


def prototxt(layers: Sequence[Caffe], size: int) -> str:
    """The description that OpenCV wants beside the file."""
    lines = [f'input: "data"\ninput_shape {{ dim: 1 dim: 3 dim: {size} dim: {size} }}']
    before = "data"
    for layer in layers:
        bottoms = "".join(f' bottom: "{name}"' for name in layer.bottoms or [before])
        text = layer.text
        if layer.kind == "Convolution":
            bias = "" if len(layer.blobs) > 1 else "bias_term: false "
            text = (
                f"convolution_param {{ num_output: {len(layer.blobs[0])} pad: {layer.pad} {bias}"
                f"kernel_size: {layer.blobs[0].shape[-1]} stride: {layer.stride} }}"
            )
        elif layer.kind == "InnerProduct":
            text = f"inner_product_param {{ num_output: {layer.blobs[1].shape[-1]} }}"
        elif layer.kind == "Scale":
            text = "scale_param { bias_term: true }"
        elif layer.eps is not None:
            text = f"batch_norm_param {{ eps: {layer.eps} }}"
        lines.append(
            f'layer {{ name: "{layer.name}" type: "{layer.kind}"{bottoms} top: "{layer.name}" '
            f"{text} }}"
        )
        before = layer.name
    return "\n".join(lines)
