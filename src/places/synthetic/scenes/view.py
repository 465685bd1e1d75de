"""How a synthetic scene is seen: the light on it, the air before it, the camera.

Lengths are in metres with y upwards and z away from the viewer; colours are RGB from 0 to 255.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from places.synthetic.scenes.textures import Array

SIZE = 256
NEAR_M = 0.4  # nothing closer to the camera is drawn
ROWS = np.arange(SIZE, dtype=np.float32)[:, None]
COLUMNS = np.arange(SIZE, dtype=np.float32)[None, :]

Pixel = tuple[float, float]
Points = Sequence[Sequence[float]] | Sequence[Array] | Array
Vector = Sequence[float] | Array

_LEVELS = np.linspace(0, 1, 256, dtype=np.float32)


@dataclass(frozen=True)
class Light:
    """The light and the air of one picture; every colour is (3,).

    Args:
        high: The sky overhead.
        low: The sky at the horizon, which is also the colour of the haze.
        sun: Factor on a face turned to the light.
        shade: Factor on a face turned away from it.
        haze_per_m: How fast colours fade into the haze.
        is_dark: Whether lamps are lit.
    """

    high: Array
    low: Array
    sun: Array
    shade: Array
    haze_per_m: float
    is_dark: bool


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at x = z = 0.

    Args:
        eye_m: Height above the ground.
        focal_px: Focal length; 256 sees 53 degrees.
        yaw: Turn to the right in radians.
        pitch: Turn upwards in radians.
    """

    eye_m: float
    focal_px: float = 240.0
    yaw: float = 0.0
    pitch: float = 0.0

    @cached_property
    def horizon(self) -> float:
        """The pixel row of the horizon, which may lie outside the picture."""
        return SIZE / 2 + self.focal_px * math.tan(self.pitch)

    @cached_property
    def eye(self) -> Array:
        """Where the camera is, (3,)."""
        return np.array((0, self.eye_m, 0))

    @cached_property
    def matrix(self) -> Array:
        """From a point relative to the eye to homogeneous pixels, (3, 3)."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        turn = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
        sin, cos = math.sin(self.pitch), math.cos(self.pitch)
        tilt = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        half, focal = SIZE / 2, self.focal_px
        lens = np.array([[focal, 0, half], [0, -focal, half], [0, 0, 1]])
        onto: Array = lens @ tilt @ turn
        return onto


@dataclass
class Canvas:
    """A picture being drawn, (256, 256, 3) uint8, with all that the drawing depends on."""

    pixels: Array
    rng: np.random.Generator
    light: Light
    camera: Camera


def lit(light: Light, colour: Array, facing: float | Array = 1, distance_m: float = 0) -> Array:
    """Return a colour or texture (..., 3) as the eye sees it under a light, from 0 to 255.

    Args:
        light: The light.
        colour: The colour of the thing itself.
        facing: 1 where it is turned to the light, 0 where in the shade; broadcasts.
        distance_m: How much air is between; it never hides a thing completely.
    """
    clear = max(math.exp(-light.haze_per_m * distance_m), 0.45)
    factor = light.shade + facing * (light.sun - light.shade)
    seen = colour * (np.float32(clear) * factor) + np.float32(1 - clear) * light.low
    return np.minimum(np.maximum(seen, 0), 255)


def relit(light: Light, colour: Array, facing: Array, distance_m: float = 0) -> Array:
    """Return a layer of one colour under light that differs by pixel, facing (rows, columns)."""
    palette = lit(light, colour, _LEVELS[:, None], distance_m).astype(np.uint8)
    return cv2.applyColorMap(
        cv2.convertScaleAbs(np.maximum(facing, 0), alpha=255), palette[:, None]
    )


def glow(light: Light, colour: Array) -> Array:
    """Return the colour of a lamp such that it shines undimmed once `lit`."""
    return colour / light.sun


def project(camera: Camera, points: Points) -> Array:
    """Return the pixels (n, 2) of a polygon in space (m, 3), cut off at the near plane."""
    corners = (np.asarray(points, float) - camera.eye) @ camera.matrix.T
    if (corners[:, 2] < NEAR_M).any():
        kept = []
        for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            if start[2] >= NEAR_M:
                kept.append(start)
            if (start[2] >= NEAR_M) != (end[2] >= NEAR_M):
                kept.append(start + (NEAR_M - start[2]) / (end[2] - start[2]) * (end - start))
        corners = np.array(kept).reshape(-1, 3)
    pixels: Array = np.minimum(np.maximum(corners[:, :2] / corners[:, 2:], -4000), 4000)
    return pixels


def place(camera: Camera, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return where a point in space is seen, (column, row), and the pixels per metre there."""
    column, row, depth = camera.matrix @ (x, y - camera.eye_m, z)
    depth = max(depth, NEAR_M)
    return column / depth, row / depth, camera.focal_px / depth
