"""From a picture file of any format to uint8 RGB pixels.

The pixels are those of Pillow, turned upright. What a format can store beyond 8 bits becomes 8 bits
by the rules of `_in_8_bits`, or an error: never a picture that is black or white by mistake.
"""

import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from places.data.streaming.jpeg import Pixels
from places.data.streaming.metadata import orientation_in_xmp, orientation_of, without_metadata
from places.errors import DataError
from places.files import open_regular, storage_error

# Not EPS and the like: Pillow would start another program to draw them.
FORMATS = (
    *("AVIF", "BMP", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PCX", "PNG"),
    *("PPM", "PSD", "QOI", "SGI", "TGA", "TIFF", "WEBP", "XBM", "XPM"),
)
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Where `decode_file` does not look for an orientation in XMP.
_WITHOUT_XMP = ("TIFF", "WEBP", "AVIF")
_LYING = [_UPRIGHT[orientation] for orientation in (5, 6, 7, 8)]
MAX_FILE_BYTES = 2**31 - 2**12  # what the system reads at once
Image.MAX_IMAGE_PIXELS = None  # the limit is that of `decode_file`; Pillow has one for all threads
_SCALES = (1, 2, 4, 8)  # by which a JPEG can be decoded smaller
# What concerns this file alone. Other errors of the system concern the storage behind it.
OF_THE_FILE = frozenset(
    {errno.ENOENT, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR}
    | {errno.EISDIR, errno.EINVAL, errno.ENXIO, errno.ENODEV, errno.EOVERFLOW}
)


def decode_file(path: Path, max_pixels: int, min_side: int | None = None) -> Pixels:
    """Decode a picture file to `(height, width, 3)` uint8, RGB; see `decode_with_size`."""
    return decode_with_size(path, max_pixels, min_side)[0]


def decode_with_size(
    path: Path | Callable[[], bytes], max_pixels: int, min_side: int | None = None
) -> tuple[Pixels, tuple[int, int]]:
    """Decode a picture file to `(height, width, 3)` uint8, RGB, and tell its own width and height.

    Transparent parts become white, and of an animation the first picture is taken.

    Args:
        path: The file, of one of `FORMATS`; or what returns its bytes, or raises as this does.
        max_pixels: The most pixels that are decoded. A JPEG with more is decoded at a half, a
            quarter or an eighth of its size.
        min_side: A JPEG may be decoded at such a part of its size if its short side keeps this many
            pixels; null decodes all formats at full size.

    Returns:
        The pixels, and width and height of the whole picture, upright.

    Raises:
        DataError: The file is no picture, is damaged, has more than `max_pixels`, or values that no
            rule covers.
        StorageError: Not the file is to blame, but the disk, the network or a limit of the system.
    """
    with _told_as_errors(path):
        data = _read(path) if isinstance(path, Path) else path()
        bare, orientation = without_metadata(data)
        with Image.open(io.BytesIO(bare), formats=FORMATS) as image:
            if bare is data:
                orientation = orientation_of(_exif_of(image))
            size = image.size
            _shrink(image, max_pixels, min_side)
            image.load()
            turn = _UPRIGHT.get(orientation)
            pixels = _rgb(image if turn is None else image.transpose(turn))
            return pixels, size[::-1] if turn in _LYING else size


def header_fault(data: bytes) -> str | None:
    """Return why the header of a picture cannot be read; nothing if it can."""
    try:
        with _told_as_errors(lambda: data):
            bare, _ = without_metadata(data)
            Image.open(io.BytesIO(bare), formats=FORMATS).close()
    except DataError as error:
        return error.message
    return None


@contextmanager
def _told_as_errors(path: Path | Callable[[], bytes]) -> Iterator[None]:
    """Make whatever Pillow and the system raise while a picture is read an error of ours."""
    try:
        yield
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError("not a readable picture: of no format that is read here") from error
    except OSError as error:
        raise _failed(path, error) from error
    except MemoryError as error:
        raise DataError("not a readable picture: it does not fit into the memory") from error
    except Exception as error:
        # Anything: SyntaxError for a broken PNG, RuntimeError for an AVIF, as the format has it.
        raise DataError(f"not a readable picture: {error}") from error


def _failed(source: Path | Callable[[], bytes], error: OSError) -> DataError:
    path = source if isinstance(source, Path) else None
    if error.errno is not None and error.errno not in OF_THE_FILE:
        return storage_error(f"cannot read {path or 'a picture'}", error)
    if error.errno == errno.ENOENT and path and os.path.islink(path):  # noqa: PTH114  # never raises
        return DataError("a link to nothing")
    return DataError(f"not a readable picture: {error.strerror or error}")


def _read(path: Path) -> bytes:
    with os.fdopen(open_regular(path), "rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if size_bytes > MAX_FILE_BYTES:
            raise DataError(f"a file of {size_bytes:,} bytes; {MAX_FILE_BYTES:,} are allowed")
        return file.read()


def _exif_of(image: Image.Image) -> bytes:
    exif = image.info.get("exif")
    return exif if isinstance(exif, bytes) else b""


def _shrink(image: Image.Image, max_pixels: int, min_side: int | None) -> None:
    """Choose the size at which a JPEG is decoded, and refuse what is too large in any.

    Raises:
        DataError: Too many pixels.
    """
    width, height = image.size
    scales = _SCALES if image.format == "JPEG" else (1,)
    # Of a progressive one all coefficients are kept, whatever the scale.
    whole = {"progressive", "progression"} & image.info.keys()
    sizes = {s: (width // (1 if whole else s)) * (height // (1 if whole else s)) for s in scales}
    fitting = [scale for scale in scales if sizes[scale] <= max_pixels]
    if not fitting:
        raise _too_large(width, height, max_pixels)
    least = fitting[0]
    if min_side is not None:
        least = max([s for s in fitting if min(width, height) // s >= min_side], default=least)
    if least > 1:
        image.draft(image.mode, (width // least, height // least))


def _too_large(width: int, height: int, max_pixels: int) -> DataError:
    return DataError(
        f"picture of {width:,} x {height:,} pixels; at most {max_pixels:,} are allowed"
    )


def _orientation_of(image: Image.Image) -> int:
    """Return the orientation of an image that somebody opened, once it is read.

    Pillow turns a TIFF itself when it reads it.
    """
    orientation = orientation_of(_exif_of(image))
    if orientation != 1 or image.format in _WITHOUT_XMP:
        return orientation
    return orientation_in_xmp(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))


def _rgb(image: Image.Image) -> Pixels:
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_in_8_bits(np.asarray(image)))
    if image.mode == "LAB":
        raise DataError("not a readable picture: its colours are L*a*b*")
    if image.mode == "RGBa":
        image = image.convert("RGBA")
    elif image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def _in_8_bits(values: npt.NDArray[np.generic]) -> Pixels:
    """Scale gray values of more than 8 bits to 0..255.

    Files do not tell what is white. It is taken to be the largest value of 8, 10, 12, 14 or 16 bits
    if the largest value of the picture fits into these, for floating point numbers 1 as well.

    Raises:
        DataError: There are negative values, more than 16 bits, or no numbers; or floating point
            numbers that fit no rule: a bit more than 1, for instance.
    """
    wide = values.astype(np.float64)
    low, high = (float(wide.min()), float(wide.max())) if wide.size else (0.0, 0.0)
    white = next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if high <= 2**bits - 1), None)
    is_float = values.dtype.kind == "f"
    if is_float and high <= 1:
        white = 1.0
    elif is_float and high < 16:
        white = None  # neither 0 to 1 nor 0 to 255
    if white is None or low < 0 or not np.isfinite(wide).all():
        raise DataError(
            f"values of {values.dtype.name} from {low:g} to {high:g}: which is white is not known"
        )
    return np.round(wide * (255 / white)).astype(np.uint8)


def decode_image(image: Image.Image, max_pixels: int) -> Pixels:
    """Decode an image of Pillow as `decode_file` does a file; the image stays as it is.

    It may be opened and not read yet; then it is read now, by the calling thread. What turns it
    upright is what it says of itself, as `PIL.ImageOps.exif_transpose` has it.

    Args:
        image: Of any mode.
        max_pixels: The most pixels that are decoded.

    Raises:
        DataError: As `decode_file`.
        StorageError: As `decode_file`.
    """
    name = Path(str(getattr(image, "filename", "") or "a picture"))
    with _told_as_errors(name):
        if image.format == "EPS":
            raise DataError("not a readable picture: another program would have to draw it")
        if image.width * image.height > max_pixels:
            raise _too_large(*image.size, max_pixels)
        image.load()
        turn = _UPRIGHT.get(_orientation_of(image))
        return _rgb(image if turn is None else image.transpose(turn))


def decode_array(values: npt.NDArray[np.generic], max_pixels: int) -> Pixels:
    """Return an array of numbers as pixels, by the same rules as a file's; it stays as it is.

    Args:
        values: `(H, W)` gray, `(H, W, 1)` gray, `(H, W, 2)` gray and alpha, `(H, W, 3)` RGB or
            `(H, W, 4)` RGBA; uint8 as they are, bool as black and white, others see `_in_8_bits`.
        max_pixels: The most pixels that are taken.

    Raises:
        DataError: Of another shape, or with values that no rule covers.
    """
    shape = values.shape
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4) or values.size == 0:
        is_first = len(shape) == 3 and shape[0] in (1, 3, 4)
        more = ": are its colours first? transpose(1, 2, 0) puts them last" if is_first else ""
        raise DataError(f"an array of shape {shape} is no picture of (height, width, 3){more}")
    height, width = values.shape[:2]
    if width * height > max_pixels:
        raise _too_large(width, height, max_pixels)
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    pixels = values if values.dtype == np.uint8 else _in_8_bits(values)
    mode = ("L", "LA", "RGB", "RGBA")[pixels.shape[2] - 1]
    return _rgb(Image.frombytes(mode, (width, height), np.ascontiguousarray(pixels).tobytes()))
