"""RandAugment on whole batches: two random operations for each picture, of about one magnitude.

Cubuk et al. 2019, arXiv 1909.13719, in the form with which "ResNet strikes back" trains (arXiv
2110.00476) and that timm calls `rand-m7-mstd0.5-inc1`: two of 15 operations, each done with a
probability of one half, magnitudes from a normal distribution, and all operations the stronger, the
larger these are. Other than there, pictures are moved and turned without interpolation.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from places.training import picture_operations as do

NUM_LAYERS = 2  # operations for a picture
NUM_UNIFORMS = 4  # per operation: which, whether, magnitude, sign
MAX_MAGNITUDE = 10
_PROBABILITY = 0.5
_DEVIATION = 0.5  # of the magnitude


class _Operation(NamedTuple):
    apply: do.Operation
    # What the operation is given: at magnitude 0, and more at `MAX_MAGNITUDE`.
    start: float = 0.0
    more: float = 0.0
    whole: bool = False  # whether the part that is more is rounded down
    signed: bool = False  # whether it is negated at random


def _operations(fill: Tensor) -> list[_Operation]:
    return [
        _Operation(do.autocontrast),
        _Operation(do.equalize),
        _Operation(lambda images, _: 255 - images),
        _Operation(partial(do.rotate, fill=fill), 0, 30, signed=True),  # degrees
        _Operation(do.posterize, 4, 4, whole=True),  # bits taken away
        _Operation(do.solarize, 256, -256, whole=True),  # the value from which on to invert
        _Operation(_add_to_dark, 0, 110, whole=True),
        _Operation(do.colour, 0, 0.9, signed=True),
        _Operation(do.contrast, 0, 0.9, signed=True),
        _Operation(do.brightness, 0, 0.9, signed=True),
        _Operation(do.sharpness, 0, 0.9, signed=True),
        _Operation(partial(do.shear_x, fill=fill), 0, 0.3, signed=True),
        _Operation(partial(do.shear_y, fill=fill), 0, 0.3, signed=True),
        # Shifts are a part of the width or height.
        _Operation(partial(_shift, 3, fill), 0, 0.45, signed=True),
        _Operation(partial(_shift, 2, fill), 0, 0.45, signed=True),
    ]


def rand_augment(images: Tensor, uniforms: Tensor, magnitude: float, mean: Tensor) -> Tensor:
    """Apply two random operations to each picture. Does not wait for the device.

    Args:
        images: `(N, 3, H, W)` uint8.
        uniforms: `(N, NUM_LAYERS * NUM_UNIFORMS)` float64 in [0, 1), on the CPU.
        magnitude: Mean of the magnitudes, 0 to `MAX_MAGNITUDE`.
        mean: `(3, 1, 1)` float32 in 0..255: the colour of what comes in from outside.
    """
    operations = _operations(mean.round())
    table = torch.tensor([kind[1:] for kind in operations], dtype=torch.float64)
    # One more, for pictures that stay as they are.
    functions = [*(kind.apply for kind in operations), lambda images, _: images]
    for which, whether, size, sign in uniforms.view(-1, NUM_LAYERS, NUM_UNIFORMS).permute(1, 2, 0):
        number = (which * len(operations)).long()
        start, more, is_whole, is_signed = table[number].unbind(1)
        normal = torch.special.ndtri(size)  # minus infinity for 0, which the clamp takes away
        part = (magnitude + _DEVIATION * normal).clamp(0, MAX_MAGNITUDE) / MAX_MAGNITUDE
        more = torch.where(is_whole > 0, (part * more).trunc(), part * more)
        given = torch.where((is_signed > 0) & (sign < 0.5), -more, start + more)
        number = torch.where(whether < _PROBABILITY, number, len(operations))
        images = do.apply_each(images, functions, number, given)
    return images


def _add_to_dark(images: Tensor, magnitude: Tensor) -> Tensor:
    """Make the darker half of all values brighter."""
    added = images + magnitude.to(torch.uint8)[:, None, None, None]  # below 128 + 110
    return torch.where(images < 128, added, images)


def _shift(axis: int, fill: Tensor, images: Tensor, magnitude: Tensor) -> Tensor:
    pixels = -magnitude * images.shape[axis]
    right, down = (pixels, 0.0) if axis == 3 else (0.0, pixels)
    return do.shift(images, right, down, fill)
