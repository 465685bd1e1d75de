"""How a synthetic scene is seen: the light on it, the air before it, the camera, the photograph.

Lengths are in metres with y upwards and z away from the viewer; colours are RGB from 0 to 255.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from places.synthetic.scenes.surfaces import Array, noise, pick

SIZE = 256
NEAR_M = 0.4  # nothing closer to the camera is drawn
ROWS = np.arange(SIZE, dtype=np.float32)[:, None]
COLUMNS = np.arange(SIZE, dtype=np.float32)[None, :]

Points = Sequence[Sequence[float]] | Sequence[Array] | Array
Vector = Sequence[float] | Array

# Sky overhead, sky at the horizon, factor in the light, factor in the shade, haze per kilometre.
_WEATHER = [
    ((70, 130, 210), (195, 215, 235), (1.05, 1.02, 0.95), (0.55, 0.60, 0.70), 1),
    ((30, 90, 190), (150, 195, 235), (1.15, 1.10, 1.00), (0.45, 0.50, 0.62), 0.5),
    ((120, 130, 180), (250, 190, 120), (1.10, 0.82, 0.58), (0.45, 0.38, 0.42), 3),
    ((60, 50, 110), (235, 120, 90), (0.85, 0.60, 0.58), (0.30, 0.27, 0.38), 3),
    ((190, 160, 190), (250, 215, 200), (1.00, 0.88, 0.85), (0.55, 0.52, 0.60), 5),
    ((8, 12, 35), (35, 45, 80), (0.34, 0.38, 0.52), (0.18, 0.21, 0.32), 1),
    ((30, 35, 75), (90, 90, 130), (0.48, 0.48, 0.62), (0.28, 0.29, 0.42), 2),
    ((150, 155, 162), (203, 205, 208), (0.88, 0.90, 0.92), (0.68, 0.70, 0.74), 4),
    ((62, 70, 82), (140, 148, 155), (0.68, 0.70, 0.72), (0.48, 0.50, 0.54), 5),
    ((205, 208, 210), (222, 224, 225), (0.95, 0.95, 0.95), (0.62, 0.63, 0.65), 10),
]
# Factor in the light of lamps and in their shade.
_LAMPS = [
    ((1.05, 1.0, 0.95), (0.8, 0.8, 0.82)),
    ((1.1, 0.95, 0.75), (0.7, 0.58, 0.45)),
    ((0.9, 1.0, 1.05), (0.65, 0.75, 0.8)),
    ((0.75, 0.65, 0.5), (0.4, 0.33, 0.27)),
    ((0.6, 0.62, 0.7), (0.35, 0.36, 0.45)),
    ((1.15, 1.12, 1.0), (0.5, 0.5, 0.55)),
]
_LEVELS = np.linspace(0, 1, 256, dtype=np.float32)


@dataclass(frozen=True)
class Light:
    """The light and the air of one picture; every colour is (3,)."""

    high: Array  # the sky overhead
    low: Array  # the sky at the horizon, which is also the colour of the haze
    sun: Array  # factor on a face turned to the light
    shade: Array  # factor on a face turned away from it
    haze_per_m: float  # how fast colours fade into the haze
    is_dark: bool  # whether lamps are lit

    def lit(self, surface: Array, facing: float | Array = 1, distance_m: float = 0) -> Array:
        """Return a colour or texture (..., 3) as the eye sees it, from 0 to 255.

        Facing is 1 where it is turned to the light, 0 where in the shade; it broadcasts. The air
        between never hides a thing completely.
        """
        clear = np.float32(max(math.exp(-self.haze_per_m * distance_m), 0.45))
        factor = self.shade + facing * (self.sun - self.shade)
        return np.minimum(np.maximum(surface * (clear * factor) + (1 - clear) * self.low, 0), 255)

    def layer(self, colour: Array, facing: Array, distance_m: float = 0) -> Array:
        """Return one colour under light that differs by pixel, facing (rows, columns)."""
        palette = self.lit(colour, _LEVELS[:, None], distance_m).astype(np.uint8)
        levels = cv2.convertScaleAbs(np.maximum(facing, 0), alpha=255)
        return cv2.applyColorMap(levels, palette[:, None])


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at x = z = 0, turned by angles in radians to the right and upwards."""

    eye_m: float
    focal_px: float = 240.0
    yaw: float = 0.0
    pitch: float = 0.0

    @cached_property
    def horizon(self) -> float:
        """The pixel row of the horizon, which may lie outside the picture."""
        return SIZE / 2 + self.focal_px * math.tan(self.pitch)

    @cached_property
    def matrix(self) -> Array:
        """From a point (x, y, z, 1) in space to homogeneous pixels, (3, 4)."""
        sin, cos = math.sin(self.yaw), math.cos(self.yaw)
        turn = np.array([[cos, 0, -sin, 0], [0, 1, 0, -self.eye_m], [sin, 0, cos, 0]])
        sin, cos = math.sin(self.pitch), math.cos(self.pitch)
        tilt = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
        half, focal = SIZE / 2, self.focal_px
        onto: Array = np.array([[focal, 0, half], [0, -focal, half], [0, 0, 1]]) @ tilt @ turn
        return onto

    def project(self, points: Points) -> Array:
        """Return the pixels (n, 2) of a polygon in space (m, 3), cut off at the near plane."""
        corners = np.asarray(points, float) @ self.matrix[:, :3].T + self.matrix[:, 3]
        is_seen = corners[:, 2] >= NEAR_M
        if not is_seen.all():
            ends = np.roll(corners, -1, axis=0)
            part = (NEAR_M - corners[:, 2:]) / (ends[:, 2:] - corners[:, 2:] + 1e-12)
            both = np.stack([corners, corners + part * (ends - corners)], 1)
            is_cut = is_seen != np.roll(is_seen, -1)
            corners = both[np.stack([is_seen, is_cut], 1)]
        pixels: Array = np.minimum(np.maximum(corners[:, :2] / corners[:, 2:], -4000), 4000)
        return pixels


def light_of(rng: np.random.Generator, is_indoors: bool) -> Light:
    """Return the light of a time of day and a weather, indoors that of lamps before such a sky."""
    *colours, haze_per_km = pick(rng, _WEATHER)
    varied = np.array(colours) * rng.uniform(0.92, 1.08, (4, 3))
    high, low, sun, shade = varied.astype(np.float32)
    haze_per_m, is_dark = haze_per_km / 1000 * rng.uniform(0.4, 2), sun[0] < 0.55
    if is_indoors:
        (sun, shade), haze_per_m, is_dark = np.array(pick(rng, _LAMPS), np.float32), 0.0, True
    return Light(np.minimum(high, 255), np.minimum(low, 255), sun, shade, haze_per_m, is_dark)


def photograph(rng: np.random.Generator, pixels: Array) -> Array:
    """Return a picture as a camera takes it: tilted, mirrored, exposed, noisy."""
    degrees, zoom, mirror = rng.normal(0, 2), rng.uniform(1.02, 1.15), rng.choice((-1, 1))
    turned = np.array(cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), degrees, zoom))
    onto = turned + rng.normal(0, 0.02, (2, 3))  # and a little sheared
    taken = cv2.warpAffine(
        np.ascontiguousarray(pixels[:, ::mirror]), onto, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT
    )
    colourful, gamma = rng.uniform(0.35, 1.25), rng.uniform(0.75, 1.15)
    cast = rng.uniform(0.85, 1.15) * np.exp(rng.normal(0, 0.08, 3))
    curve = 255 * (np.linspace(0, 1, 256)[:, None] ** gamma) * cast
    image = cv2.transform(taken, np.eye(3) * colourful + (1 - colourful) / 3)
    uneven = 1 + 0.12 * noise(rng, (SIZE, SIZE), (120, 120), 1)
    speckle = rng.standard_normal((SIZE, SIZE), dtype=np.float32) * rng.uniform(1, 4.5)
    image = cv2.multiply(cv2.LUT(image, curve[None].astype(np.float32)), cv2.merge([uneven] * 3))
    return cv2.add(image, cv2.merge([speckle] * 3), dtype=cv2.CV_8U)
