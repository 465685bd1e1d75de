"""Draw the indoor scenes, one function for each category."""

import numpy as np

from places.synthetic.scenes.canvas import Canvas
from places.synthetic.scenes.rooms import Room, clutter, decorate, enter, lamps, picture, window
from places.synthetic.scenes.surfaces import Array, inlaid, pick
from places.synthetic.scenes.things import person


def bedroom(canvas: Canvas) -> None:
    """Draw a bed with headboard, pillows and blanket, bedside tables and lamps."""
    here = enter(canvas, (3.4, 4.8), (3.2, 4.2))
    decorate(canvas, here)
    rng, white, back = canvas.rng, canvas.colour("white"), here.depth
    wide, long, high = rng.uniform(1.2, 2.0), rng.uniform(1.9, 2.2), rng.uniform(0.4, 0.65)
    x, z = rng.uniform(here.left + 0.6, here.right - wide - 0.6), back - long - 0.1
    frame, sheet = canvas.colour("wood"), pick(rng, [white, canvas.colour("paint")])
    for side in (x - 0.55, x + wide + 0.1):
        canvas.box((side, 0, back - 0.45), (0.45, 0.55, 0.4), frame)
        if rng.random() < 0.7:
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
    for pillow in (0.05, 0.55) if wide > 1.45 else (0.1,):
        size = (0.4 * wide if wide > 1.45 else 0.8 * wide, 0.16, 0.4)
        canvas.box((x + pillow * wide, high, back - 0.6), size, pick(rng, [white, sheet]))
    if rng.random() < 0.4:
        doors = _cupboards(canvas, (1, 2), canvas.colour("wood"))
        canvas.box((here.right - 0.7, 0, back - 2.6), (0.7, 2.1, 1.4), doors)
    if rng.random() < 0.4:
        lamps(canvas, here)
    clutter(canvas, here)


def _cupboards(canvas: Canvas, count: tuple[int, int], colour: Array) -> Array:
    """Return a texture of rows and columns of cupboard doors with handles."""
    handle = pick(canvas.rng, [0.25 * colour, 0.8 * canvas.colour("white")])
    frame, panel = (1, 32, 1, 24, colour), (5, 28, 5, 20, 0.7 * colour)
    inner, knob = (6, 28, 6, 20, 0.93 * colour), (12, 19, 2, 4, handle)
    return np.tile(inlaid((32, 24), 0.45 * colour, frame, panel, inner, knob), (*count, 1))


def kitchen(canvas: Canvas) -> None:
    """Draw cupboards above and below a counter, a stove with its hood, a fridge, an island."""
    here = enter(canvas, (3, 4.6), (3, 4.2))
    decorate(canvas, here)
    rng, left, wide, front = canvas.rng, here.left, here.wide, here.depth - 0.62
    colour, counter = canvas.colour("wood"), 0.9 * canvas.colour("paint")
    tiles, count = canvas.surface("tiles"), (1, max(3, round(wide / 0.6)))
    lower, upper = (_cupboards(canvas, count, colour) for _ in range(2))
    canvas.face((left, 1.5, here.depth - 0.01), (wide, 0, 0), (0, -0.6, 0), tiles)
    canvas.box((left, 0, front), (wide, 0.88, 0.6), lower, colour)
    canvas.box((left, 1.5, front + 0.27), (wide, rng.uniform(0.6, 0.85), 0.35), upper, colour)
    long = rng.uniform(1, here.depth - 1.2)
    doors = _cupboards(canvas, (1, max(2, round(long / 0.6))), colour)
    canvas.box((left, 0, front - long), (0.6, 0.88, long), doors)
    canvas.box((left, 0.88, front - long), (0.65, 0.05, long + 0.6), counter)
    canvas.box((left, 0.88, front - 0.03), (wide, 0.05, 0.65), counter)
    _appliances(canvas, here, canvas.colour("metal"))
    for x in rng.uniform(left + 0.5, here.right - 0.5, int(rng.integers(2, 8))):
        size = rng.uniform(0.08, 0.25)
        canvas.box((x, 0.93, front + 0.2), (0.7 * size, size, 0.15), canvas.colour("paint"))
    if rng.random() < 0.5 and here.depth > 3.6:
        length, doors = rng.uniform(1, 1.8), _cupboards(canvas, (1, 3), colour)
        x = rng.uniform(-0.9, 0.9) - length / 2
        canvas.box((x, 0, 1.9), (length, 0.86, 0.7), doors, colour)
        canvas.box((x - 0.05, 0.86, 1.85), (length + 0.1, 0.05, 0.8), counter)
    lamps(canvas, here)
    clutter(canvas, here)


def _appliances(canvas: Canvas, here: Room, steel: Array) -> None:
    """Draw a stove with its hood, and at times a fridge."""
    rng, front, black = canvas.rng, here.depth - 0.64, 0.15 * steel
    x = here.left + here.wide * rng.uniform(0.3, 0.75)
    knobs = [(3, 6, column, column + 2, black) for column in range(6, 34, 7)]
    glass, handle = (14, 32, 7, 33, black), (9, 11, 6, 34, 0.5 * steel)
    oven = inlaid((40, 40), steel, glass, handle, *knobs)
    canvas.box((x, 0, front), (0.7, 0.94, 0.5), oven, steel, 0.35 * steel)
    for dx, dz in ((0.2, 0.4), (0.5, 0.4), (0.2, 0.15), (0.5, 0.15)):
        canvas.spot(x + dx, front + dz, 0.94).draw([(0, 0)], black, 0.1)
    canvas.box((x, 1.5, front + 0.1), (0.7, here.height - 1.5, 0.4), steel)
    if rng.random() < 0.7:
        doors = _cupboards(canvas, (2, 1), steel)
        canvas.box((here.right - 0.75, 0, front - 0.05), (0.72, 1.85, 0.65), doors, steel)


def corridor(canvas: Canvas) -> None:
    """Draw a long passage with doors on both sides and lamps above."""
    here = enter(canvas, (1.7, 3.2), (12, 40))
    rng, left, right, end = canvas.rng, here.left + 0.01, here.right - 0.01, here.depth - 0.05
    step, width, down = rng.uniform(2.2, 5), rng.uniform(0.85, 1.3), (0, -2.1, 0)
    leaf, middle = _door(canvas), (left + right) / 2
    for z in np.arange(here.depth - width - rng.uniform(0, step), 0.2, -step):
        canvas.face((left, 2.1, z), (0, 0, width), down, leaf, 0.35)
        canvas.face((right, 2.1, z + width), (0, 0, -width), down, leaf, 1.0)
    last = pick(rng, [leaf, window(canvas), picture(canvas)])
    canvas.face((middle - 0.6, 2.1, end), (1.2, 0, 0), down, last, 0.7)
    if rng.random() < 0.5:
        rail, up = canvas.colour("wood"), rng.choice((0.1, 0.9))
        for x in (left, right):
            canvas.face((x, up + 0.1, -1), (0, 0, here.depth), (0, -0.12, 0), rail, 0.6)
    if rng.random() < 0.4:
        runner, half = canvas.surface("cloth"), rng.uniform(0.25, 0.4) * here.wide
        canvas.face((middle - half, 0.01, end), (2 * half, 0, 0), (0, 0, -end), runner)
    lamps(canvas, here)
    for z in canvas.depths(3, 12, 0, 2):
        person(canvas.spot(rng.uniform(0.6 * left, 0.6 * right), z))


def _door(canvas: Canvas) -> Array:
    """Return a texture of a door in its frame, at times with a pane of glass."""
    colour = canvas.colour("wood")
    frame = pick(canvas.rng, [0.6 * colour, canvas.colour("white")])
    glass = canvas.light.glow(0.8 * canvas.light.low)
    panel = (8, 18, 6, 14, pick(canvas.rng, [colour, 0.5 * colour, glass]))
    return inlaid((40, 20), frame, (2, 40, 2, 18, colour), panel, (22, 24, 3, 6, 0.2 * colour))


def bookstore(canvas: Canvas) -> None:
    """Draw walls of books, free shelves, tables with piles, signs and readers."""
    here = enter(canvas, (4, 8), (4.5, 9))
    rng, (left, right, height, depth) = canvas.rng, here
    tall, start, spines = rng.uniform(1.9, min(2.6, height)), rng.uniform(0.5, 2), _books(canvas, 4)
    canvas.box((left, 0, depth - 0.35), (here.wide, tall, 0.35), _books(canvas, here.wide))
    long, down = depth - start, (0, -tall, 0)
    canvas.face((left + 0.3, tall, start), (0, 0, long), down, spines, 0.3)
    canvas.face((right - 0.3, tall, depth), (0, 0, -long), down, spines, 1.0)
    for x in rng.uniform(left, right - 1, int(rng.integers(0, 3))):
        sign = (x, height - 0.1, depth - 0.5)
        canvas.face(sign, (1, 0, 0), (0, -0.3, 0), canvas.colour("paint"))
    lamps(canvas, here)
    for z in canvas.depths(2.5, depth - 1.2, 1, 4):
        x, kind = rng.uniform(left + 0.5, right - 1.5), rng.integers(3)
        if kind == 0:
            size, board = (rng.uniform(0.8, 1.6), rng.uniform(1.2, 1.7), 0.5), canvas.colour("wood")
            canvas.box((x, 0, z), size, _books(canvas, 1.4), top=board)
        elif kind == 1:
            _book_table(canvas, x, z)
        else:
            person(canvas.spot(x, z))


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


def _book_table(canvas: Canvas, x: float, z: float) -> None:
    """Draw a table with piles of books."""
    canvas.box((x, 0, z), (1.2, 0.7, 0.8), canvas.colour("wood"))
    for pile in (0.1, 0.35, 0.6, 0.85):
        for level in range(int(canvas.rng.integers(1, 6))):
            corner = (x + pile, 0.7 + 0.05 * level, z + 0.1)
            canvas.box(corner, (0.18, 0.05, 0.25), canvas.colour("paint"))
