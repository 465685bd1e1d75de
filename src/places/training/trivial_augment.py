"""TrivialAugment on whole batches: one random operation for each picture.

Müller, Hutter 2021, arXiv 2103.10158, in the wide space. Operations and magnitudes are those of
torchvision's `TrivialAugmentWide`, which works on one picture at a time.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from places.training import picture_operations as do

NUM_UNIFORMS = 3  # per picture: operation, magnitude, sign
NUM_MAGNITUDES = 31


class _Operation(NamedTuple):
    apply: do.Operation
    lowest: float = 0.0  # the first of NUM_MAGNITUDES evenly spaced magnitudes
    highest: float = 0.0  # the last of them
    signed: bool = False  # whether the magnitude is negated at random


OPERATIONS = (
    _Operation(lambda images, _: images),
    _Operation(do.shear_x, 0, 0.99, signed=True),
    _Operation(do.shear_y, 0, 0.99, signed=True),
    # Shifts are in pixels.
    _Operation(lambda images, by: do.shift(images, by.trunc(), 0.0), 0, 32, signed=True),
    _Operation(lambda images, by: do.shift(images, 0.0, by.trunc()), 0, 32, signed=True),
    _Operation(do.rotate, 0, 135, signed=True),  # degrees
    _Operation(do.brightness, 0, 0.99, signed=True),
    _Operation(do.colour, 0, 0.99, signed=True),
    _Operation(do.contrast, 0, 0.99, signed=True),
    _Operation(do.sharpness, 0, 0.99, signed=True),
    _Operation(do.posterize, 0, 6),  # bits taken away
    _Operation(do.solarize, 255, 0),  # the value from which on pixels are inverted
    _Operation(do.autocontrast),
    _Operation(do.equalize),
)


def trivial_augment(images: Tensor, uniforms: Tensor) -> Tensor:
    """Apply one random operation to each picture. Does not wait for the device.

    Args:
        images: `(N, 3, H, W)` uint8.
        uniforms: `(N, NUM_UNIFORMS)` float64 in [0, 1), on the CPU.
    """
    number = (uniforms[:, 0] * len(OPERATIONS)).long()
    table = torch.tensor([kind[1:] for kind in OPERATIONS], dtype=torch.float64)[number]
    part = (uniforms[:, 1] * NUM_MAGNITUDES).floor() / (NUM_MAGNITUDES - 1)
    magnitude = table[:, 0] + part * (table[:, 1] - table[:, 0])
    magnitude = torch.where((table[:, 2] > 0) & (uniforms[:, 2] < 0.5), -magnitude, magnitude)
    return do.apply_each(images, [kind.apply for kind in OPERATIONS], number, magnitude)
