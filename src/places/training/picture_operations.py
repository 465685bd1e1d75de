"""Operations on whole batches of pictures, on the device, each with a magnitude for each picture.

What they do is what torchvision and Pillow do with one picture at a time. Pictures are `(M, 3, H,
W)` uint8, magnitudes `(M,)` float32; what comes out is a new batch of the same kind. Nothing waits
for the device.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Operation = Callable[[Tensor, Tensor], Tensor]

# Factors of the column, of the row and of 1: numbers or `(M,)`.
_Row = tuple[Tensor | float, Tensor | float, Tensor | float]


def apply_each(
    images: Tensor, operations: Sequence[Operation], number: Tensor, magnitude: Tensor
) -> Tensor:
    """Return the pictures, each after its own operation.

    Each operation runs once, on all of its pictures.

    Args:
        images: `(N, 3, H, W)` uint8.
        operations: What to choose from.
        number: `(N,)` int64 on the CPU: which operation each picture gets.
        magnitude: `(N,)` float64 on the CPU.
    """
    order = number.argsort(stable=True)
    counts = number.bincount(minlength=len(operations)).tolist()
    sort, unsort = torch.stack([order, order.argsort()]).to(images.device, non_blocking=True)
    magnitudes = magnitude[order].float().to(images.device, non_blocking=True)
    groups = zip(torch.split(images[sort], counts), torch.split(magnitudes, counts), strict=True)
    changed = [
        operation(*group)
        for operation, group, count in zip(operations, groups, counts, strict=True)
        if count
    ]
    return torch.cat(changed)[unsort]


def shear_x(images: Tensor, magnitude: Tensor, fill: Tensor | float = 0.0) -> Tensor:
    """Move rows to the side, the more the lower; the magnitude is in columns per row."""
    # Shears leave the top left corner in place; warp counts from the centre, half a picture away.
    half = images.shape[2] / 2
    return warp(images, x=(1.0, magnitude, magnitude * half), fill=fill)


def shear_y(images: Tensor, magnitude: Tensor, fill: Tensor | float = 0.0) -> Tensor:
    """Move columns down, the more the further right; the magnitude is in rows per column."""
    half = images.shape[3] / 2
    return warp(images, y=(magnitude, 1.0, magnitude * half), fill=fill)


def rotate(images: Tensor, magnitude: Tensor, fill: Tensor | float = 0.0) -> Tensor:
    """Turn about the centre by degrees, against the clock."""
    cos, sin = torch.cos(magnitude * (math.pi / 180)), torch.sin(magnitude * (math.pi / 180))
    return warp(images, x=(cos, -sin, 0.0), y=(sin, cos, 0.0), fill=fill)


def contrast(images: Tensor, magnitude: Tensor) -> Tensor:
    """Move pixels away from the mean brightness; see `blend` for the magnitude."""
    return blend(images.float(), gray(images).mean(dim=(1, 2, 3), keepdim=True), magnitude)


def sharpness(images: Tensor, magnitude: Tensor) -> Tensor:
    """Sharpen, or smooth; see `blend` for the magnitude."""
    pixels = images.float()
    inner = pixels[:, :, 1:-1, 1:-1]
    # The 3 x 3 smoothing filter of Pillow, whose centre has weight 5; the border stays as it is.
    blurred = pixels.clone()
    blurred[:, :, 1:-1, 1:-1] = ((9 * F.avg_pool2d(pixels, 3, stride=1) + 4 * inner) / 13).round()
    return blend(pixels, blurred, magnitude)


def posterize(images: Tensor, magnitude: Tensor) -> Tensor:
    """Take so many bits away, those of the least value."""
    num_levels_merged = torch.exp2(magnitude.round())
    return images & (256 - num_levels_merged).to(torch.uint8)[:, None, None, None]


def solarize(images: Tensor, magnitude: Tensor) -> Tensor:
    """Invert all values from the magnitude on."""
    return torch.where(images.float() >= magnitude[:, None, None, None], 255 - images, images)


def autocontrast(images: Tensor, magnitude: Tensor) -> Tensor:
    """Stretch each channel to 0..255."""
    pixels = images.float()
    low, high = pixels.amin(dim=(2, 3), keepdim=True), pixels.amax(dim=(2, 3), keepdim=True)
    stretched = (pixels - low) / ((high - low).clamp(min=1) * (1 / 255))
    return torch.where(high > low, stretched.clamp(0, 255).to(torch.uint8), images)


def equalize(images: Tensor, magnitude: Tensor) -> Tensor:
    """Make all values of each channel about as frequent."""
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


def warp(
    images: Tensor,
    x: _Row = (1.0, 0.0, 0.0),
    y: _Row = (0.0, 1.0, 0.0),
    fill: Tensor | float = 0.0,
) -> Tensor:
    """Apply an affine transform to each picture, without interpolation.

    Args:
        images: The pictures.
        x: The source column: factors of the column, of the row and of 1, in pixels from the centre.
        y: The source row likewise.
        fill: Whole numbers, such as `(3, 1, 1)`: the colour where the source is outside.
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
        images.float() - fill, grid, mode="nearest", padding_mode="zeros", align_corners=False
    )
    return (warped + fill).to(torch.uint8)


def gray(images: Tensor) -> Tensor:
    """Return the brightness, `(M, 1, H, W)` float32 in whole numbers."""
    red, green, blue = images.float().unbind(dim=1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).floor()[:, None]


def brightness(images: Tensor, magnitude: Tensor) -> Tensor:
    """Make brighter, or darker; see `blend` for the magnitude."""
    return blend(images.float(), 0.0, magnitude)


def colour(images: Tensor, magnitude: Tensor) -> Tensor:
    """Make colours stronger, or greyer; see `blend` for the magnitude."""
    return blend(images.float(), gray(images), magnitude)


def shift(
    images: Tensor, right: Tensor | float, down: Tensor | float, fill: Tensor | float = 0.0
) -> Tensor:
    """Move by pixels."""
    return warp(images, x=(1.0, 0.0, -right), y=(0.0, 1.0, -down), fill=fill)


def blend(pixels: Tensor, degenerate: Tensor | float, magnitude: Tensor) -> Tensor:
    """Extrapolate from a degenerate picture (positive magnitudes) or blend with it (negative)."""
    factor = 1 + magnitude[:, None, None, None]
    return (pixels * factor + degenerate * (1 - factor)).clamp(0, 255).to(torch.uint8)
