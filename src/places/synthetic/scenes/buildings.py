"""Draw the scenes of large buildings, one function for each category."""

import numpy as np

from places.synthetic.scenes.canvas import box, fill, slab, sticker, stroke
from places.synthetic.scenes.landscape import (
    LAMP,
    WHITE,
    ground,
    hills,
    look,
    meadow,
    pane,
    roundness,
    scatter,
    sky,
    stone,
    water,
)
from places.synthetic.scenes.textures import Array, grain, mixed, pick, plain, tiling, tint
from places.synthetic.scenes.view import Canvas, Pixel, glow, lit, place


def castle(canvas: Canvas) -> None:
    """Draw walls and towers with battlements, a gate and flags."""
    rng, light = canvas.rng, canvas.light
    look(canvas, (1.7, 8), (-0.05, 0.1))
    sky(canvas)
    hills(canvas)
    ground(canvas, pick(rng, [meadow(canvas), meadow(canvas), water(canvas)]), 0.1)
    colour = stone(canvas)
    roof = pick(rng, [None, tint(rng, (0, 1), (0.2, 0.8), (0.25, 0.7))])
    column, row, scale = place(canvas.camera, rng.uniform(-8, 8), 0, rng.uniform(50, 80))
    wide, tall = scale * rng.uniform(28, 42), scale * rng.uniform(8, 14)
    rise = row - scale * rng.uniform(0, 4)
    bank = np.linspace(-1, 1, 24)
    bank_y = row + 6 - (row + 6 - rise) * np.sqrt(1 - bank**2) + rng.normal(0, 0.6, 24)
    bank_x = column + 0.9 * wide * bank
    earth = meadow(canvas).mean((0, 1))
    fill(canvas, np.stack([bank_x, bank_y], 1), lit(light, earth, 0.5, 50))
    for spot in rng.uniform(-0.35, 0.35, int(rng.integers(1, 5))):
        size = (wide * rng.uniform(0.1, 0.2), tall * rng.uniform(1.4, 2.4))
        tower(canvas, (column + spot * wide, rise), size, 0.93 * colour, roof)
    wall(canvas, (column, rise + 2), (wide, tall), colour)
    gate = wide * rng.uniform(0.05, 0.08)
    middle, turns = column + wide * rng.uniform(-0.2, 0.2), np.linspace(0, np.pi, 9)
    arch = [(middle + gate * np.cos(t), rise - tall * 0.4 - gate * np.sin(t)) for t in turns]
    outline = [(middle + gate, rise + 2), *arch, (middle - gate, rise + 2)]
    fill(canvas, outline, lit(light, 0.15 * colour))
    aside = (middle - column) / wide
    for spot in pick(rng, [(-0.5, 0.5), (-0.5, aside - 0.12, aside + 0.12, 0.5)]):
        size = (wide * rng.uniform(0.1, 0.16), tall * rng.uniform(1.2, 1.7))
        tower(canvas, (column + spot * wide, rise + 4), size, colour, roof)
    scatter(canvas, 14, 45, 6)


def masonry(canvas: Canvas, size: tuple[float, float], colour: Array) -> Array:
    """Return a texture of stones for a wall of a size in pixels."""
    rows, columns = max(2, int(size[1] / 5)), max(2, int(size[0] / 8))
    stones, joint = plain(colour, rows, columns), 0.75 * colour
    return tiling(canvas.rng, stones, (8, 14), joint, is_brick=True, amount=0.1)


def battlements(canvas: Canvas, foot: Pixel, width: float, colour: Array) -> None:
    """Draw merlons on an upper edge; the foot is its middle in pixels."""
    count = max(3, round(width / canvas.rng.uniform(7, 10)))
    step = width / (2 * count - 1)
    for index in range(count):
        x = foot[0] - width / 2 + (2 * index + 0.5) * step
        slab(canvas, (x, foot[1] + 1), (step, 1.2 * step + 1), colour)


def wall(canvas: Canvas, foot: Pixel, size: tuple[float, float], colour: Array) -> None:
    """Draw a wall with merlons and slits; the foot is the middle of its base in pixels."""
    (x, y), (width, height) = foot, size
    left, right = x - width / 2, x + width / 2
    corners = [(left, y - height), (right, y - height), (right, y), (left, y)]
    sticker(canvas, corners, lit(canvas.light, masonry(canvas, size, colour), 0.6))
    battlements(canvas, (x, y - height), width, lit(canvas.light, colour, 0.65))
    for slit in np.linspace(-0.4, 0.4, 6):
        slab(canvas, (x + slit * width, y - 0.55 * height), (2, 0.16 * height), pane(canvas))


def tower(
    canvas: Canvas, foot: Pixel, size: tuple[float, float], colour: Array, roof: Array | None
) -> None:
    """Draw a round tower; the foot is the middle of its base in pixels."""
    rng, light, (x, y), (width, height) = canvas.rng, canvas.light, foot, size
    texture = masonry(canvas, size, colour)
    texture = lit(light, texture, roundness(texture.shape[1]))
    top, head = y - height, 1.2 * width
    for half, upper, lower in ((width / 2, top, y), (head / 2, top, top + 0.12 * height)):
        corners = [(x - half, upper), (x + half, upper), (x + half, lower), (x - half, lower)]
        sticker(canvas, corners, texture)
    for up in (0.35, 0.6):
        slab(canvas, (x, y - up * height), (width / 9 + 1, 0.07 * height), pane(canvas))
    if roof is None:
        battlements(canvas, (x, top), head, lit(light, colour, 0.5))
        peak = top
    else:
        peak = top - width * rng.uniform(0.9, 1.7)
        edge, half = x + 0.1 * head, 0.55 * head
        fill(canvas, [(x, peak), (x - half, top), (edge, top)], lit(light, roof, 0.8))
        fill(canvas, [(x, peak), (edge, top), (x + half, top)], lit(light, roof, 0.1))
    if rng.random() < 0.4:
        cloth = lit(light, tint(rng, (0, 1), (0.7, 1), (0.6, 1)))
        stroke(canvas, [(x, peak), (x, peak - 16)], lit(light, 0.2 * colour))
        fill(canvas, [(x, peak - 16), (x + 9, peak - 13), (x, peak - 10)], cloth)


def skyscraper(canvas: Canvas) -> None:
    """Draw towers of glass and concrete seen from the street."""
    rng, light = canvas.rng, canvas.light
    look(canvas, (1.7, 8), (0.1, 0.6), (150, 230))
    sky(canvas)
    asphalt = tint(rng, (0, 1), (0, 0.1), (0.25, 0.6))
    ground(canvas, grain(rng, asphalt, (16, 16), 0.08, octaves=4), 0.1)
    main = rng.uniform(60, 110)
    low = rng.uniform((main + 20, -0.9, 8), (main + 110, 0.8, 25), (7, 3))
    high = rng.uniform((90, -0.7, 25), (260, 0.7, 110), (int(rng.integers(2, 9)), 3))
    landmark = (main, rng.uniform(-0.3, 0.1), main * rng.uniform(0.9, 1.6))
    for z, aside, height in sorted([landmark, *map(tuple, low), *map(tuple, high)], reverse=True):
        x, width, front = aside * z, rng.uniform(20, 38), facade(canvas)
        side = front if rng.random() < 0.6 else facade(canvas)
        box(canvas, (x, 0, z), (width, height, width), front, side=side)
        if height > 25 and rng.random() < 0.5:
            inset, step = width * rng.uniform(0.1, 0.3), height * rng.uniform(0.1, 0.4)
            size = (width - 2 * inset, step, width - 2 * inset)
            box(canvas, (x + inset, height, z + inset), size, front, side=side)
            height += step
        if height > 25 and rng.random() < 0.4:
            ends = [(x + width / 2, up * height, z + width / 2) for up in (1, 1.25)]
            mast = [place(canvas.camera, *end)[:2] for end in ends]
            stroke(canvas, mast, lit(light, WHITE * 0.5, 0.2, z), 2)
    scatter(canvas, 12, 45, 5)


def facade(canvas: Canvas) -> Array:
    """Return a texture of windows: a grid, bands or pillars, some lit at night."""
    rng, light = canvas.rng, canvas.light
    frame = pick(rng, [stone(canvas), tint(rng, (0, 1), (0, 0.4), (0.15, 0.95))])
    tinted = tint(rng, (0.4, 0.65), (0.1, 0.6), (0.2, 0.8))
    glass = pick(rng, [0.8 * light.low, light.high, 0.25 * frame, tinted])
    rows, columns = int(rng.integers(14, 40)), int(rng.integers(6, 14))
    panes = [glass, 0.85 * glass, 1.1 * glass]
    if light.is_dark:
        panes = [0.3 * glass, 0.4 * glass, glow(light, LAMP * rng.uniform(0.7, 1))]
    joint_px, windows = 1 + int(rng.integers(0, 3)), mixed(rng, panes, rows, columns)
    texture = tiling(rng, windows, (6, 6), frame, joint_px=joint_px, amount=0.12)
    style = rng.integers(3)
    if style == 0:
        texture[:, ::6] = texture[:, 3::6]
    elif style == 1:
        texture[::6] = texture[3::6]
    return texture
