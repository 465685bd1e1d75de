"""TrivialAugment on whole batches, on the device: one random operation for each picture.

Müller, Hutter 2021, arXiv 2103.10158, in the wide space. Operations and magnitudes are those of
torchvision's `TrivialAugmentWide`, which works on one picture at a time.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_UNIFORMS = 3  # per picture: operation, magnitude, sign
NUM_MAGNITUDES = 31


class _Operation(NamedTuple):
    # Takes pictures (M, 3, H, W) uint8 and magnitudes (M,) float32, returns pictures.
    apply: Callable[[Tensor, Tensor], Tensor]
    lowest: float = 0.0  # the first of NUM_MAGNITUDES evenly spaced magnitudes
    highest: float = 0.0  # the last of them
    signed: bool = False  # whether the magnitude is negated at random


def trivial_augment(images: Tensor, uniforms: Tensor) -> Tensor:
    """Apply one random operation to each picture. Does not wait for the device.

    Args:
        images: `(N, 3, H, W)` uint8.
        uniforms: `(N, NUM_UNIFORMS)` float64 in [0, 1), on the CPU.
    """
    operation = (uniforms[:, 0] * len(OPERATIONS)).long()
    table = torch.tensor([kind[1:] for kind in OPERATIONS], dtype=torch.float64)[operation]
    part = (uniforms[:, 1] * NUM_MAGNITUDES).floor() / (NUM_MAGNITUDES - 1)
    magnitude = table[:, 0] + part * (table[:, 1] - table[:, 0])
    magnitude = torch.where((table[:, 2] > 0) & (uniforms[:, 2] < 0.5), -magnitude, magnitude)
    # Sorted by operation, so that each operation runs once, on all of its pictures.
    order = operation.argsort(stable=True)
    counts = operation.bincount(minlength=len(OPERATIONS)).tolist()
    sort, unsort = torch.stack([order, order.argsort()]).to(images.device, non_blocking=True)
    magnitudes = magnitude[order].float().to(images.device, non_blocking=True)
    groups = zip(torch.split(images[sort], counts), torch.split(magnitudes, counts), strict=True)
    changed = [
        kind.apply(*group)
        for kind, group, count in zip(OPERATIONS, groups, counts, strict=True)
        if count
    ]
    return torch.cat(changed)[unsort]


def _shear_x(images: Tensor, magnitude: Tensor) -> Tensor:
    # Shears leave the top left corner in place; _warp counts from the centre, half a picture away.
    half = images.shape[2] / 2
    return _warp(images, x=(1.0, magnitude, magnitude * half))


def _shear_y(images: Tensor, magnitude: Tensor) -> Tensor:
    half = images.shape[3] / 2
    return _warp(images, y=(magnitude, 1.0, magnitude * half))


def _rotate(images: Tensor, magnitude: Tensor) -> Tensor:
    cos, sin = torch.cos(magnitude * (math.pi / 180)), torch.sin(magnitude * (math.pi / 180))
    return _warp(images, x=(cos, -sin, 0.0), y=(sin, cos, 0.0))


def _contrast(images: Tensor, magnitude: Tensor) -> Tensor:
    return _blend(images.float(), _gray(images).mean(dim=(1, 2, 3), keepdim=True), magnitude)


def _sharpness(images: Tensor, magnitude: Tensor) -> Tensor:
    pixels = images.float()
    inner = pixels[:, :, 1:-1, 1:-1]
    # The 3 x 3 smoothing filter of Pillow, whose centre has weight 5; the border stays as it is.
    blurred = pixels.clone()
    blurred[:, :, 1:-1, 1:-1] = ((9 * F.avg_pool2d(pixels, 3, stride=1) + 4 * inner) / 13).round()
    return _blend(pixels, blurred, magnitude)


def _posterize(images: Tensor, magnitude: Tensor) -> Tensor:
    num_levels_merged = torch.exp2(magnitude.round())
    return images & (256 - num_levels_merged).to(torch.uint8)[:, None, None, None]


def _solarize(images: Tensor, magnitude: Tensor) -> Tensor:
    return torch.where(images.float() >= magnitude[:, None, None, None], 255 - images, images)


def _autocontrast(images: Tensor, magnitude: Tensor) -> Tensor:
    pixels = images.float()
    low, high = pixels.amin(dim=(2, 3), keepdim=True), pixels.amax(dim=(2, 3), keepdim=True)
    stretched = (pixels - low) / ((high - low).clamp(min=1) * (1 / 255))
    return torch.where(high > low, stretched.clamp(0, 255).to(torch.uint8), images)


def _equalize(images: Tensor, magnitude: Tensor) -> Tensor:
    num_channels, num_pixels = images.shape[0] * images.shape[1], images[0, 0].numel()
    values = images.reshape(num_channels, num_pixels).long()
    offsets = 256 * torch.arange(num_channels, device=images.device)[:, None]
    ones = torch.ones(1, dtype=torch.int64, device=images.device).expand(values.numel())
    counts = torch.zeros(256 * num_channels, dtype=torch.int64, device=images.device)
    counts = counts.index_add_(0, (values + offsets).flatten(), ones).view(num_channels, 256)
    # As in Pillow: the number of darker pixels gives the new value; the brightest do not count.
    step = (num_pixels - counts.gather(1, values.amax(dim=1, keepdim=True))) // 255
    below = counts.cumsum(dim=1) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device))
    return table.gather(1, values).to(torch.uint8).view(images.shape)


OPERATIONS = (
    _Operation(lambda images, _: images),
    _Operation(_shear_x, 0, 0.99, signed=True),
    _Operation(_shear_y, 0, 0.99, signed=True),
    # Shifts are in pixels.
    _Operation(lambda images, by: _warp(images, x=(1.0, 0.0, -by.trunc())), 0, 32, signed=True),
    _Operation(lambda images, by: _warp(images, y=(0.0, 1.0, -by.trunc())), 0, 32, signed=True),
    _Operation(_rotate, 0, 135, signed=True),  # degrees
    # Brightness and colour.
    _Operation(lambda images, by: _blend(images.float(), 0.0, by), 0, 0.99, signed=True),
    _Operation(lambda images, by: _blend(images.float(), _gray(images), by), 0, 0.99, signed=True),
    _Operation(_contrast, 0, 0.99, signed=True),
    _Operation(_sharpness, 0, 0.99, signed=True),
    _Operation(_posterize, 0, 6),  # bits taken away
    _Operation(_solarize, 255, 0),  # the value from which on pixels are inverted
    _Operation(_autocontrast),
    _Operation(_equalize),
)

_Row = tuple[Tensor | float, Tensor | float, Tensor | float]


def _warp(images: Tensor, x: _Row = (1.0, 0.0, 0.0), y: _Row = (0.0, 1.0, 0.0)) -> Tensor:
    """Apply an affine transform to each picture; black where the source is outside of it.

    `x` gives the source column, `y` the source row: factors of the column, of the row and of 1, in
    pixels from the centre; numbers or `(M,)`.
    """
    height, width = images.shape[2:]
    columns = (torch.arange(width, device=images.device) + (0.5 - width / 2))[None, None, :]
    rows = (torch.arange(height, device=images.device) + (0.5 - height / 2))[None, :, None]

    def sources(row: _Row, size: int) -> Tensor:
        by_column, by_row, shift = (
            part[:, None, None] if isinstance(part, Tensor) else part for part in row
        )
        source = by_column * columns + by_row * rows + shift
        return (source * (2 / size)).expand(len(images), height, width)

    grid = torch.stack([sources(x, width), sources(y, height)], dim=3)
    warped = F.grid_sample(
        images.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    return warped.to(torch.uint8)


def _gray(images: Tensor) -> Tensor:
    red, green, blue = images.float().unbind(dim=1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).floor()[:, None]


def _blend(pixels: Tensor, degenerate: Tensor | float, magnitude: Tensor) -> Tensor:
    """Extrapolate from a degenerate picture (positive magnitudes) or blend with it (negative)."""
    factor = 1 + magnitude[:, None, None, None]
    return (pixels * factor + degenerate * (1 - factor)).clamp(0, 255).to(torch.uint8)
