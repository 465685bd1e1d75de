"""The wire format of protocol buffers, read with bounds: the file may be damaged or hostile.

A message is a row of fields, each with a number and one of four kinds: a whole number (varint), 4
bytes, 8 bytes, or as many bytes as it says, which may be a text, numbers in a row or a message
again. Nothing nested is entered unless the caller asks for it, so nothing nests without end.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

VARINT, BITS_64, BYTES, BITS_32 = 0, 1, 2, 5  # kinds of fields, as the format numbers them
_KINDS = {VARINT: "a whole number", BITS_64: "8 bytes", BYTES: "bytes", BITS_32: "4 bytes"}
_MAX_VARINT_BYTES = 10
_MAX_FIELDS = 1_000_000  # of one message; more would take minutes, and no file needs them
_MAX_TEXT_BYTES = 1000


class WireError(ValueError):
    """Something is not of this format, or not what it should be."""


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        number: Which field it is.
        kind: `VARINT`, `BITS_64`, `BYTES` or `BITS_32`.
        value: A whole number of a varint, else the bytes.
    """

    number: int
    kind: int
    value: int | memoryview

    def as_int(self) -> int:
        """Return a whole number."""
        if not isinstance(self.value, int):
            raise WireError(f"field {self.number} is {_KINDS[self.kind]}, not a whole number")
        return self.value

    def as_bytes(self) -> memoryview:
        """Return what it holds, a message for instance."""
        if self.kind != BYTES or isinstance(self.value, int):
            raise WireError(f"field {self.number} is {_KINDS[self.kind]}, not bytes")
        return self.value

    def as_text(self) -> str:
        """Return a text of moderate length."""
        data = self.as_bytes()
        if len(data) > _MAX_TEXT_BYTES:
            raise WireError(f"field {self.number} is a text of {len(data):,} bytes")
        return bytes(data).decode("utf-8", errors="replace")

    def as_ints(self) -> list[int]:
        """Return whole numbers: one, or a row of them."""
        if isinstance(self.value, int):
            return [self.value]
        data, position, found = self.as_bytes(), 0, []
        while position < len(data):
            value, position = _varint(data, position)
            found.append(value)
            if len(found) > _MAX_FIELDS:
                raise WireError(f"field {self.number} has more than {_MAX_FIELDS:,} numbers")
        return found

    def as_numbers(self, *, wide: bool = False) -> npt.NDArray[np.float64 | np.float32]:
        """Return floating point numbers, one or a row of them, without copying them.

        Args:
            wide: Whether each has 8 bytes instead of 4.
        """
        kind, size_bytes = (BITS_64, 8) if wide else (BITS_32, 4)
        if self.kind not in (kind, BYTES) or isinstance(self.value, int):
            raise WireError(f"field {self.number} is {_KINDS[self.kind]}, not numbers")
        if len(self.value) % size_bytes:
            raise WireError(f"field {self.number} ends within a number")
        return np.frombuffer(self.value, "<f8" if wide else "<f4")


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message in their order.

    Raises:
        WireError: It is cut off, or no message.
    """
    position = count = 0
    while position < len(message):
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if not 1 <= number < 2**29 or kind not in _KINDS:
            raise WireError(f"field {number} of kind {kind}, which there is not")
        if kind == VARINT:
            value, position = _varint(message, position)
            yield Field(number, kind, value)
        else:
            length = 8 if kind == BITS_64 else 4
            if kind == BYTES:
                length, position = _varint(message, position)
            if length > len(message) - position:
                left = len(message) - position
                raise WireError(
                    f"field {number} is said to have {length:,} bytes, but {left:,} are left"
                )
            yield Field(number, kind, message[position : position + length])
            position += length
        count += 1
        if count > _MAX_FIELDS:
            raise WireError(f"more than {_MAX_FIELDS:,} fields in one message")


def as_float(field: Field) -> float:
    """Return one floating point number of 4 bytes."""
    if field.kind != BITS_32 or isinstance(field.value, int):
        raise WireError(f"field {field.number} is {_KINDS[field.kind]}, not a number")
    value: float = struct.unpack("<f", field.value)[0]
    return value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """Return a whole number, and the position after it."""
    value = 0
    for count, byte in enumerate(data[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * count)
        if not byte & 0x80:
            return value & (2**64 - 1), position + count + 1
    raise WireError("a whole number is cut off, or longer than any")
