"""Draw one scene of a category: choose the light, draw, and take the photograph."""

from collections.abc import Callable

import cv2
import numpy as np

from places.synthetic.scenes import buildings, indoor, open_land, seaside
from places.synthetic.scenes.textures import Array, noise, pick
from places.synthetic.scenes.view import SIZE, Camera, Canvas, Light

_OUTDOOR: dict[str, Callable[[Canvas], None]] = {
    "baseball_field": open_land.baseball_field,
    "beach": seaside.beach,
    "castle": buildings.castle,
    "desert/sand": open_land.desert,
    "forest_path": open_land.forest_path,
    "lighthouse": seaside.lighthouse,
    "mountain": open_land.mountain,
    "skyscraper": buildings.skyscraper,
}
_INDOOR: dict[str, Callable[[Canvas], None]] = {
    "bedroom": indoor.bedroom,
    "bookstore": indoor.bookstore,
    "corridor": indoor.corridor,
    "kitchen": indoor.kitchen,
}
SCENES = tuple(sorted([*_INDOOR, *_OUTDOOR]))
"""The categories that can be drawn, by their official names, in the order of their labels."""

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


def draw_scene(category: str, generator: np.random.Generator) -> Array:
    """Draw a scene.

    Args:
        category: An official name that is one of `SCENES`.
        generator: The source of all randomness: equal states give equal pictures.

    Returns:
        The picture, (256, 256, 3) uint8 RGB.

    Raises:
        ValueError: The category cannot be drawn.
    """
    if category not in SCENES:
        raise ValueError(f"cannot draw {category!r}; only {', '.join(SCENES)}")
    light = indoor_light(generator) if category in _INDOOR else outdoor_light(generator)
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    canvas = Canvas(pixels, generator, light, Camera(1.7))
    (_INDOOR | _OUTDOOR)[category](canvas)
    return photograph(canvas)


def outdoor_light(rng: np.random.Generator) -> Light:
    """Return the light of a time of day and a weather."""
    *colours, haze_per_km = pick(rng, _WEATHER)
    high, low, sun, shade = (
        np.array(colour, np.float32) * rng.uniform(0.92, 1.08, 3).astype(np.float32)
        for colour in colours
    )
    haze = haze_per_km / 1000 * rng.uniform(0.4, 2)
    return Light(np.minimum(high, 255), np.minimum(low, 255), sun, shade, haze, sun[0] < 0.55)


_LAMPS = [
    ((1.05, 1.0, 0.95), (0.8, 0.8, 0.82)),
    ((1.1, 0.95, 0.75), (0.7, 0.58, 0.45)),
    ((0.9, 1.0, 1.05), (0.65, 0.75, 0.8)),
    ((0.75, 0.65, 0.5), (0.4, 0.33, 0.27)),
    ((0.6, 0.62, 0.7), (0.35, 0.36, 0.45)),
    ((1.15, 1.12, 1.0), (0.5, 0.5, 0.55)),
]


def indoor_light(rng: np.random.Generator) -> Light:
    """Return the light of a room by day or by lamps; the sky is seen through its windows."""
    outside = outdoor_light(rng)
    sun, shade = (np.array(f, np.float32) for f in pick(rng, _LAMPS))
    return Light(outside.high, outside.low, sun, shade, 0.0, True)


def photograph(canvas: Canvas) -> Array:
    """Return the picture as a camera takes it: tilted, mirrored, exposed, noisy."""
    rng = canvas.rng
    turn, zoom = rng.normal(0, 0.035), rng.uniform(1.02, 1.15)
    sin, cos = zoom * np.sin(turn), zoom * np.cos(turn)
    mirror = rng.choice((-1, 1))
    onto = np.array([[mirror * cos, -mirror * sin, 0], [sin, cos, 0], [0, 0, 1]])
    onto[2, :2] = rng.normal(0, 0.0004, 2)
    centre = np.array([[1, 0, SIZE / 2], [0, 1, SIZE / 2], [0, 0, 1]])
    shift = np.array([[1, 0, -SIZE / 2], [0, 1, -SIZE / 2], [0, 0, 1]])
    taken = cv2.warpPerspective(
        canvas.pixels,
        centre @ onto @ shift,
        (SIZE, SIZE),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return develop(rng, taken)


def develop(rng: np.random.Generator, taken: Array) -> Array:
    """Return a picture with the colour cast, contrast, uneven light and noise of a photograph."""
    colourful = rng.uniform(0.35, 1.25)
    mix = np.eye(3) * colourful + (1 - colourful) / 3
    gamma, exposure = rng.uniform(0.75, 1.15), rng.uniform(0.85, 1.15)
    cast = exposure * np.exp(rng.normal(0, 0.08, 3))
    curve = 255 * (np.linspace(0, 1, 256)[:, None] ** gamma) * cast
    image = cv2.LUT(cv2.transform(taken, mix), curve[None].astype(np.float32))
    uneven = 1 + 0.12 * noise(rng, (SIZE, SIZE), (120, 120), 1)
    speckle = rng.standard_normal((SIZE, SIZE), dtype=np.float32) * rng.uniform(1, 4.5)
    image = cv2.multiply(image, cv2.merge([uneven] * 3))
    return cv2.add(image, cv2.merge([speckle] * 3), dtype=cv2.CV_8U)
