"""Pictures of shards that hold more than JPEGs, decoded as the reader of picture files does.

JPEGs take the way of `jpeg`, as in shards with nothing else. Of raw pictures the wanted rows are
read. All others take Pillow's way, at full size and upright, with what is transparent in white.
"""

from collections.abc import Callable, Sequence
from typing import cast

from places.data.shards.picture_formats import FORMATS, JPEG, format_of
from places.data.streaming.decode import crop_box, decode_for_crop
from places.data.streaming.jpeg import MAX_PIXELS, Pixels, decode_jpeg
from places.data.streaming.picture_files import decode_with_size
from places.data.streaming.raw import RawPicture, Stored
from places.errors import DataError

Decoder = Callable[[Stored], Pixels]
CropDecoder = Callable[
    [Stored, Sequence[float], int, tuple[float, float], tuple[float, float]], Pixels
]
"""What `decode_for_crop` is."""


def decoder_of(formats: Sequence[str]) -> Decoder:
    """Return what decodes whole pictures of some formats, see `decode_jpeg`."""
    # What is read from shards of JPEGs is bytes.
    return cast(Decoder, decode_jpeg) if tuple(formats) == (JPEG,) else decode_picture


def crop_decoder_of(formats: Sequence[str]) -> CropDecoder:
    """Return what decodes training crops of pictures of some formats, see `decode_for_crop`."""
    if tuple(formats) == (JPEG,):
        return cast(CropDecoder, decode_for_crop)
    return decode_picture_for_crop


def decode_picture(data: Stored) -> Pixels:
    """Decode a picture to `(height, width, 3)` uint8, RGB; a JPEG as `decode_jpeg`.

    Raises:
        DataError: It is damaged, of a format that is not read, or has more than `MAX_PIXELS`.
        StorageError: Its rows cannot be read now.
    """
    if isinstance(data, RawPicture):
        return data.rows(0, data.height)
    found = format_of(data)
    if found == JPEG:
        return decode_jpeg(data)
    if found is None:  # read or not, whatever else is in the split
        raise DataError(f"not a readable picture: it begins like none of {', '.join(FORMATS)}")
    return decode_with_size(lambda: data, MAX_PIXELS)[0]


def decode_picture_for_crop(
    data: Stored,
    uniforms: Sequence[float],
    size: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Pixels:
    """Return the random crop of a picture, `(height, width, 3)` uint8; see `decode_for_crop`.

    Raises:
        DataError: As `decode_picture`.
    """
    if isinstance(data, RawPicture):
        box = crop_box(data.width, data.height, uniforms, scale, ratio)
        left, top, width, height = box
        return data.rows(top, height)[:, left : left + width]
    if format_of(data) == JPEG:
        return decode_for_crop(data, uniforms, size, scale, ratio)
    pixels = decode_picture(data)
    left, top, width, height = crop_box(pixels.shape[1], pixels.shape[0], uniforms, scale, ratio)
    return pixels[top : top + height, left : left + width]
