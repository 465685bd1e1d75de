"""Draw the indoor scenes, one function for each category."""

import numpy as np

from places.synthetic.scenes.canvas import box, dot, face, fill, stroke
from places.synthetic.scenes.landscape import WHITE, person
from places.synthetic.scenes.rooms import (
    Room,
    clutter,
    decorate,
    lamps,
    paint,
    picture,
    room,
    window,
    wood,
)
from places.synthetic.scenes.textures import Array, checks, grain, pick, plain, tiling, tint
from places.synthetic.scenes.view import Canvas, glow, lit, place

LAMPSHADE = np.array((255, 225, 165), np.float32)


def bedroom(canvas: Canvas) -> None:
    """Draw a bed with headboard, pillows and blanket, bedside tables and lamps."""
    rng = canvas.rng
    here = room(canvas, (3.4, 4.8), (3.2, 4.2))
    decorate(canvas, here)
    wide, long, high = rng.uniform(1.2, 2.0), rng.uniform(1.9, 2.2), rng.uniform(0.4, 0.65)
    x, z = rng.uniform(here.left + 0.6, here.right - wide - 0.6), here.depth - long - 0.1
    frame, sheet = wood(canvas), pick(rng, [WHITE, paint(canvas)])
    for side in (x - 0.55, x + wide + 0.1):
        _bedside_table(canvas, side, here.depth, frame)
    headboard = (wide + 0.1, rng.uniform(0.9, 1.4), 0.1)
    box(canvas, (x - 0.05, 0, here.depth - 0.1), headboard, frame)
    box(canvas, (x, 0, z), (wide, 0.25, long), frame)
    box(canvas, (x, 0.25, z), (wide, high - 0.25, long), sheet)
    low, cover = rng.uniform(0.1, 0.25), long * rng.uniform(0.55, 0.75)
    size = (wide + 0.06, high + 0.02 - low, cover)
    box(canvas, (x - 0.03, low, z - 0.03), size, blanket(canvas))
    count = 2 if wide > 1.45 else 1
    for index in range(count):
        corner = (x + wide * (index + 0.1) / count, high, here.depth - 0.6)
        box(canvas, corner, (0.8 * wide / count, 0.16, 0.4), pick(rng, [WHITE, sheet]))
    if rng.random() < 0.4:
        doors = cupboards(canvas, 1, 2, wood(canvas))
        box(canvas, (here.right - 0.7, 0, here.depth - 2.6), (0.7, 2.1, 1.4), doors)
    if rng.random() < 0.4:
        lamps(canvas, here)
    clutter(canvas, here, 1)


def _bedside_table(canvas: Canvas, x: float, depth: float, colour: Array) -> None:
    """Draw a small table at the back wall, at times with a lamp."""
    rng, light = canvas.rng, canvas.light
    box(canvas, (x, 0, depth - 0.45), (0.45, 0.55, 0.4), colour)
    if rng.random() < 0.7:
        column, row, scale = place(canvas.camera, x + 0.22, 0.55, depth - 0.25)
        foot = [(column, row), (column, row - 0.3 * scale)]
        stroke(canvas, foot, lit(light, 0.6 * colour), 2)
        shade = [(-0.1, 0.5), (0.1, 0.5), (0.17, 0.25), (-0.17, 0.25)]
        outline = [(column + dx * scale, row - dy * scale) for dx, dy in shade]
        fill(canvas, outline, lit(light, glow(light, LAMPSHADE)))


def blanket(canvas: Canvas) -> Array:
    """Return a texture of cloth: plain, striped or checked."""
    rng, colours = canvas.rng, [paint(canvas), paint(canvas)]
    kind = rng.integers(3)
    if kind == 0:
        return grain(rng, colours[0], (20, 20), 0.08)
    if kind == 1:
        return tiling(rng, checks(colours, 1, 12), (64, 6), WHITE, joint_px=0)
    return tiling(rng, checks(colours, 10, 10), (8, 8), WHITE)


def cupboards(canvas: Canvas, rows: int, columns: int, colour: Array) -> Array:
    """Return a texture of cupboard doors with handles."""
    doors = tiling(canvas.rng, plain(colour, rows, columns), (32, 24), 0.45 * colour, amount=0.02)
    grid = doors.reshape(rows, 32, columns, 24, 3)
    grid[:, 5:28, :, 5:20] *= 0.93
    grid[:, 5, :, 5:20] = 0.7 * colour
    grid[:, 5:28, :, 5] = 0.7 * colour
    grid[:, 12:19, :, 2:4] = pick(canvas.rng, [0.25 * colour, 0.8 * WHITE])
    return doors


def kitchen(canvas: Canvas) -> None:
    """Draw cupboards above and below a counter, a stove with its hood, a fridge, an island."""
    rng = canvas.rng
    here = room(canvas, (3, 4.6), (3, 4.2))
    decorate(canvas, here)
    colour, counter = wood(canvas), 0.9 * paint(canvas)
    _cupboard_rows(canvas, here, colour, counter)
    _appliances(canvas, here, tint(rng, (0, 1), (0, 0.1), (0.3, 0.9)))
    for x in rng.uniform(here.left + 0.5, here.right - 0.5, int(rng.integers(2, 8))):
        size = rng.uniform(0.08, 0.25)
        box(canvas, (x, 0.93, here.depth - 0.4), (0.7 * size, size, 0.15), paint(canvas))
    if rng.random() < 0.5 and here.depth > 3.6:
        length = rng.uniform(1, 1.8)
        x = rng.uniform(-0.9, 0.9) - length / 2
        doors = cupboards(canvas, 1, 3, colour)
        box(canvas, (x, 0, 1.9), (length, 0.86, 0.7), doors, side=colour)
        box(canvas, (x - 0.05, 0.86, 1.85), (length + 0.1, 0.05, 0.8), counter)
    lamps(canvas, here)
    clutter(canvas, here, 1)


def _cupboard_rows(canvas: Canvas, here: Room, colour: Array, counter: Array) -> None:
    """Draw cupboards and tiles along the back wall, and lower cupboards along the left one."""
    rng, front, wide = canvas.rng, here.depth - 0.62, here.right - here.left
    tiles = plain(paint(canvas), 6, 30)
    splash = tiling(rng, tiles, (8, 8), WHITE, is_brick=rng.random() < 0.5)
    face(canvas, (here.left, 1.5, here.depth - 0.01), (wide, 0, 0), (0, -0.6, 0), splash)
    count = max(3, round(wide / 0.6))
    lower, upper = (cupboards(canvas, 1, count, colour) for _ in range(2))
    box(canvas, (here.left, 0, front), (wide, 0.88, 0.6), lower, side=colour)
    size = (wide, rng.uniform(0.6, 0.85), 0.35)
    box(canvas, (here.left, 1.5, front + 0.27), size, upper, side=colour)
    long = rng.uniform(1, here.depth - 1.2)
    doors = cupboards(canvas, 1, max(2, round(long / 0.6)), colour)
    box(canvas, (here.left, 0, front - long), (0.6, 0.88, long), doors)
    box(canvas, (here.left, 0.88, front - long), (0.65, 0.05, long + 0.6), counter)
    box(canvas, (here.left, 0.88, front - 0.03), (wide, 0.05, 0.65), counter)


def _appliances(canvas: Canvas, here: Room, steel: Array) -> None:
    """Draw a stove with its hood, and at times a fridge."""
    rng, front, wide = canvas.rng, here.depth - 0.64, here.right - here.left
    x = here.left + wide * rng.uniform(0.3, 0.75)
    oven = np.tile(steel, (40, 40, 1))
    oven[14:32, 7:33], oven[9:11, 6:34], oven[3:6, 6:34:7] = 0.2 * steel, 0.5 * steel, 0.1 * steel
    box(canvas, (x, 0, front), (0.7, 0.94, 0.5), oven, side=steel, top=0.35 * steel)
    for dx, dz in ((0.2, 0.4), (0.5, 0.4), (0.2, 0.15), (0.5, 0.15)):
        column, row, scale = place(canvas.camera, x + dx, 0.94, front + dz)
        dot(canvas, (column, row), 0.05 * scale, lit(canvas.light, 0.1 * steel))
    hood = (0.7, here.height - 1.5, 0.4)
    box(canvas, (x, 1.5, front + 0.1), hood, steel)
    if rng.random() < 0.7:
        doors = cupboards(canvas, 2, 1, steel)
        box(canvas, (here.right - 0.75, 0, front - 0.05), (0.72, 1.85, 0.65), doors, side=steel)


def corridor(canvas: Canvas) -> None:
    """Draw a long passage with doors on both sides and lamps above."""
    rng = canvas.rng
    here = room(canvas, (1.7, 3.2), (12, 40))
    step, width, leaf = rng.uniform(2.2, 5), rng.uniform(0.85, 1.3), door(canvas)
    for z in np.arange(here.depth - width - rng.uniform(0, step), 0.2, -step):
        face(canvas, (here.left + 0.01, 2.1, z), (0, 0, width), (0, -2.1, 0), leaf, 0.35)
        face(canvas, (here.right - 0.01, 2.1, z + width), (0, 0, -width), (0, -2.1, 0), leaf, 1.0)
    middle, end = (here.left + here.right) / 2, here.depth - 0.05
    if rng.random() < 0.4:
        face(canvas, (middle - 0.6, 2.1, end), (1.2, 0, 0), (0, -2.1, 0), leaf, 0.7)
    else:
        pick(rng, [window, picture])(canvas, (middle - 0.7, 2.1, end), (1.4, 0, 0), 1.6)
    if rng.random() < 0.5:
        rail, up = wood(canvas), rng.choice((0.1, 0.9))
        for x in (here.left + 0.02, here.right - 0.02):
            face(canvas, (x, up + 0.1, -1), (0, 0, here.depth), (0, -0.12, 0), rail, 0.6)
    if rng.random() < 0.4:
        runner = tiling(rng, checks([paint(canvas), paint(canvas)], 20, 3), (4, 6), paint(canvas))
        half = rng.uniform(0.25, 0.4) * (here.right - here.left)
        corner = (middle - half, 0.01, here.depth)
        face(canvas, corner, (2 * half, 0, 0), (0, 0, -here.depth), runner)
    lamps(canvas, here)
    for z in np.sort(rng.uniform(3, 12, int(rng.integers(0, 3))))[::-1]:
        person(canvas, rng.uniform(0.6 * here.left, 0.6 * here.right), z)


def door(canvas: Canvas) -> Array:
    """Return a texture of a door in its frame, at times with a pane of glass."""
    rng, colour = canvas.rng, wood(canvas)
    frame: Array = pick(rng, [0.6 * colour, WHITE])
    leaf = np.tile(frame, (40, 20, 1))
    leaf[2:, 2:-2] = colour
    panel = pick(rng, [colour, 0.5 * colour, glow(canvas.light, 0.8 * canvas.light.low)])
    leaf[8:18, 6:14] = panel
    leaf[22:24, 3:6] = 0.2 * colour
    return leaf


def books(canvas: Canvas, width_m: float) -> Array:
    """Return a texture of shelves full of spines for a bookcase of a width."""
    rng, board = canvas.rng, wood(canvas)
    shelves, columns = int(rng.integers(4, 7)), int(36 * width_m)
    covers = np.stack([paint(canvas) for _ in range(9)])
    count = columns // 2
    widths, heights = rng.integers(1, 4, (shelves, count)), rng.integers(9, 15, (shelves, count))
    colours = covers[rng.integers(9, size=(shelves, count))] * rng.uniform(
        0.7, 1.1, (shelves, count, 1)
    )
    colours[rng.random((shelves, count)) < 0.06] = 0.2 * board
    texture = np.empty((shelves, 18, columns, 3), np.float32)
    level = np.arange(18)[:, None]
    for shelf in range(shelves):
        book = np.repeat(np.arange(count), widths[shelf])[:columns]
        book = np.pad(book, (0, columns - len(book)), mode="edge")
        is_spine = level >= 16 - heights[shelf][book]
        texture[shelf] = np.where(is_spine[..., None], colours[shelf][book], 0.25 * board)
    texture[:, 16:] = board
    texture[:, :, :: max(36, columns // 6)] = board
    return texture.reshape(shelves * 18, columns, 3)


def bookstore(canvas: Canvas) -> None:
    """Draw walls of books, free shelves, tables with piles, signs and readers."""
    rng = canvas.rng
    here = room(canvas, (4, 8), (4.5, 9))
    tall, wide = rng.uniform(1.9, min(2.6, here.height)), here.right - here.left
    start = rng.uniform(0.5, 2)
    long, spines = here.depth - start, books(canvas, 4)
    box(canvas, (here.left, 0, here.depth - 0.35), (wide, tall, 0.35), books(canvas, wide))
    face(canvas, (here.left + 0.3, tall, start), (0, 0, long), (0, -tall, 0), spines, 0.3)
    face(canvas, (here.right - 0.3, tall, here.depth), (0, 0, -long), (0, -tall, 0), spines, 1.0)
    for x in rng.uniform(here.left, here.right - 1, int(rng.integers(0, 3))):
        corner = (x, here.height - 0.1, here.depth - 0.5)
        face(canvas, corner, (1, 0, 0), (0, -0.3, 0), paint(canvas))
    lamps(canvas, here)
    for z in np.sort(rng.uniform(2.5, here.depth - 1.2, int(rng.integers(1, 5))))[::-1]:
        x, kind = rng.uniform(here.left + 0.5, here.right - 1.5), rng.integers(3)
        if kind == 0:
            size = (rng.uniform(0.8, 1.6), rng.uniform(1.2, 1.7), 0.5)
            box(canvas, (x, 0, z), size, books(canvas, 1.4), top=wood(canvas))
        elif kind == 1:
            _book_table(canvas, x, z)
        else:
            person(canvas, x, z)


def _book_table(canvas: Canvas, x: float, z: float) -> None:
    """Draw a table with piles of books."""
    box(canvas, (x, 0, z), (1.2, 0.7, 0.8), wood(canvas))
    for pile in np.arange(0.1, 1.1, 0.25):
        for level in range(int(canvas.rng.integers(1, 6))):
            corner = (x + pile, 0.7 + 0.05 * level, z + 0.1)
            box(canvas, corner, (0.18, 0.05, 0.25), paint(canvas))
