"""Draw the scenes by the sea, one function for each category."""

import numpy as np

from places.synthetic.scenes.canvas import blend, fill, slab, stencil, sticker, stroke
from places.synthetic.scenes.landscape import (
    LAMP,
    WHITE,
    ground,
    hills,
    leaves,
    look,
    meadow,
    on_ground,
    pane,
    person,
    roundness,
    scatter,
    sky,
    stone,
    water,
)
from places.synthetic.scenes.textures import Array, grain, noise, pick, relief, tint
from places.synthetic.scenes.view import (
    COLUMNS,
    ROWS,
    SIZE,
    Canvas,
    Pixel,
    glow,
    lit,
    place,
    project,
    relit,
)

DOME = np.array([(-1.15, 0), (-0.7, 0.7), (0, 1), (0.7, 0.7), (1.15, 0)])


def beach(canvas: Canvas) -> None:
    """Draw sand, foam and the sea; at times parasols, palms, people and boats."""
    rng, camera_range = canvas.rng, (1.6, 7)
    look(canvas, camera_range, (-0.22, 0.0))
    sky(canvas)
    hills(canvas)
    ground(canvas, water(canvas), 0.25)
    for x in rng.uniform(-60, 60, int(rng.integers(0, 4))):
        column, row, scale = place(canvas.camera, x, 0, 110)
        tall = scale * rng.uniform(6, 12)
        sail = [(column, row - tall), (column, row), (column + tall / 2, row)]
        fill(canvas, sail, lit(canvas.light, WHITE, 0.8, 60))
    x = np.linspace(-9, 9, 161)
    x *= np.abs(x)
    slope, start = rng.uniform(-1.6, 1.6), rng.uniform(5, 16)
    shore = start + slope * x + _wobble(rng, x, 2)
    breadth = float(np.hypot(1, slope))
    for offset in (13, 8, 4.5, 2.2):
        swell = shore + breadth * offset * rng.uniform(0.8, 1.2)
        swell += _wobble(rng, x, 0.15 * offset)
        wide = np.maximum(_wobble(rng, x, 1) + 0.6, 0) * 0.3 * offset**0.5
        crest = _between(x, swell, swell + breadth * wide)
        fill(canvas, project(canvas.camera, crest), lit(canvas.light, WHITE, 0.7, 10))
    _sand(canvas, x, shore, breadth)
    spots = zip(rng.uniform(4, 40, 12), rng.uniform(-0.6, 0.6, 12), strict=True)
    leaf, draw_more = leaves(canvas), int(rng.integers(2, 13))
    for z, side in sorted(list(spots)[:draw_more], reverse=True):
        if z < start + slope * side * z - 2:
            kind = rng.integers(4)
            if kind <= 1:
                parasol(canvas, side * z, z)
            elif kind == 2 and z > 9:
                palm(canvas, side * z, z, leaf)
            else:
                person(canvas, side * z, z)


def _sand(canvas: Canvas, x: Array, shore: Array, breadth: float) -> None:
    """Draw the land before the line of the shore z(x): wet sand, foam, dry sand."""
    rng, far = canvas.rng, np.full_like(x, -500)
    colour = tint(rng, (0.06, 0.15), (0.08, 0.45), (0.55, 0.95))
    sand = on_ground(canvas, grain(rng, colour, (24, 24), 0.07, octaves=5), 0.05)
    wet = _between(x, far, shore + breadth)
    stencil(canvas, project(canvas.camera, wet), (0.72 * sand).astype(np.uint8))
    run = _wobble(rng, x, 0.5)
    foam = _between(x, shore - breadth * rng.uniform(0.3, 0.8) + run, shore + breadth * 0.4)
    fill(canvas, project(canvas.camera, foam), lit(canvas.light, WHITE, 0.9, 5))
    stencil(canvas, project(canvas.camera, _between(x, far, shore - breadth * 2 + run)), sand)


def _wobble(rng: np.random.Generator, x: Array, size: float) -> Array:
    """Return a smooth random line over x, about as high and low as the size."""
    lengths, phases = rng.uniform((1.5, 3, 8), (3, 8, 20)), rng.uniform(0, 2 * np.pi, 3)
    return size * np.sin(x[:, None] / lengths + phases) @ (0.2, 0.4, 0.8)


def _between(x: Array, near: Array, far: Array) -> Array:
    """Return the polygon on the ground between two lines z(x)."""
    lower, upper = np.stack([x, 0 * x, near], 1), np.stack([x, 0 * x, far], 1)
    return np.concatenate([lower, upper[::-1]])


def parasol(canvas: Canvas, x: float, z: float) -> None:
    """Draw a striped parasol and a towel."""
    rng, light = canvas.rng, canvas.light
    column, row, scale = place(canvas.camera, x, 0, z)
    bright = tint(rng, (0, 1), (0.6, 1), (0.6, 1))
    towel = [(x + 1, 0, z), (x + 3, 0, z), (x + 3, 0, z + 1), (x + 1, 0, z + 1)]
    fill(canvas, project(canvas.camera, towel), lit(light, bright, 0.9, z))
    pole = [(column, row), (column, row - 2.3 * scale)]
    stroke(canvas, pole, lit(light, WHITE, 0.4, z), scale / 12)
    turns, low = np.linspace(np.pi, 2 * np.pi, 7), row - 1.75 * scale
    rim_x, rim_y = column + 1.5 * scale * np.cos(turns), low + 0.7 * scale * np.sin(turns)
    for index in range(6):
        colour = lit(light, bright if index % 2 else WHITE, 1 - index / 6, z)
        left, right = rim_x[index : index + 2]
        outline = [(left, low), (left, rim_y[index]), (right, rim_y[index + 1]), (right, low)]
        fill(canvas, outline, colour)


def palm(canvas: Canvas, x: float, z: float, leaf: Array) -> None:
    """Draw a palm tree, bent by the wind."""
    rng, light = canvas.rng, canvas.light
    column, row, scale = place(canvas.camera, x, 0, z)
    tall, bend, up = scale * rng.uniform(5, 9), rng.uniform(-0.3, 0.3), np.linspace(0, 1, 8)
    trunk = np.stack([column + bend * tall * up**2, row - tall * up], 1)
    bark = tint(rng, (0.06, 0.1), (0.2, 0.4), (0.3, 0.5))
    stroke(canvas, trunk, lit(light, bark, 0.5, z), scale / 4)
    along = np.linspace(0, 1, 6)
    for turn in np.linspace(-0.5, np.pi + 0.5, 9) + rng.normal(0, 0.1, 9):
        leaf_x = trunk[-1, 0] + 0.4 * tall * along * np.cos(turn)
        leaf_y = trunk[-1, 1] - 0.25 * tall * (along * np.sin(turn) - 0.9 * along**2)
        colour = lit(light, leaf * rng.uniform(0.7, 1.1), rng.uniform(0, 1), z)
        stroke(canvas, np.stack([leaf_x, leaf_y], 1), colour, scale / 4)


def lighthouse(canvas: Canvas) -> None:
    """Draw a striped tower with a lantern, on rocks by the sea."""
    rng, light = canvas.rng, canvas.light
    look(canvas, (2, 12), (-0.05, 0.16))
    sky(canvas)
    hills(canvas)
    ground(canvas, water(canvas), 0.25)
    column, row, scale = place(canvas.camera, rng.uniform(-8, 8), 0, rng.uniform(26, 50))
    row += rng.uniform(-2, 14)
    tall, half = scale * rng.uniform(14, 22), scale * rng.uniform(1.3, 2.2)
    land = noise(rng, (1, SIZE), (1, 40), 5) * 5 + row - rng.uniform(-4, 6)
    land += np.abs(COLUMNS - column) * rng.uniform(-0.02, 0.22)
    colour = pick(rng, [0.7 * stone(canvas), meadow(canvas).mean((0, 1))])
    rocks = relief(noise(rng, (SIZE, SIZE), (26, 26), 5), 0.8)
    blend(canvas, relit(light, colour, rocks, 20), ROWS - land)
    if rng.random() < 0.6:
        aside = rng.choice((-1, 1)) * half * rng.uniform(2.5, 4)
        cottage(canvas, (column + aside, row + 2), 2.5 * scale)
    bands, paint = int(rng.integers(1, 8)), tint(rng, (0, 1), (0.3, 1), (0.15, 0.8))
    up, around = np.linspace(0, bands, 60)[:, None], np.linspace(0, 1, 30)[None, :]
    stripes = (np.floor(up + rng.choice((0, 0, 1.5)) * around) % 2)[..., None].astype(np.float32)
    shaft = stripes * paint + (1 - stripes) * pick(rng, [WHITE, WHITE, stone(canvas)])
    top, narrow = row - tall, 0.6 * half
    corners = [
        (column - narrow, top),
        (column + narrow, top),
        (column + half, row),
        (column - half, row),
    ]
    sticker(canvas, corners, lit(light, shaft, roundness(30), 20))
    for level in (0.3, 0.6):
        slab(canvas, (column, row - level * tall), (half / 4, half / 2.5), pane(canvas))
    lantern(canvas, (column, top), half, lit(light, 0.4 * paint, 0.3))
    scatter(canvas, 8, 25, 2)


def lantern(canvas: Canvas, foot: Pixel, half: float, dark: Array) -> None:
    """Draw the gallery, the lamp room, its dome and at night the beam."""
    rng, light, (x, y) = canvas.rng, canvas.light, foot
    slab(canvas, (x, y + 0.25 * half), (2 * half, 0.25 * half), dark)
    for rail in np.linspace(-1, 1, 7):
        stroke(canvas, [(x + rail * half, y), (x + rail * half, y - 0.5 * half)], dark)
    stroke(canvas, [(x - half, y - 0.5 * half), (x + half, y - 0.5 * half)], dark)
    if light.is_dark:
        end, spread = x + rng.choice((-1, 1)) * 300, rng.uniform(20, 50)
        ends = [(x, y - half), (end, y - half - spread), (end, y - half + spread)]
        haze = canvas.pixels // 2 + 110
        stencil(canvas, ends, haze)
    shine = lit(light, glow(light, LAMP)) if light.is_dark else 0.8 * light.low
    slab(canvas, (x, y), (half, 1.3 * half), shine)
    for bar in (-0.5, -0.17, 0.17, 0.5):
        stroke(canvas, [(x + bar * half, y), (x + bar * half, y - 1.3 * half)], dark)
    fill(canvas, (x, y - 1.3 * half) + DOME * (0.6 * half, -0.9 * half), dark)


def cottage(canvas: Canvas, foot: Pixel, size: float) -> None:
    """Draw a small house; the foot is the middle of its base in pixels."""
    rng, light, (x, y) = canvas.rng, canvas.light, foot
    body, roof = (lit(light, tint(rng, (0, 1), (0.05, 0.6), (0.3, 0.95)), f) for f in (0.7, 0.9))
    half, tall = size * rng.uniform(0.9, 1.4), size * 0.8
    slab(canvas, (x, y), (2 * half, tall), body)
    outline = [(-1.1, 1), (-0.7, 1.7), (0.7, 1.7), (1.1, 1)]
    fill(canvas, [(x + dx * half, y - dy * tall) for dx, dy in outline], roof)
    for spot in (-0.6, 0.0, 0.6):
        slab(canvas, (x + spot * half, y - 0.3 * tall), (0.24 * half, 0.4 * tall), pane(canvas))
