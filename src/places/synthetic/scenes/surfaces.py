"""The colours and flat textures of things: noise, relief, patterns, and tables of names for them.

A texture is (rows, columns, 3) float32 RGB, about 0 to 255 before any light falls on it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]  # float32 or uint8, as each function says
Range = tuple[float, float]
Option = TypeVar("Option")


class Pattern(NamedTuple):
    """How a surface is made: of cells with joints between them, or of grain."""

    size: tuple[int, int]  # of a cell, or of a bump of the grain: its height and width in pixels
    amount: float  # how much the brightness differs
    cells: tuple[int, int] | None = None  # rows and columns; grain has none
    joint: float = 1  # how bright the joints are beside the first colour
    is_brick: bool = False  # whether every second row is moved by half a cell
    is_checked: bool = False  # whether the colours take turns as on a chess board, not by chance


_BRICKS = Pattern((8, 14), 0.06, (20, 12), 0.8, is_brick=True)
_CHECKS = Pattern((8, 8), 0.08, (14, 14), 0.85, is_checked=True)
_STRIPES = Pattern((64, 6), 0, (1, 20), is_checked=True)
_SQUARES = Pattern((10, 10), 0.04, (16, 16), 0.75)
_PLANKS = Pattern((4, 32), 0.1, (48, 6), 0.7, is_brick=True)
_PLASTER = Pattern((40, 40), 0.05)
GRAIN = Pattern((20, 20), 0.08)
_GAPS = [(0, 1, 0, 24, 0.4), (0, 32, 0, 1, 0.4)]
_HANDLE, _KNOB = (11, 19, 2, 5, 0.2), (22, 24, 3, 6, "dark")
_FLOORS, _WALLS = (_PLANKS, _SQUARES, GRAIN), (_BRICKS, _SQUARES, _PLASTER, _PLASTER)
# The colours of a surface, of which a shade is a darker first one, and its pattern. A name that is
# missing here is the grain of that colour.
SURFACES: dict[str, list[tuple[list[str], Pattern]]] = {
    "cloth": [(["paint"], GRAIN), (["paint", "paint"], _STRIPES), (["paint", "white"], _CHECKS)],
    "crowd": [(["cloth", "bright", "paint"], Pattern((3, 3), 0.2, (14, 60), 0.5))],
    "floor": [*((["wood"], kind) for kind in _FLOORS), (["wood", "paint"], _CHECKS)],
    "leaf": [(["leaf"], Pattern((12, 12), 0.2))],
    "masonry": [(["stone"], Pattern((8, 14), 0.12, (8, 14), 0.7, is_brick=True))],
    "meadow": [(["meadow"], Pattern((24, 24), 0.13))],
    "picture": [(["paint", "cloth", "bright"], Pattern((5, 5), 0.1, (4, 4)))],
    "pile": [(["paint", "cloth", "bright"], Pattern((6, 24), 0.1, (4, 1), 0.6))],
    "stripes": [(["grass", "shade"], Pattern((128, 8), 0, (1, 16), is_checked=True))],
    "tiles": [(["paint"], Pattern((8, 8), 0.06, (6, 30), 1.6))],
    "wall": [*((["paint"], kind) for kind in _WALLS), (["paint", "shade"], _STRIPES)],
    "waves": [(["sea"], Pattern((3, 14), 0.16))],
}
# Patches one on the other: first and end row, first and end column, and their colour or how bright
# they are beside the first one, which lies under all others.
INLAYS: dict[str, list[tuple[int, int, int, int, str | float]]] = {
    "cupboard": [
        (0, 32, 0, 24, "wood"),
        *_GAPS,
        (5, 28, 5, 20, 0.7),
        (6, 28, 6, 20, 0.93),
        _HANDLE,
    ],
    "door": [(0, 40, 0, 20, "white"), (2, 40, 2, 18, "wood"), (8, 18, 6, 14, "wood"), _KNOB],
    "oven": [
        (0, 40, 0, 40, "metal"),
        (3, 6, 6, 34, 0.1),
        (9, 11, 6, 34, 0.5),
        (14, 32, 7, 33, 0.15),
    ],
}
# Hue (a full turn is 1), saturation and value, from and to. Of several rows each is as likely.
_PALE = ((0, 1), (0, 0.15), (0.5, 0.95))
_STRONG = ((0, 1), (0.1, 0.6), (0.3, 0.9))
_GREEN = ((0.18, 0.38), (0.2, 0.7), (0.28, 0.65))
_AUTUMN = ((0.02, 0.14), (0.15, 0.8), (0.25, 0.65))
_SNOW = ((0.5, 0.7), (0, 0.1), (0.7, 0.95))
_BARE_WOOD = ((0.02, 0.12), (0.2, 0.65), (0.25, 0.85))
COLOURS: dict[str, list[tuple[Range, Range, Range]]] = {
    "bark": [((0.02, 0.12), (0.05, 0.5), (0.2, 0.75))],
    "bright": [((0, 1), (0.6, 1), (0.4, 1))],
    "cloth": [((0, 1), (0.1, 0.8), (0.15, 0.95))],
    "dark": [((0, 1), (0, 0.2), (0.1, 0.2))],
    "earth": [((0.02, 0.11), (0.25, 0.6), (0.4, 0.8))],
    "grass": [_GREEN],
    "hill": [((0, 0.7), (0, 0.4), (0.2, 0.6))],
    "lamp": [((0.08, 0.17), (0, 0.45), (0.95, 1))],
    "leaf": [_GREEN, _GREEN, _AUTUMN, ((0.5, 1.14), (0.15, 0.4), (0.25, 0.65))],
    "meadow": [_GREEN, _AUTUMN, ((0.1, 0.17), (0.2, 0.55), (0.5, 0.85)), _SNOW],
    "metal": [((0, 1), (0, 0.1), (0.25, 0.9))],
    "paint": [_PALE, _STRONG],
    "plaster": [((0, 0.2), (0, 0.15), (0.65, 1))],
    "sand": [((0.04, 0.15), (0.1, 0.6), (0.5, 0.95))],
    "sea": [((0.45, 0.65), (0.2, 0.7), (0.3, 0.7))],
    "skin": [((0.04, 0.09), (0.2, 0.6), (0.3, 0.95))],
    "stone": [((-0.05, 0.15), (0.05, 0.45), (0.4, 0.9))],
    "white": [((0, 1), (0, 0.02), (0.93, 0.95))],
    "wood": [_BARE_WOOD, _BARE_WOOD, _PALE, _STRONG],
}


def pick(rng: np.random.Generator, options: Sequence[Option]) -> Option:
    """Return one of the options, each as likely as the others."""
    return options[int(rng.integers(len(options)))]


def woven(
    rng: np.random.Generator, pattern: Pattern, colours: Sequence[Array], joint: Array
) -> Array:
    """Return a texture of a pattern in one or more colours, with joints in another."""
    if pattern.cells is None:
        shade = 1 + pattern.amount * noise(rng, (128, 128), pattern.size, 4)
        return shade[..., None] * colours[0]
    (rows, columns), (height, width) = pattern.cells, pattern.size
    order = rng.integers(len(colours), size=pattern.cells)
    if pattern.is_checked:
        order = np.add.outer(np.arange(rows), np.arange(columns)) % len(colours)
    rough = 1 + pattern.amount * rng.standard_normal((rows, columns, 1), dtype=np.float32)
    cells = (np.stack(colours)[order] * rough).astype(np.float32)
    texture: Array = cells.repeat(height, axis=0).repeat(width, axis=1)
    grid = texture.reshape(rows, height, columns, width, 3)
    grid[:, 0] = grid[:, :, :, 0] = joint
    if pattern.is_brick:
        grid[1::2] = np.roll(texture, width // 2, axis=1).reshape(grid.shape)[1::2]
    return texture


def noise(rng: np.random.Generator, shape: tuple[int, int], cell: Range, octaves: int) -> Array:
    """Return smooth random values around 0, mostly within -2 to 2, float32.

    A cell is the height and width of the largest bumps in pixels; with each octave come finer ones,
    half as large and half as strong.
    """
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        rows, columns = (max(2, round(n / c * 2**octave)) for n, c in zip(shape, cell, strict=True))
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        # Linear is enough for the finer bumps and takes a third of the time.
        smooth = cv2.INTER_CUBIC if octave == 0 else cv2.INTER_LINEAR
        total += cv2.resize(grid, shape[::-1], interpolation=smooth) * np.float32(0.5**octave)
    return total


def relief(height: Array, strength: float) -> Array:
    """Return the light on a bumpy surface, lit from the left: 0 to 1, 0.5 where it is flat."""
    kernel = np.array([[-0.5, 1, 1.5], [-2, 0, 2], [-1.5, -1, 0.5]], np.float32)
    slope = cv2.filter2D(height, cv2.CV_32F, strength * kernel)
    facing: Array = np.minimum(np.maximum(0.5 + slope, 0), 1)
    return facing
