"""Draw the scenes of open land, one function for each category."""

from itertools import pairwise

import cv2
import numpy as np

from places.synthetic.scenes.canvas import blend, dot, face, fill, stencil, stroke
from places.synthetic.scenes.landscape import (
    WHITE,
    fir,
    ground,
    hills,
    leaves,
    look,
    meadow,
    mound,
    on_ground,
    person,
    round_tree,
    scatter,
    sky,
    stone,
    water,
)
from places.synthetic.scenes.textures import (
    Array,
    checks,
    grain,
    mixed,
    noise,
    pick,
    relief,
    tiling,
    tint,
)
from places.synthetic.scenes.view import (
    COLUMNS,
    ROWS,
    SIZE,
    Canvas,
    glow,
    lit,
    place,
    project,
    relit,
)

UP = np.array((0.0, 1, 0))


def baseball_field(canvas: Canvas) -> None:
    """Draw the infield with its bases, mown grass, fence, stands, lamps and players."""
    rng = canvas.rng
    look(canvas, (3, 22), (-0.22, -0.06), (150, 260))
    sky(canvas)
    hills(canvas)
    grass = tint(rng, (0.2, 0.38), (0.3, 0.7), (0.3, 0.7))
    stripes = tiling(rng, checks([grass, 0.8 * grass], 1, 16), (128, 8), grass, joint_px=0)
    ground(canvas, cv2.blur(stripes, (3, 3)), rng.uniform(0.4, 0.8))
    home = rng.uniform(8, 24)
    _stands(canvas, home)
    _infield(canvas, home, on_ground(canvas, stripes, rng.uniform(0.4, 0.8)))
    chalk = lit(canvas.light, WHITE, 1, 20)
    for side in (-1, 1):
        line = [(0, 0), (side * 70, 70), (side * 70.5, 70), (side * 0.4, 0)]
        fill(canvas, project(canvas.camera, [(x, 0, home + z) for x, z in line]), chalk)
    for x, z in ((0, 0), (19, 19), (0, 38), (-19, 19), (0, 18)):
        base = [(x - 0.5, z), (x, z + 0.5), (x + 0.5, z), (x, z - 0.5)]
        fill(canvas, project(canvas.camera, [(x, 0, home + z) for x, z in base]), chalk)
    players = zip(home + rng.uniform(-2, 60, 8), rng.uniform(-22, 22, 8), strict=True)
    for z, x in sorted(list(players)[: int(rng.integers(0, 9))], reverse=True):
        person(canvas, x, z)


def _infield(canvas: Canvas, home: float, lawn: Array) -> None:
    """Draw the dirt with the grass inside it; `home` is how far away home plate is."""
    rng, turns = canvas.rng, np.linspace(0, 2 * np.pi, 40)
    brown = tint(rng, (0.02, 0.11), (0.25, 0.6), (0.4, 0.8))
    dirt = on_ground(canvas, grain(rng, brown, (20, 20), 0.07, octaves=4), 0.1)

    def disc(centre: float, radius: float) -> Array:
        edge = np.stack([np.sin(turns), 0 * turns, np.cos(turns)], 1)
        return project(canvas.camera, radius * edge + (0, 0, home + centre))

    def diamond(half: float) -> Array:
        corners = [(0, -half), (half, 0), (0, half), (-half, 0)]
        return project(canvas.camera, [(x, 0, home + 19 + z) for x, z in corners])

    stencil(canvas, disc(18, 29), dirt)
    behind = [(-45, 10), (0, -4), (45, 10), (45, -40), (-45, -40)]
    stencil(canvas, project(canvas.camera, [(x, 0, home + z) for x, z in behind]), lawn)
    stencil(canvas, diamond(19.5), dirt)
    stencil(canvas, diamond(17), lawn)
    for centre, radius in ((0, 4), (18, 2.7)):
        stencil(canvas, disc(centre, radius), dirt)


def _stands(canvas: Canvas, home: float) -> None:
    """Draw the fence around the outfield, at times with the crowd and lamp posts behind it."""
    rng, light = canvas.rng, canvas.light
    shirts = [tint(rng, (0, 1), (0, 0.8), (0.2, 1)) for _ in range(5)]
    paint, turns = tint(rng, (0, 1), (0.2, 0.8), (0.15, 0.6)), np.linspace(-1.1, 1.1, 9)
    crowd = tiling(rng, mixed(rng, shirts, 14, 60), (3, 3), 0.5 * paint, amount=0.2)
    posts = np.stack([95 * np.sin(turns), 0 * turns, home + 95 * np.cos(turns)], 1)
    has_stands = rng.random() < 0.5
    for start, end in pairwise(posts):
        along = end - start
        if has_stands:
            face(canvas, 1.15 * start + 15 * UP, 1.15 * along, -13 * UP, crowd, 0.6)
        face(canvas, start + 3 * UP, along, -3 * UP, paint, 0.5)
    lamp = lit(light, glow(light, WHITE) if light.is_dark else 0.8 * WHITE)
    for post in posts[1:-1:2]:
        if rng.random() < 0.6:
            column, row, scale = place(canvas.camera, post[0], 0, post[2] + 4)
            mast = [(column, row), (column, row - 26 * scale)]
            stroke(canvas, mast, lit(light, WHITE * 0.5, 0.3, 90))
            for spot in np.linspace(-3, 3, 4):
                dot(canvas, (column + spot * scale, row - 26 * scale), scale * 0.9, lamp)


def desert(canvas: Canvas) -> None:
    """Draw dunes with sharp crests, one side in the shade, and ripples in the sand."""
    rng, light = canvas.rng, canvas.light
    look(canvas, (2, 12), (-0.12, 0.1))
    sky(canvas)
    hills(canvas)
    colour = tint(rng, (0.03, 0.15), (0.1, 0.65), (0.5, 0.95))
    horizon = canvas.camera.horizon
    ground(canvas, grain(rng, colour, (24, 24), 0.07, octaves=5))
    for top in np.sort(rng.uniform(horizon - 15, 215, int(rng.integers(3, 6)))):
        near = (top - horizon + 20) / 130
        crest = noise(rng, (1, SIZE), (1, rng.uniform(90, 200)), 1) * -(6 + 26 * near) + top
        depth = ROWS - crest
        warp = noise(rng, (SIZE, SIZE), (50, 50), 2)
        phase = ROWS * rng.uniform(0.7, 1.1) + rng.uniform(-0.4, 0.4) * COLUMNS + 14 * near * warp
        ripples = np.sin(phase * (6 / (2 + 9 * near))) * np.clip(depth / 25, 0, 1)
        facing, haze_m = 0.7 + 0.28 * ripples + 0.1 * warp, 300 * max(0, 1 - near)
        blend(canvas, relit(light, colour, facing, haze_m), depth)
        shaded = relit(light, colour, 0.02 + 0.08 * ripples, haze_m)
        for peak in np.flatnonzero(np.diff(np.sign(np.diff(crest[0]))) > 0)[:3]:
            _lee(canvas, crest[0], int(peak) + 1, near, shaded)
    scatter(canvas, 8, 60, 2)


def _lee(canvas: Canvas, crest: Array, peak: int, near: float, shaded: Array) -> None:
    """Put the side of a dune to the right of a winding ridge below its top into the shade."""
    rng, down = canvas.rng, np.linspace(0, 1, 14)
    length = rng.uniform(60, 140) * (0.4 + near)
    sway = rng.uniform(-0.5, 0.2) * down + 0.15 * np.sin(5 * down + rng.uniform(0, 6)) * down
    ridge_x, ridge_y = peak + length * sway, crest[peak] + 0.9 * length * down**1.3
    slope = np.arange(peak, peak + int(length * rng.uniform(0.8, 1.6)), 3)
    slope_y = crest[np.minimum(slope, SIZE - 1)]
    # The foot of the shaded side is hollow, as wind leaves it.
    foot_x = ridge_x[-1] + (slope[-1] - ridge_x[-1]) * down
    foot_y = ridge_y[-1] + (slope_y[-1] - ridge_y[-1]) * down**0.45
    outlines = [(slope[::-1], slope_y[::-1]), (ridge_x, ridge_y), (foot_x, foot_y)]
    stencil(canvas, np.concatenate([np.stack(line, 1) for line in outlines]), shaded)


def forest_path(canvas: Canvas) -> None:
    """Draw a winding path between trunks, leaves above."""
    rng, light = canvas.rng, canvas.light
    look(canvas, (1.4, 2.2), (-0.1, 0.12))
    leaf = leaves(canvas)
    sky(canvas)
    wood = noise(rng, (SIZE, SIZE), (22, 16), 5)
    blend(canvas, relit(light, leaf, 0.5 + 0.5 * wood, 60), 0.9 + 0.5 * wood)
    floor = pick(rng, [leaf, 0.6 * leaf + 40, 0.6 * stone(canvas)])
    ground(canvas, grain(rng, floor, (8, 8), 0.25, octaves=4), 0.04)
    z = np.concatenate([np.linspace(0.5, 12, 20), np.linspace(14, 90, 20)])
    bend, phase, length = rng.uniform(0.3, 3), rng.uniform(0, 6), rng.uniform(5, 14)
    middle = bend * (np.sin(z / length + phase) - np.sin(phase)) + rng.normal(0, 0.5)
    width = rng.uniform(0.6, 1.6)
    edge = width * (1 + 0.12 * noise(rng, (2, 40), (2, 3), 2))
    left, right = (np.stack([middle + side, 0 * z, z], 1) for side in (-edge[0], edge[1]))
    soil = on_ground(canvas, grain(rng, stone(canvas), (12, 12), 0.12, octaves=4), 0.04)
    stencil(canvas, project(canvas.camera, np.concatenate([left, right[::-1]])), soil)
    bark = tint(rng, (0.02, 0.12), (0.05, 0.5), (0.2, 0.75))
    for far in np.sort(rng.uniform(3, 45, int(rng.integers(16, 40))))[::-1]:
        aside = rng.choice((-1, 1)) * (width + 0.4 + rng.exponential(0.25 * far + 1))
        x = float(np.interp(far, z, middle))
        stem(canvas, x + aside, far, bark)
        if rng.random() < 0.25:
            mound(canvas, x + 1.3 * aside, far, 1.5, leaf)
        elif rng.random() < 0.01:
            person(canvas, x, far)
    canopy = noise(rng, (SIZE, SIZE), (26, 26), 5) + 1.6 - ROWS / rng.uniform(20, 50)
    blend(canvas, relit(light, leaf, relief(canopy, 0.5), 5), 2.5 * canopy)


def stem(canvas: Canvas, x: float, z: float, bark: Array) -> None:
    """Draw a tree taller than the picture: its trunk and a branch."""
    rng, light = canvas.rng, canvas.light
    column, row, scale = place(canvas.camera, x, 0, z)
    half, lean, top = scale * rng.uniform(0.1, 0.28), rng.normal(0, 6), row - 14 * scale
    for start, end, facing in ((-1, 0.1, 0.9), (-0.2, 0.45, 0.4), (0.3, 1, 0.0)):
        upper = [(column + lean + 0.7 * half * side, top) for side in (end, start)]
        lower = [(column + half * side, row) for side in (start, end)]
        fill(canvas, [*upper, *lower], lit(light, bark, facing, z))
    y = row - scale * rng.uniform(2.5, 5)
    tip = (column + rng.choice((-1, 1)) * scale * 1.5, y - scale)
    stroke(canvas, [(column, y), tip], lit(light, bark, 0.3, z), half * 0.5)


def mountain(canvas: Canvas) -> None:
    """Draw craggy ranges one behind the other, some with snow, and land or a lake before them."""
    rng, light = canvas.rng, canvas.light
    look(canvas, (2, 25), (-0.02, 0.22))
    sky(canvas)
    base, snow_line, rock = canvas.camera.horizon, rng.uniform(-30, 90), 0.8 * stone(canvas)
    for level in range(int(rng.integers(1, 4)), 0, -1):
        folds = np.abs(noise(rng, (1, SIZE), (1, rng.uniform(60, 120)), 6))
        crest = base - 18 - level * rng.uniform(14, 30) - (1.2 - folds) * rng.uniform(25, 45)
        rough = noise(rng, (SIZE, SIZE), (45, 30), 5)
        facing = relief(rough, 0.75)
        is_snow = (base - ROWS + 14 * rough > snow_line) & (0.6 * rough + facing > 0.2)
        weight = ROWS - crest
        blend(canvas, relit(light, rock, facing, 120.0 * level), weight)
        blend(canvas, relit(light, WHITE, facing, 120.0 * level), np.minimum(weight, is_snow))
    if rng.random() < 0.4:
        ground(canvas, water(canvas), 0.3)
        return
    ground(canvas, meadow(canvas), 0.2)
    leaf, draw = leaves(canvas), pick(rng, [fir, fir, round_tree])
    for z in np.sort(rng.uniform(30, 160, int(rng.integers(0, 30))))[::-1]:
        draw(canvas, rng.uniform(-0.6, 0.6) * z, z, rng.uniform(4, 9), leaf)
    scatter(canvas, 8, 40, 3)
