"""Pictures that a program gives: paths, images of Pillow, arrays, tensors; one, many, or a stream.

They are read and cut by the same rules as the files of a command.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from glob import has_magic
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from places.data.remote.urls import is_url
from places.data.streaming.jpeg import Pixels
from places.data.streaming.picture_files import decode_array, decode_image, decode_with_size
from places.errors import DataError, StorageError

Picture = str | os.PathLike[str] | Image.Image | npt.NDArray[np.generic] | torch.Tensor
_Held = TypeVar("_Held")
_KINDS = "a path, an image of Pillow, an array or a tensor"


class Given(NamedTuple):
    """A picture that was taken from the caller, who may change or close what it came from."""

    path: str | None  # as given
    # For any thread: its pixels, and width and height of the whole upright picture; or a DataError.
    decode: Callable[[], tuple[Pixels, tuple[int, int]]]
    is_held: bool  # its pixels are in memory


def take(pictures: Iterable[Picture], max_pixels: int, min_side: int | None) -> Iterator[Given]:
    """Take pictures one after the other: those that are in memory are copied.

    Args:
        pictures: As `all_of` returns them.
        max_pixels: See `decode_file`.
        min_side: See `decode_file`; for files only.

    Raises:
        TypeError: One is no picture; the message says which.
    """
    for number, picture in enumerate(pictures):
        if isinstance(picture, str | os.PathLike):
            yield _file(os.fsdecode(picture), max_pixels, min_side)
        elif isinstance(picture, Image.Image):
            yield _held(decode_image, picture, max_pixels)
        elif isinstance(picture, torch.Tensor):
            yield _held(_decode_tensor, picture, max_pixels)
        elif isinstance(picture, np.ndarray) and picture.dtype.kind in "buif":
            yield _held(decode_array, picture, max_pixels)
        else:
            is_array = isinstance(picture, np.ndarray)
            kind = f"array of {picture.dtype}" if is_array else type(picture).__name__
            raise TypeError(f"picture {number} is no picture but {_a(kind)}; one is {_KINDS}")


def all_of(pictures: Picture | Iterable[Picture]) -> Iterable[Picture]:
    """Return what was given as something to iterate over: one picture becomes a list of one.

    Arrays and tensors of four dimensions are several pictures.

    Raises:
        TypeError: It is neither.
        DataError: It is a folder or a pattern, which stand for pictures on the command line.
    """
    if isinstance(pictures, str | os.PathLike):
        _check_file(os.fsdecode(pictures))
        return [pictures]
    if isinstance(pictures, Image.Image):
        return [pictures]
    if isinstance(pictures, np.ndarray | torch.Tensor):
        return list(pictures) if pictures.ndim == 4 else [pictures]
    if isinstance(pictures, Iterable) and not isinstance(pictures, bytes | bytearray | dict):
        return pictures
    raise TypeError(f"pictures are {_KINDS}, or several of them, not {_a(type(pictures).__name__)}")


def _a(kind: str) -> str:
    more = ": PIL.Image.open(io.BytesIO(DATA)) makes one of them" if kind.startswith("byte") else ""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}{more}"


def _check_file(path: str) -> None:
    if Path(path).is_dir():
        more = f'sorted(pathlib.Path({path!r}).rglob("*.jpg"))'
        raise DataError(f"{path!r} is a folder", f"give its pictures:  {more}")
    if has_magic(path) and not os.path.lexists(path):
        raise DataError(f"no file is called {path!r}", f"for a pattern:  glob.glob({path!r})")


def _file(path: str, max_pixels: int, min_side: int | None) -> Given:
    if is_url(path) and not os.path.lexists(path):
        return Given(path, partial(_raise, DataError("a URL: fetch it first")), is_held=True)
    return Given(path, partial(decode_with_size, Path(path), max_pixels, min_side), is_held=False)


def _held(decode: Callable[[_Held, int], Pixels], picture: _Held, max_pixels: int) -> Given:
    # Decoded now and here: it may be the next frame of the same animation soon, or closed.
    try:
        pixels = decode(picture, max_pixels)
    except StorageError:
        raise
    except DataError as error:
        return Given(None, partial(_raise, error), is_held=True)
    height, width = pixels.shape[:2]
    return Given(None, lambda: (pixels, (width, height)), is_held=True)


def _raise(error: DataError) -> NoReturn:
    raise error


def _decode_tensor(tensor: torch.Tensor, max_pixels: int) -> Pixels:
    """Decode a tensor: `(3, H, W)` RGB, or 1 or 4 of them, or `(H, W)`; see `decode_array`."""
    values = tensor.detach().cpu()
    if values.ndim == 3:
        if values.shape[0] not in (1, 3, 4):
            is_last = values.shape[2] in (1, 3, 4)
            more = ": are its colours last? permute(2, 0, 1) puts them first" if is_last else ""
            shape = tuple(values.shape)
            raise DataError(f"a tensor of shape {shape} is no picture of (3, height, width){more}")
        values = values.permute(1, 2, 0)
    return decode_array(
        (values.float() if values.dtype == torch.bfloat16 else values).numpy(), max_pixels
    )
