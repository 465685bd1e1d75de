"""Draw what indoor scenes share: floors, walls, lamps, windows, pictures, plants, people.

Every category gets its room from here, so that the room tells nothing about it.
"""

from typing import NamedTuple

import numpy as np

from places.synthetic.scenes.canvas import box, dot, face, stroke
from places.synthetic.scenes.landscape import WHITE, person
from places.synthetic.scenes.textures import (
    Array,
    Range,
    checks,
    grain,
    mixed,
    pick,
    plain,
    tiling,
    tint,
)
from places.synthetic.scenes.view import Camera, Canvas, Vector, glow, lit, place


class Room(NamedTuple):
    """The walls of a room as seen from x = z = 0, in metres."""

    left: float
    right: float
    height: float
    depth: float


def paint(canvas: Canvas) -> Array:
    """Return a colour of walls and furniture."""
    pale, strong = ((0, 1), (0, 0.15), (0.5, 0.95)), ((0, 1), (0.1, 0.6), (0.3, 0.9))
    return tint(canvas.rng, *pick(canvas.rng, [pale, strong]))


def wood(canvas: Canvas) -> Array:
    """Return a colour of wood, bare or painted."""
    bare = tint(canvas.rng, (0.02, 0.12), (0.2, 0.65), (0.25, 0.85))
    return pick(canvas.rng, [bare, paint(canvas)])


def floor_texture(canvas: Canvas) -> Array:
    """Return planks, tiles, checks or carpet."""
    rng, colour = canvas.rng, wood(canvas)
    kind = rng.integers(4)
    if kind == 0:
        planks = plain(colour, 48, 6)
        return tiling(rng, planks, (4, 32), 0.7 * colour, is_brick=True, amount=0.1)
    if kind == 1:
        return tiling(rng, plain(colour, 16, 16), (10, 10), 0.75 * colour, amount=0.04)
    if kind == 2:
        return tiling(rng, checks([colour, paint(canvas)], 16, 16), (10, 10), 0.8 * colour)
    return grain(rng, colour, (6, 6), 0.08)


def wall_texture(canvas: Canvas) -> Array:
    """Return wallpaper, bricks, tiles or plaster."""
    rng, colour = canvas.rng, paint(canvas)
    kind = rng.integers(5)
    if kind == 0:
        return tiling(rng, checks([colour, 0.88 * colour], 1, 24), (96, 8), colour, amount=0)
    if kind == 1:
        bricks = plain(colour, 20, 12)
        return tiling(rng, bricks, (8, 16), 0.85 * colour, is_brick=True, amount=0.05)
    if kind == 2:
        return tiling(rng, plain(colour, 14, 18), (9, 9), 0.85 * colour, amount=0.02)
    return grain(rng, colour, (40, 40), 0.05)


def room(canvas: Canvas, width_m: Range, depth_m: Range) -> Room:
    """Stand in a room of a size within ranges, and draw its floor, ceiling and walls."""
    rng = canvas.rng
    wide, height, aside = rng.uniform(*width_m), rng.uniform(2.4, 3.3), rng.uniform(0.3, 0.7)
    here = Room(-wide * aside, wide * (1 - aside), height, rng.uniform(*depth_m))
    focal, pitch = rng.uniform(150, 230), rng.uniform(-0.2, 0.05)
    canvas.camera = Camera(rng.uniform(1.2, 1.9), focal, rng.normal(0, 0.16), pitch)
    walls, long = wall_texture(canvas), here.depth + 2
    ceiling = tint(rng, (0, 0.2), (0, 0.15), (0.6, 1))
    across, down, away = (wide, 0, 0), (0, -height, 0), (0, 0, long)
    face(canvas, (here.left, 0, here.depth), across, (0, 0, -long), floor_texture(canvas), 0.8)
    face(canvas, (here.left, height, -2), across, away, ceiling, 0.5)
    face(canvas, (here.left, height, here.depth), across, down, walls, 0.7)
    face(canvas, (here.left, height, -2), away, down, walls, 0.3)
    face(canvas, (here.right, height, here.depth), (0, 0, -long), down, walls, 1.0)
    return here


def lamps(canvas: Canvas, here: Room) -> None:
    """Draw lamps in the ceiling or hanging from it."""
    rng, light = canvas.rng, canvas.light
    shine, size = glow(light, tint(rng, (0.08, 0.17), (0, 0.3), (0.95, 1))), rng.uniform(0.15, 0.5)
    middle, is_hanging = (here.left + here.right) / 2, rng.random() < 0.35
    for z in np.arange(here.depth - 1, 1.2, -rng.uniform(1.5, 3)):
        if is_hanging:
            column, row, scale = place(canvas.camera, middle, here.height - 0.5, z)
            above = place(canvas.camera, middle, here.height, z)
            stroke(canvas, [(column, row), above[:2]], lit(light, WHITE * 0.2))
            dot(canvas, (column, row), (0.1 + 0.25 * size) * scale, lit(light, shine))
        else:
            corner = (middle - size, here.height - 0.01, z)
            face(canvas, corner, (2 * size, 0, 0), (0, 0, size), shine)


def window(canvas: Canvas, corner: Vector, across: Vector, height: float) -> None:
    """Draw a window onto the sky from its upper left corner, at times with curtains."""
    rng, light = canvas.rng, canvas.light
    frame, bars = pick(rng, [WHITE, paint(canvas)]), int(rng.integers(2, 5))
    down = np.linspace(0, 1, 24, dtype=np.float32)[:, None, None]
    view = np.tile(light.high + down * (light.low - light.high), (1, 24, 1)) / light.sun
    view[-int(rng.integers(2, 10)) :] = tint(rng, (0, 0.4), (0.1, 0.6), (0.2, 0.7))
    view[[0, 1, 11, 22, 23]] = frame
    view[:, [0, 1, 22, 23, *range(0, 24, 24 // bars)]] = frame
    face(canvas, corner, across, (0, -height, 0), view)
    if rng.random() < 0.5:
        cloth = paint(canvas)
        folds = tiling(rng, checks([cloth, 0.8 * cloth], 1, 6), (12, 3), cloth)
        start, along = np.add(corner, (0, 0.1, 0)), np.array(across)
        for left in (-0.15, 0.85):
            face(canvas, start + left * along, 0.3 * along, (0, -1.15 * height, 0), folds, 0.8)


def picture(canvas: Canvas, corner: Vector, across: Vector, height: float) -> None:
    """Draw a framed picture from its upper left corner."""
    colours = mixed(canvas.rng, [paint(canvas) for _ in range(4)], 4, 4)
    image = tiling(canvas.rng, colours, (5, 5), WHITE, joint_px=0)
    edges = [0, 1, 18, 19]
    image[edges], image[:, edges] = WHITE, wood(canvas)
    face(canvas, corner, across, (0, -height, 0), image)


def decorate(canvas: Canvas, here: Room) -> None:
    """Hang windows and pictures on the walls."""
    rng = canvas.rng
    top = here.height * rng.uniform(0.75, 0.92)
    for _ in range(2):
        hang, size = pick(rng, [window, picture]), rng.uniform(0.5, 1.6)
        height, z = size * rng.uniform(0.7, 1.1), rng.uniform(1.2, here.depth - size)
        x = rng.uniform(here.left, here.right - size)
        places: list[tuple[Vector, Vector]] = [
            ((x, top, here.depth - 0.01), (size, 0, 0)),
            ((here.left + 0.01, top, z), (0, 0, size)),
            ((here.right - 0.01, top, z + size), (0, 0, -size)),
        ]
        hang(canvas, *pick(rng, places), height)


def clutter(canvas: Canvas, here: Room, most: int = 2) -> None:
    """Put plants, boxes and people on the floor; at most so many."""
    rng = canvas.rng
    for z in np.sort(rng.uniform(2.2, max(2.5, 0.8 * here.depth), int(rng.integers(0, most + 1))))[
        ::-1
    ]:
        x, kind = rng.uniform(0.85 * here.left, 0.7 * here.right), rng.integers(3)
        if kind == 0:
            plant(canvas, x, z)
        elif kind == 1:
            box(canvas, (x, 0, z), rng.uniform(0.3, 0.7, 3), wood(canvas))
        else:
            person(canvas, x, z)


def plant(canvas: Canvas, x: float, z: float) -> None:
    """Draw a plant with long leaves in a pot."""
    rng = canvas.rng
    box(canvas, (x, 0, z), (0.35, 0.4, 0.35), paint(canvas))
    leaf = tint(rng, (0.2, 0.42), (0.3, 0.7), (0.2, 0.6))
    for lean in rng.normal(0, 0.3, 9):
        points = [(x + 0.17 + up * lean, 0.4 + (0.8 - abs(lean) * up) * up) for up in (0, 0.5, 1)]
        ends = [place(canvas.camera, *point, z + 0.17) for point in points]
        colour = lit(canvas.light, leaf * rng.uniform(0.7, 1.1))
        stroke(canvas, [end[:2] for end in ends], colour, 0.06 * ends[0][2])
