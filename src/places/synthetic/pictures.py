"""Draw pictures of a list, in several processes, as JPEG files of the size of official ones."""

import io
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from places.endings.family import end_with
from places.endings.signals import not_for_children
from places.freed_memory import keep_freed_memory
from places.hashing import hash_of
from places.synthetic.scenes.draw import draw_scene

COMMENT = "synthetic scene drawn by places"

# Most official pictures have 10 to 20 KB. The first quality that gives at most 17,500 bytes counts.
_MIN_BYTES = 10_000
_TARGET_BYTES = 17_500
_QUALITIES = (92, 86, 78, 68, 56, 44, 34, 26, 20)
_MIN_PER_PROCESS = 100  # fewer are drawn before another process has started


class Picture(NamedTuple):
    """A picture to draw: its name in the archive, its category and what seeds it."""

    name: str
    category: str
    seed: tuple[int, ...]


@contextmanager
def drawn(pictures: Sequence[Picture], num_processes: int) -> Iterator[Iterator[bytes]]:
    """Give an iterator over the JPEG files, which are drawn meanwhile by several processes."""
    num_processes = min(num_processes, 1 + len(pictures) // _MIN_PER_PROCESS)
    if num_processes == 1:
        yield map(_draw, pictures)
        return
    # Forking is not safe in a program that may have threads.
    pool = ProcessPoolExecutor(num_processes, get_context("spawn"), _begin, (os.getpid(),))
    try:
        with not_for_children():
            files = pool.map(_draw, pictures, chunksize=8)  # starts the processes
        yield files
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent: int) -> None:
    end_with(parent)
    keep_freed_memory()  # else giving back arrays takes an eighth of the time of drawing
    cv2.setNumThreads(1)


def _draw(picture: Picture) -> bytes:
    return encode(draw_scene(picture.category, _generator(*picture.seed)))


def _generator(*seed: int) -> np.random.Generator:
    # The algorithm is named, since NumPy may change the default one.
    return np.random.Generator(np.random.PCG64(hash_of(*seed)))


def encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture (rows, columns, 3) RGB as a baseline JPEG.

    The quality is chosen so that each drawn scene gets 10,000 to 20,480 bytes.
    """
    image = Image.fromarray(pixels)
    for quality in _QUALITIES:
        file = _jpeg(image, quality)
        if len(file) <= _TARGET_BYTES:
            break
    while len(file) < _MIN_BYTES and quality < 100:
        quality += 1
        file = _jpeg(image, quality)
    return file


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", comment=COMMENT)
    return buffer.getvalue()
