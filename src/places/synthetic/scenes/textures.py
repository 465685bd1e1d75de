"""Make the flat textures of the synthetic scenes: noise, grain, stripes, tiles, relief.

A texture is (rows, columns, 3) float32 RGB, about 0 to 255 before any light falls on it.
"""

import colorsys
from collections.abc import Sequence
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]  # float32 or uint8, as each function says
Range = tuple[float, float]
Option = TypeVar("Option")


def pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """Return one of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def tint(rng: np.random.Generator, hue: Range, saturation: Range, value: Range) -> Array:
    """Return a colour (3,) drawn from ranges of hue (a full turn is 1), saturation and value."""
    hue_, saturation_, value_ = (rng.uniform(*limits) for limits in (hue, saturation, value))
    return 255 * np.array(colorsys.hsv_to_rgb(hue_ % 1, saturation_, value_), np.float32)


def noise(
    rng: np.random.Generator, shape: tuple[int, int], cell: tuple[float, float], octaves: int = 3
) -> Array:
    """Return smooth random values around 0, mostly within -2 to 2, float32.

    Args:
        rng: The source of randomness.
        shape: Rows and columns.
        cell: Height and width of the largest bumps in pixels.
        octaves: How often finer bumps, half as large and half as strong, are added.
    """
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        rows = max(2, round(shape[0] / cell[0] * 2**octave))
        columns = max(2, round(shape[1] / cell[1] * 2**octave))
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        # Linear is enough for the finer bumps and takes a third of the time.
        smooth = cv2.INTER_CUBIC if octave == 0 else cv2.INTER_LINEAR
        total += cv2.resize(grid, shape[::-1], interpolation=smooth) * np.float32(0.5**octave)
    return total


def grain(
    rng: np.random.Generator,
    colour: Array,
    cell: tuple[float, float] = (12, 12),
    amount: float = 0.12,
    octaves: int = 3,
    shape: tuple[int, int] = (128, 128),
) -> Array:
    """Return one colour made lighter and darker by noise; a cell may be long for wood or water."""
    return (1 + amount * noise(rng, shape, cell, octaves))[..., None] * colour


def relief(height: Array, strength: float) -> Array:
    """Return the light on a bumpy surface, lit from the left: 0 to 1, 0.5 where it is flat."""
    kernel = np.array([[-0.5, 1, 1.5], [-2, 0, 2], [-1.5, -1, 0.5]], np.float32)
    slope = cv2.filter2D(height, cv2.CV_32F, strength * kernel)
    facing: Array = np.minimum(np.maximum(0.5 + slope, 0), 1)
    return facing


def tiling(
    rng: np.random.Generator,
    colours: Array,
    cell: tuple[int, int],
    joint: Array,
    *,
    joint_px: int = 1,
    is_brick: bool = False,
    amount: float = 0.08,
) -> Array:
    """Return a texture of cells with joints between them.

    Args:
        rng: The source of randomness.
        colours: One colour for each cell, (rows, columns, 3), or something that broadcasts so.
        cell: Height and width of a cell in pixels, joint included.
        joint: Colour of the joints.
        joint_px: Width of the joints.
        is_brick: Whether every second row is moved by half a cell.
        amount: How much the brightness differs from cell to cell.
    """
    rows, columns = colours.shape[:2]
    rough = 1 + amount * rng.standard_normal((rows, columns, 1), dtype=np.float32)
    cells = (colours * rough).astype(np.float32)
    texture: Array = cells.repeat(cell[0], axis=0).repeat(cell[1], axis=1)
    grid = texture.reshape(rows, cell[0], columns, cell[1], 3)
    grid[:, :joint_px] = joint
    grid[:, :, :, :joint_px] = joint
    if is_brick:
        for row in range(1, rows, 2):
            band = slice(row * cell[0], (row + 1) * cell[0])
            texture[band] = np.roll(texture[band], cell[1] // 2, axis=1)
    return texture


def plain(colour: Array, rows: int, columns: int) -> Array:
    """Return one colour for each cell of a tiling, (rows, columns, 3)."""
    return np.broadcast_to(colour, (rows, columns, 3))


def mixed(rng: np.random.Generator, colours: Sequence[Array], rows: int, columns: int) -> Array:
    """Return colours for the cells of a tiling, each chosen at random, (rows, columns, 3)."""
    return np.stack(colours)[rng.integers(len(colours), size=(rows, columns))]


def checks(colours: Sequence[Array], rows: int, columns: int) -> Array:
    """Return two colours for the cells of a tiling, as on a chess board, (rows, columns, 3)."""
    turns = np.add.outer(np.arange(rows), np.arange(columns)) % 2
    return np.take(np.stack(colours), turns, axis=0)
