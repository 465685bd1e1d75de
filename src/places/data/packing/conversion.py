"""What `pack` makes of pictures that it does not take as they are: raw pixels, smaller ones."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from places.config.ranges import check_range
from places.errors import ConfigError
from places.hashing import hash_of, shuffled

JPEG_SUFFIX, RAW_SUFFIX = b".jpg", b".ppm"

_RAW_STREAM = 5  # keeps the choice of raw pictures apart from the order of the train split


@dataclass(frozen=True)
class Conversion:
    """What becomes of the pictures of a split; see the arguments of `pack`."""

    raw_part: float  # of the pictures, 0 to 1, becomes raw
    resize_size: int | None
    quality: int  # of JPEGs that are written anew

    @property
    def fields(self) -> dict[str, Any]:
        """What a manifest keeps of it; nothing of what makes no difference."""
        fields: dict[str, Any] = {}
        if self.raw_part:
            fields["pixels"] = "raw" if self.raw_part == 1 else f"mixed:{self.raw_part!r}"
        if self.resize_size is not None:
            fields["resize_size"] = self.resize_size
            if self.raw_part < 1:
                fields["quality"] = self.quality
        return fields

    def are_raw(self, num_pictures: int, seed: int) -> npt.NDArray[np.bool_]:
        """Choose which pictures of a split become raw, by their places in its order.

        What is chosen for a part is also chosen for any larger one.
        """
        chosen = np.zeros(num_pictures, np.bool_)
        num_raw = round(self.raw_part * num_pictures)
        chosen[shuffled(num_pictures, hash_of(seed, _RAW_STREAM))[:num_raw]] = True
        return chosen

    def convert(self, jpeg: bytes, is_raw: bool) -> tuple[bytes, list[bytes]] | None:
        """Convert a picture.

        Args:
            jpeg: The bytes of its file.
            is_raw: Whether it becomes raw.

        Returns:
            The suffix of its name, and the parts of what becomes its bytes; `None` if it is left as
            it is, since it is small enough.

        Raises:
            DataError: It cannot be decoded.
        """
        # Imports OpenCV and Pillow, which packing without conversion does not need.
        import simplejpeg

        from places.data.shards.ppm import ppm_header_of
        from places.data.streaming.decode import shrunk
        from places.data.streaming.jpeg import decode_jpeg, read_header

        size = self.resize_size or math.inf
        if not is_raw:
            header = read_header(jpeg)
            if min(header.width, header.height) <= size:
                return None
        pixels = decode_jpeg(jpeg)
        if self.resize_size is not None:
            pixels = shrunk(pixels, self.resize_size)
        if not is_raw:
            encoded = simplejpeg.encode_jpeg(
                np.ascontiguousarray(pixels), self.quality, "RGB", "420", fastdct=False
            )
            return JPEG_SUFFIX, [encoded]
        height, width = pixels.shape[:2]
        return RAW_SUFFIX, [ppm_header_of(width, height), pixels.tobytes()]


def conversion_of(pixels: str, resize_size: int | None, quality: int) -> Conversion | None:
    """Return what the arguments of `pack` ask for, `None` if pictures stay as they are.

    Raises:
        ConfigError: One of them is none of what may be.
    """
    word, _, part = pixels.partition(":")
    try:
        raw_part = {"jpeg:": 0.0, "raw:": 1.0}.get(f"{word}:{part}", float(part or "nan"))
    except ValueError:
        raw_part = math.nan
    if not 0 <= raw_part <= 1 or (part and word != "mixed"):
        raise ConfigError(
            f"`pixels` must be jpeg, raw or mixed:PART, not {pixels[:40]!r}",
            "PART is the part of the pictures that becomes raw, such as  mixed:0.5",
        )
    check_range("`resize_size`", resize_size, 1, 65_535)
    check_range("`quality`", quality, 1, 100)
    conversion = Conversion(raw_part, resize_size, quality)
    return conversion if conversion.fields else None
