"""Draw what outdoor scenes share: the sky, the ground, and ridges between them.

Every category gets its sky and its ground from here, so that these tell nothing about it.
"""

import cv2
import numpy as np

from places.synthetic.scenes.canvas import Canvas
from places.synthetic.scenes.surfaces import Array, Range, noise
from places.synthetic.scenes.view import COLUMNS, ROWS, SIZE, Camera, light_of


def look(
    canvas: Canvas, eye_m: Range, pitch: Range, focal_px: Range = (200, 290), num_hills: int = 2
) -> None:
    """Stand somewhere in some weather, and draw the sky and the hills at the horizon.

    The height of the eye, the turn upwards and the focal length lie within ranges.
    """
    rng = canvas.rng
    eye, focal, yaw = rng.uniform(*eye_m), rng.uniform(*focal_px), rng.normal(0, 0.12)
    canvas.camera = Camera(eye, focal, yaw, rng.uniform(*pitch))
    canvas.light = light = light_of(rng, is_indoors=False)
    horizon = max(canvas.camera.horizon, 60)
    height = np.clip(1 - ROWS / horizon, 0, 1)[..., None] ** 0.8
    canvas.pixels[:] = light.low + height * (light.high - light.low)
    if rng.random() < 0.4:
        x, y, radius = rng.uniform(0, SIZE), rng.uniform(0, horizon), rng.uniform(4, 14)
        halo = np.exp(-np.hypot(COLUMNS - x, ROWS - y) / (5 * radius))
        canvas.blend(np.full_like(canvas.pixels, 250), 0.6 * halo)
        canvas.draw([(x, y)], np.minimum(1.3 * light.low + 40, 255), 2 * radius)
    if light.is_dark:
        for star in rng.uniform(0, (SIZE, horizon), (40, 2)):
            canvas.draw([star], np.full(3, 240), rng.uniform(0.6, 1.8))
    cell = (rng.uniform(12, 40), rng.uniform(40, 140))
    cover = np.clip(noise(rng, (SIZE, SIZE), cell, 4) + rng.uniform(-1.5, 0.8), 0, 1)
    cloud = light.layer(canvas.colour("plaster"), rng.uniform(0, 0.6) + 0.5 * cover)
    canvas.blend(cloud, cover * rng.uniform(0.4, 1))
    for distance_m in (150.0, 70.0)[: int(rng.integers(0, num_hills + 1))]:
        hill = line(canvas, rng.uniform(30, 120), 4) * rng.uniform(2, 9) + rng.uniform(2, 8)
        crest = np.stack([COLUMNS[0], canvas.camera.horizon - np.abs(hill[0])], 1)
        foot = [(SIZE, canvas.camera.horizon + 1), (0, canvas.camera.horizon + 1)]
        canvas.draw([*crest, *foot], light.lit(canvas.colour("hill"), 0.5, distance_m))


def plane(canvas: Canvas, texture: Array, m_per_px: float) -> Array:
    """Return a layer of the size of the picture: the ground covered by a texture.

    Only what is below the horizon is of use.
    """
    camera, light, turn = canvas.camera, canvas.light, canvas.rng.uniform(-0.4, 0.4)
    sin, cos = m_per_px * np.sin(turn), m_per_px * np.cos(turn)
    start = int(np.clip(camera.horizon + 5, 0, SIZE - 1))
    onto = camera.matrix @ [(cos, sin, 0), (0, 0, 0), (-sin, cos, 0), (0, 0, 1)]
    onto[1] -= start * onto[2]
    image, edge = np.clip(texture, 0, 255).astype(np.uint8), cv2.BORDER_REFLECT_101
    seen = cv2.warpPerspective(image, onto, (SIZE, SIZE - start), borderMode=edge)
    below = np.maximum(ROWS[start:, :, None] - camera.horizon, 5)
    # Next to the horizon the texture is finer than a pixel, only its mean is seen.
    detail = np.clip(below / 30 - 0.16, 0, 1)
    clear = np.exp(-light.haze_per_m * camera.eye_m * camera.focal_px / below)
    bright = clear * (0.2 * light.shade + 0.8 * light.sun)
    base = texture.mean((0, 1)) * (1 - detail) * bright + (1 - clear) * light.low
    layer = np.tile(np.minimum(base[0], 255).astype(np.uint8), (SIZE, SIZE, 1))
    lit = seen * (detail * bright).astype(np.float32) + base.astype(np.float32)
    layer[start:] = np.minimum(lit, 255)
    return layer


def ground(canvas: Canvas, texture: Array, m_per_px: float) -> None:
    """Cover everything below the horizon with a texture."""
    below = np.broadcast_to(ROWS - canvas.camera.horizon, (SIZE, SIZE))
    canvas.blend(plane(canvas, texture, m_per_px), below)


def line(canvas: Canvas, cell_px: float, octaves: int) -> Array:
    """Return a random line across the picture, (1, 256), mostly within -2 to 2."""
    return noise(canvas.rng, (1, SIZE), (1, cell_px), octaves)


def ridge(
    canvas: Canvas, crest: Array, colour: Array, facing: Array, distance_m: float = 0
) -> None:
    """Cover all below a crest, a row for each column, in a colour under light by pixel."""
    canvas.blend(canvas.light.layer(colour, facing, distance_m), ROWS - crest)
