"""From stored pictures to rows of a batch: the plain way of Pillow for training, exact to score."""

import io
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from places.console import printable
from places.data.sequential.samples import Picture
from places.data.shards.picture_formats import JPEG, format_of
from places.data.streaming.any_format import decode_picture
from places.data.streaming.batches import EvalCrop, TrainCrop
from places.data.streaming.decode import NUM_CROP_UNIFORMS, crop_box, eval_crop
from places.data.streaming.jpeg import Pixels, check_size
from places.data.streaming.stream import Batch, Sample, batch_of
from places.errors import DataError, StorageError
from places.hashing import uniforms

_CROP_STREAM = 4  # keeps these numbers apart from those of other draws
Fill = Callable[[Picture, Pixels], bool]
"""Decodes a picture into its pixels, and tells whether it is to be mirrored."""


class Fault(NamedTuple):
    """A picture that cannot be read."""

    number: int  # of the picture in the split
    place: str  # where it lies, in words
    message: str  # what is wrong with it
    hint: tuple[str, ...]


def training_rows(crop: TrainCrop, *seed: int) -> Callable[[int], Fill]:
    """Return what decodes random crops as torchvision's transforms of Pillow images do.

    Args:
        crop: How they are cut.
        *seed: Of the crops and flips. They depend on it and on how many pictures came before.
    """

    def fill(number: int) -> Fill:
        numbers = uniforms(np.array([number]), NUM_CROP_UNIFORMS + 1, _CROP_STREAM, *seed)[0]
        draws: Sequence[float] = numbers.tolist()

        def decode(picture: Picture, pixels: Pixels) -> bool:
            if picture.label < 0:
                raise DataError(picture.label_fault or f"{picture.key} has no label")
            image = _opened(picture.data)
            left, top, width, height = crop_box(*image.size, draws, crop.scale, crop.ratio)
            size = pixels.shape[1], pixels.shape[0]
            part = image.crop((left, top, left + width, top + height))
            pixels[:] = np.asarray(part.resize(size, Image.Resampling.BILINEAR))
            return crop.flip and draws[-1] < 0.5

        return decode

    return fill


def evaluation_rows(crop: EvalCrop) -> Callable[[int], Fill]:
    """Return what decodes pictures as `Places365` does to score them, bit for bit."""

    def decode(picture: Picture, pixels: Pixels) -> bool:
        if picture.label_fault:
            raise DataError(picture.label_fault)
        eval_crop(decode_picture(picture.data), pixels, crop.resize_size, crop.resize_mode)
        return False

    return lambda number: decode


def batch_from(
    pictures: Sequence[Picture], fills: Sequence[Fill], num_rows: int, shape: tuple[int, int]
) -> tuple[Batch, list[Fault]]:
    """Return a batch, and what is wrong with pictures in it.

    Args:
        pictures: The pictures.
        fills: What decodes each.
        num_rows: How many rows the batch has; those without a picture do not count.
        shape: Height and width of a row in pixels.
    """
    images = np.zeros((num_rows, *shape, 3), np.uint8)
    samples, faults = [], list[Fault]()
    for picture, fill, pixels in zip(pictures, fills, images, strict=False):
        try:
            flip = fill(picture, pixels)
        except StorageError:
            raise
        except DataError as error:
            pixels[:] = 0
            place = f"{printable(picture.key)} in {picture.place}"
            faults.append(Fault(picture.number, place, error.message, error.hint))
            reason = f"{error.message}, in {place}"
            samples.append(Sample(picture.key, picture.label, error=reason))
        else:
            samples.append(Sample(picture.key, picture.label, flip))
    samples += [Sample(key="")] * (num_rows - len(samples))
    return batch_of(torch.from_numpy(images), samples), faults


def _opened(data: bytes) -> Image.Image:
    """Return a picture as Pillow reads it."""
    if format_of(data) != JPEG:
        return Image.fromarray(decode_picture(data))
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            check_size(*image.size)
            return image.convert("RGB")
    except DataError:
        raise
    except Exception as error:  # anything, as the file has it
        raise DataError(f"damaged JPEG: {error}") from error
