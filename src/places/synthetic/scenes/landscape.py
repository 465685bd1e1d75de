"""Draw what outdoor scenes share: sky, ground, hills, water, trees, rocks, people.

Every category gets its sky, ground and clutter from here, so that these tell nothing about it.
"""

import cv2
import numpy as np

from places.synthetic.scenes.canvas import blend, dot, fill, stroke
from places.synthetic.scenes.textures import Array, grain, noise, pick, tint
from places.synthetic.scenes.view import (
    COLUMNS,
    ROWS,
    SIZE,
    Camera,
    Canvas,
    glow,
    lit,
    place,
    relit,
)

WHITE = np.full(3, 240, np.float32)
LAMP = np.array((255, 225, 150), np.float32)


def look(
    canvas: Canvas,
    eye_m: tuple[float, float],
    pitch: tuple[float, float],
    focal_px: tuple[float, float] = (200, 290),
) -> None:
    """Stand somewhere within ranges of height, upward turn and focal length."""
    rng = canvas.rng
    pitch_, focal = rng.uniform(*pitch), rng.uniform(*focal_px)
    canvas.camera = Camera(rng.uniform(*eye_m), focal, rng.normal(0, 0.12), pitch_)


def sky(canvas: Canvas) -> None:
    """Cover the picture with the sky: its colours, clouds, sun, stars."""
    rng, light = canvas.rng, canvas.light
    horizon = max(canvas.camera.horizon, 60)
    height = np.clip(1 - ROWS / horizon, 0, 1)[..., None] ** 0.8
    canvas.pixels[:] = light.low + height * (light.high - light.low)
    if rng.random() < 0.4:
        x, y, radius = rng.uniform(0, SIZE), rng.uniform(0, horizon), rng.uniform(4, 14)
        halo = np.exp(-np.hypot(COLUMNS - x, ROWS - y) / (5 * radius))
        blend(canvas, np.full_like(canvas.pixels, 250), 0.6 * halo)
        dot(canvas, (x, y), radius, np.minimum(1.3 * light.low + 40, 255))
    if light.is_dark:
        for x, y in rng.uniform(0, (SIZE, horizon), (40, 2)):
            dot(canvas, (x, y), rng.uniform(0.3, 0.9), WHITE)
    cell = (rng.uniform(12, 40), rng.uniform(40, 140))
    cover = np.clip(noise(rng, (SIZE, SIZE), cell, 4) + rng.uniform(-1.5, 0.8), 0, 1)
    white = tint(rng, (0, 1), (0, 0.1), (0.7, 1))
    cloud = relit(light, white, rng.uniform(0, 0.6) + 0.5 * cover)
    blend(canvas, cloud, cover * rng.uniform(0.4, 1))


def on_ground(canvas: Canvas, texture: Array, m_per_px: float) -> Array:
    """Return a layer of the size of the picture: a plane at height 0, covered by a texture.

    It is black above the horizon.
    """
    camera, light = canvas.camera, canvas.light
    turn = canvas.rng.uniform(-0.4, 0.4)
    sin, cos = m_per_px * np.sin(turn), m_per_px * np.cos(turn)
    onto = camera.matrix @ [(cos, sin, 0), (0, 0, -camera.eye_m), (-sin, cos, 0)]
    image = np.clip(texture, 0, 255).astype(np.uint8)
    start = int(np.clip(camera.horizon, 0, SIZE - 1))
    below = np.maximum(ROWS[start:] - camera.horizon, 0.1)[..., None]
    # Next to the horizon the texture is finer than a pixel, only its mean is seen.
    detail = np.clip(below / 30, 0.15, 1)
    clear = np.exp(-light.haze_per_m * camera.eye_m * camera.focal_px / below)
    bright = clear * (0.2 * light.shade + 0.8 * light.sun)
    mean = texture.mean((0, 1))
    seen = np.broadcast_to(mean, (SIZE - start, SIZE, 3)).astype(np.float32)
    top = int(np.clip(camera.horizon + 3, 0, SIZE - 1))
    onto[1] -= top * onto[2]
    size = (SIZE, SIZE - top)
    seen[top - start :] = cv2.warpPerspective(image, onto, size, borderMode=cv2.BORDER_REFLECT_101)
    seen *= (detail * bright).astype(np.float32)
    seen += (mean * (1 - detail) * bright + (1 - clear) * light.low).astype(np.float32)
    layer = np.zeros((SIZE, SIZE, 3), np.uint8)
    layer[start:] = np.minimum(seen, 255)
    return layer


def ground(canvas: Canvas, texture: Array, m_per_px: float = 0.06) -> None:
    """Cover everything below the horizon."""
    layer = on_ground(canvas, texture, m_per_px)
    blend(canvas, layer, np.broadcast_to(ROWS - canvas.camera.horizon, (SIZE, SIZE)))


def meadow(canvas: Canvas) -> Array:
    """Return a texture of open land: grass, dry grass, earth or snow."""
    rng = canvas.rng
    ranges = [
        ((0.2, 0.36), (0.3, 0.7), (0.3, 0.65)),
        ((0.1, 0.17), (0.2, 0.55), (0.5, 0.85)),
        ((0.04, 0.1), (0.2, 0.5), (0.3, 0.6)),
        ((0.5, 0.7), (0, 0.1), (0.7, 0.95)),
    ]
    return grain(rng, tint(rng, *pick(rng, ranges)), (24, 24), 0.13, octaves=5)


def water(canvas: Canvas) -> Array:
    """Return a texture of waves, in the colours of the sky or of deep water."""
    rng, light = canvas.rng, canvas.light
    deep = tint(rng, (0.45, 0.65), (0.2, 0.7), (0.3, 0.7))
    colour = pick(rng, [deep, 0.8 * light.low, 0.5 * (deep + light.high)])
    return grain(rng, colour, (3, 14), 0.16)


def stone(canvas: Canvas) -> Array:
    """Return a colour of walls and rocks."""
    return tint(canvas.rng, (-0.05, 0.15), (0.05, 0.45), (0.4, 0.9))


def leaves(canvas: Canvas) -> Array:
    """Return a colour of leaves: mostly green, at times autumn, blossom or frost."""
    rng = canvas.rng
    ranges = [
        (0.2, 0.4, 0.7),
        (0.18, 0.3, 0.7),
        (0.02, 0.14, 0.8),
        (0.9, 1.1, 0.5),
        (0.5, 0.6, 0.2),
    ]
    start, end, saturation = pick(rng, ranges)
    return tint(rng, (start, end), (0.15, saturation), (0.25, 0.65))


def hills(canvas: Canvas) -> None:
    """Draw hills or woods along the horizon, or nothing."""
    rng, horizon = canvas.rng, canvas.camera.horizon
    for distance_m in (150.0, 70.0)[: int(rng.integers(0, 3))]:
        line = noise(rng, (1, SIZE), (1, rng.uniform(30, 120)), 4)[0] * rng.uniform(2, 9)
        top = horizon - np.abs(line + rng.uniform(2, 8))
        colour = lit(canvas.light, tint(rng, (0, 0.7), (0.1, 0.4), (0.2, 0.5)), 0.5, distance_m)
        below = [(SIZE, horizon + 1), (0, horizon + 1)]
        fill(canvas, [*np.stack([COLUMNS[0], top], 1), *below], colour)


def round_tree(canvas: Canvas, x: float, z: float, height_m: float, leaf: Array) -> None:
    """Draw a tree with a crown of many tufts."""
    rng, light = canvas.rng, canvas.light
    column, row, scale = place(canvas.camera, x, 0, z)
    tall = height_m * scale
    half = tall * rng.uniform(0.2, 0.35)
    stroke(
        canvas, [(column, row), (column, row - tall / 2)], lit(light, leaf * 0.4, 0.5, z), tall / 16
    )
    shades = [lit(light, leaf, facing, z) for facing in np.linspace(0, 1, 8)]
    for turn, far, size in rng.uniform((0, 0, 0.18), (2 * np.pi, 1, 0.36), (30, 3)):
        dx, dy = np.cos(turn) * far**0.5, np.sin(turn) * far**0.5
        facing = 0.5 - 0.3 * (dx + dy) + rng.normal(0, 0.1)
        centre = (column + half * dx, row - 0.66 * tall + 0.3 * tall * dy)
        dot(canvas, centre, half * size, shades[int(np.clip(8 * facing, 0, 7))])


def fir(canvas: Canvas, x: float, z: float, height_m: float, leaf: Array) -> None:
    """Draw a fir, its right half in the shade."""
    rng, light = canvas.rng, canvas.light
    column, row, scale = place(canvas.camera, x, 0, z)
    tall = height_m * scale
    half = tall * rng.uniform(0.2, 0.3)
    stroke(
        canvas, [(column, row), (column, row - tall / 2)], lit(light, leaf * 0.4, 0.3, z), tall / 16
    )
    bright, dark = lit(light, 0.8 * leaf, 0.9, z), lit(light, 0.7 * leaf, 0, z)
    for level in np.linspace(0.15, 0.8, 5):
        width, bottom = half * (1.1 - level), row - tall * level
        top = (column, row - tall * min(1, level + 0.3))
        fill(canvas, [top, (column - width, bottom), (column, bottom)], bright)
        fill(canvas, [top, (column, bottom), (column + width, bottom)], dark)


def mound(canvas: Canvas, x: float, z: float, width_m: float, colour: Array) -> None:
    """Draw a bush or a rock, depending on the colour."""
    rng, light = canvas.rng, canvas.light
    column, row, scale = place(canvas.camera, x, 0, z)
    half = width_m * scale / 2
    turns = np.linspace(np.pi, 2 * np.pi, 9)
    outline = np.stack([np.cos(turns), np.sin(turns) * rng.uniform(0.5, 1)], 1)
    outline = (column, row) + half * outline * rng.uniform(0.75, 1.1, (9, 1))
    fill(canvas, outline, lit(light, colour, 0.8, z))
    split = int(rng.integers(4, 7))
    shaded = [*outline[split:], (column + half * rng.uniform(-0.3, 0.4), row)]
    fill(canvas, shaded, lit(light, colour, 0.1, z))


def person(canvas: Canvas, x: float, z: float) -> None:
    """Draw somebody standing there."""
    rng, light = canvas.rng, canvas.light
    column, row, scale = place(canvas.camera, x, 0, z)
    tall = scale * rng.uniform(1.5, 1.9)
    skin = lit(light, tint(rng, (0.04, 0.09), (0.2, 0.6), (0.3, 0.95)), 0.6, z)
    shirt, legs = (lit(light, tint(rng, (0, 1), (0.1, 0.8), (0.15, 0.9)), 0.6, z) for _ in range(2))
    for side in (-0.05, 0.05):
        hip = (column + side * tall, row - 0.5 * tall)
        foot = (column + side * tall * rng.uniform(0.5, 2.5), row)
        stroke(canvas, [hip, foot], legs, 0.09 * tall)
    width = tall * rng.uniform(0.1, 0.14)
    body = [(-1, 0.84), (1, 0.84), (0.8, 0.46), (-0.8, 0.46)]
    fill(canvas, [(column + width * dx, row - tall * dy) for dx, dy in body], shirt)
    dot(canvas, (column, row - 0.92 * tall), 0.075 * tall, skin)


def scatter(canvas: Canvas, near_m: float, far_m: float, most: int) -> None:
    """Put trees, bushes, rocks and people around, the farthest first; at most so many."""
    rng = canvas.rng
    leaf, rock = leaves(canvas), tint(rng, (0, 0.7), (0, 0.25), (0.3, 0.7))
    kinds = rng.permutation(5)[:2].tolist()
    for z in np.sort(rng.uniform(near_m, far_m, int(rng.integers(0, most + 1))))[::-1]:
        x = rng.uniform(-0.6, 0.6) * z + z * np.tan(canvas.camera.yaw)
        kind = pick(rng, kinds)
        if kind == 0:
            round_tree(canvas, x, z, rng.uniform(3, 8), leaf)
        elif kind == 1:
            fir(canvas, x, z, rng.uniform(3, 8), leaf)
        elif kind == 2:
            mound(canvas, x, z, rng.uniform(0.6, 2.5), leaf)
        elif kind == 3:
            mound(canvas, x, z, rng.uniform(0.5, 2), rock)
        else:
            person(canvas, x, z)


def pane(canvas: Canvas) -> Array:
    """Return the final colour of a window: dark by day, lit by night."""
    light = canvas.light
    return lit(light, glow(light, LAMP)) if light.is_dark else lit(light, 0.15 * WHITE)


def roundness(columns: int) -> Array:
    """Return how much a round tower faces the light from its left to its right edge."""
    around = np.linspace(-1, 1, columns, dtype=np.float32)
    return np.clip(0.65 - 0.75 * around - 0.25 * around**2, 0, 1)[None, :, None]
