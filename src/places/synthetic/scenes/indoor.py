"""Draw the indoor scenes, one function for each category."""

import numpy as np

from places.synthetic.scenes.canvas import Canvas
from places.synthetic.scenes.rooms import Room, decorate, enter, lamps, window
from places.synthetic.scenes.surfaces import Array, pick
from places.synthetic.scenes.things import INDOORS, PEOPLE, person, scatter


def bedroom(canvas: Canvas) -> None:
    """Draw a bed with headboard, pillows and blanket, bedside tables and lamps."""
    here = enter(canvas, (3.4, 4.8), (3.2, 4.2))
    decorate(canvas, here)
    rng, frame, back = canvas.rng, canvas.colour("wood"), here.depth
    sheet = canvas.colour(pick(rng, ["white", "white", "paint"]))
    wide, long, high = rng.uniform(1.2, 2.0), rng.uniform(1.9, 2.2), rng.uniform(0.4, 0.65)
    x, z = rng.uniform(here.left + 0.6, here.right - wide - 0.6), back - long - 0.1
    for side in (x - 0.55, x + wide + 0.1):
        canvas.box((side, 0, back - 0.45), (0.45, 0.55, 0.4), frame)
        if rng.random() < 0.85:
            lamp = canvas.spot(side + 0.22, back - 0.25, 0.55)
            lamp.draw([(0, 0), (0, 0.3)], 0.6 * frame, 0.03)
            shade = [(-0.1, 0.5), (0.1, 0.5), (0.17, 0.25), (-0.17, 0.25)]
            lamp.draw(shade, canvas.colour("lamp"), facing=1)
    canvas.box((x - 0.05, 0, back - 0.1), (wide + 0.1, rng.uniform(0.9, 1.4), 0.1), frame)
    canvas.box((x, 0, z), (wide, 0.25, long), frame)
    canvas.box((x, 0.25, z), (wide, high - 0.25, long), sheet)
    low, cover = rng.uniform(0.1, 0.25), long * rng.uniform(0.55, 0.75)
    blanket = (wide + 0.06, high + 0.02 - low, cover)
    canvas.box((x - 0.03, low, z - 0.03), blanket, canvas.surface("cloth"))
    count = round(wide)
    for pillow in np.arange(0.1, count) * wide / count:
        canvas.box(
            (x + pillow, high, back - 0.6), (0.8 * wide / count, 0.2, 0.4), canvas.colour("white")
        )
    if rng.random() < 0.4:
        doors = np.tile(canvas.surface("cupboard"), (1, 2, 1))
        canvas.box((here.right - 0.7, 0, back - 2.6), (0.7, 2.1, 1.4), doors)
    if rng.random() < 0.3:
        lamps(canvas, here)
    scatter(canvas, canvas.depths(2.2, 0.8 * here.depth, 0, 1), INDOORS, 0.5)


def kitchen(canvas: Canvas) -> None:
    """Draw cupboards above and below a counter, a stove with its hood, a fridge, an island."""
    here = enter(canvas, (3, 4.6), (3, 4.2))
    decorate(canvas, here)
    rng, left, wide, front = canvas.rng, here.left, here.wide, here.depth - 0.62
    colour, counter = canvas.colour("wood"), 0.9 * canvas.colour("paint")
    doors = np.tile(canvas.surface("cupboard", colour), (1, max(3, round(wide / 0.6)), 1))
    here.hang("back", 0, 1.5, (wide, 0.6), canvas.surface("tiles"))
    canvas.box((left, 0, front), (wide, 0.88, 0.6), doors, colour)
    canvas.box((left, 1.5, front + 0.27), (wide, rng.uniform(0.6, 0.85), 0.35), doors, colour)
    long = rng.uniform(1, here.depth - 1.2)
    few = doors[:, : 24 * max(2, round(long / 0.6))]
    canvas.box((left, 0, front - long), (0.6, 0.88, long), few)
    canvas.box((left, 0.88, front - long), (0.65, 0.05, long + 0.6), counter)
    canvas.box((left, 0.88, front - 0.03), (wide, 0.05, 0.65), counter)
    _appliances(canvas, here, canvas.colour("metal"))
    for x in rng.uniform(left + 0.5, here.right - 0.5, int(rng.integers(2, 8))):
        size = rng.uniform(0.08, 0.25)
        canvas.box((x, 0.93, front + 0.2), (0.7 * size, size, 0.15), canvas.colour("paint"))
    if rng.random() < 0.5 and here.depth > 3.6:
        x, length = rng.uniform(-1.6, 0), rng.uniform(1, 1.8)
        canvas.box((x, 0, 1.9), (length, 0.86, 0.7), doors[:, :72], colour)
        canvas.box((x - 0.05, 0.86, 1.85), (length + 0.1, 0.05, 0.8), counter)
    lamps(canvas, here)
    scatter(canvas, canvas.depths(2.2, 0.8 * here.depth, 0, 1), INDOORS, 0.5)


def _appliances(canvas: Canvas, here: Room, steel: Array) -> None:
    """Draw a stove with its hood, and at times a fridge."""
    rng, front = canvas.rng, here.depth - 0.64
    x = here.left + here.wide * rng.uniform(0.3, 0.75)
    canvas.box((x, 0, front), (0.7, 0.92, 0.5), canvas.surface("oven", steel), steel)
    canvas.box((x, 0.92, front), (0.7, 0.02, 0.5), 0.15 * steel)
    canvas.box((x, 1.5, front + 0.1), (0.7, here.height - 1.5, 0.4), steel)
    if rng.random() < 0.7:
        doors = np.tile(canvas.surface("cupboard", steel), (2, 1, 1))
        canvas.box((here.right - 0.75, 0, front - 0.05), (0.72, 1.85, 0.65), doors, steel)


def corridor(canvas: Canvas) -> None:
    """Draw a long passage with doors on both sides and lamps above."""
    here = enter(canvas, (1.7, 3.2), (12, 40))
    rng, end, leaf = canvas.rng, here.depth, canvas.surface("door")
    step, width = rng.uniform(2.2, 5), rng.uniform(0.85, 1.3)
    rail, up, has_rail = canvas.colour("wood"), rng.choice((0.2, 1.0)), rng.random() < 0.5
    for wall in ("left", "right"):
        for z in np.arange(end - width - rng.uniform(0, step), 0.2, -step):
            here.hang(wall, z, 2.1, (width, 2.1), leaf)
        if has_rail:
            here.hang(wall, -1, up, (end, 0.12), rail)
    last = pick(rng, [leaf, canvas.surface("door"), window(canvas)])
    here.hang("back", here.wide / 2 - 0.6, 2.1, (1.2, 2.1), last)
    if rng.random() < 0.4:
        half, runner = rng.uniform(0.25, 0.4) * here.wide, canvas.surface("cloth")
        corner = ((here.left + here.right) / 2 - half, 0.01, end)
        canvas.face(corner, (2 * half, 0, 0), (0, 0, -end), runner)
    lamps(canvas, here)
    scatter(canvas, canvas.depths(3, 12, 0, 2), PEOPLE, 0.1)


def bookstore(canvas: Canvas) -> None:
    """Draw walls of books, free shelves, tables with piles, signs and readers."""
    here = enter(canvas, (4, 8), (4.5, 9))
    rng, depth, start = canvas.rng, here.depth, canvas.rng.uniform(0.5, 2)
    tall, spines = rng.uniform(1.9, min(2.6, here.height)), _books(canvas, here.wide)
    canvas.box((here.left, 0, depth - 0.35), (here.wide, tall, 0.35), spines)
    for wall in ("left", "right"):
        here.hang(wall, start, tall, (depth - start, tall), spines)
    for x in rng.uniform(here.left, here.right - 1, int(rng.integers(0, 3))):
        sign = (x, here.height - 0.1, depth - 0.5)
        canvas.face(sign, (1, 0, 0), (0, -0.3, 0), canvas.colour("paint"))
    lamps(canvas, here)
    for z in canvas.depths(2.5, depth - 1.2, 1, 4):
        x, kind = rng.uniform(here.left + 0.5, here.right - 1.5), rng.integers(3)
        if kind == 0:
            size = (rng.uniform(0.8, 1.6), rng.uniform(1.2, 1.7), 0.5)
            canvas.box((x, 0, z), size, _books(canvas, 1.4), canvas.colour("wood"))
        elif kind == 1:
            canvas.box((x, 0, z), (1.2, 0.7, 0.8), canvas.colour("wood"))
            for pile in (0.1, 0.35, 0.6, 0.85):
                size = (0.18, 0.05 * rng.integers(1, 6), 0.25)
                canvas.box((x + pile, 0.7, z + 0.1), size, canvas.surface("pile"))
        else:
            person(canvas.spot(x, z), canvas.colour("cloth"))


def _books(canvas: Canvas, width_m: float) -> Array:
    """Return a texture of shelves full of spines for a bookcase of a width."""
    rng, board = canvas.rng, canvas.colour("wood")
    size = (int(rng.integers(4, 7)), int(36 * width_m))
    covers = np.stack([canvas.colour("paint") for _ in range(9)])
    book = np.cumsum(rng.random(size) < 0.5, axis=1)
    colours = covers[rng.integers(9, size=size)] * rng.uniform(0.7, 1.1, (*size, 1))
    colours = np.take_along_axis(colours, book[..., None] - 1, axis=1)
    heights = np.take_along_axis(rng.integers(9, 15, size), book - 1, axis=1)
    is_spine = np.arange(18)[:, None] >= 16 - heights[:, None]
    texture = np.where(is_spine[..., None], colours[:, None], 0.25 * board).astype(np.float32)
    texture[:, 16:] = texture[:, :, :: max(36, size[1] // 6)] = board
    return texture.reshape(-1, size[1], 3)
