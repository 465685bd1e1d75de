"""Draw the scenes of large buildings, one function for each category."""

import numpy as np

from places.synthetic.scenes import things
from places.synthetic.scenes.canvas import Canvas, Spot
from places.synthetic.scenes.outdoors import ground, line, look, ridge
from places.synthetic.scenes.surfaces import Array, Pattern, noise, pick, relief, woven
from places.synthetic.scenes.view import COLUMNS, SIZE, Vector


def castle(canvas: Canvas) -> None:
    """Draw walls and towers with battlements, a gate and flags."""
    look(canvas, (1.7, 8), (-0.05, 0.1))
    rng, stones, meadow = canvas.rng, canvas.surface("masonry"), canvas.surface("meadow")
    ground(canvas, pick(rng, [meadow, meadow, canvas.surface("waves")]), 0.1)
    roof, foot = canvas.colour("bright"), canvas.spot(rng.uniform(-8, 8), rng.uniform(50, 80))
    foot = foot._replace(distance_m=10)  # so that no haze hides what the picture is about
    wide, tall, rise = rng.uniform(28, 42), rng.uniform(8, 14), rng.uniform(0, 4)
    bank = things.arc((0, -1.5), (0.9 * wide, rise + 1.5), (1, 0), 24)
    foot.draw(bank + rng.normal(0, 0.15, (24, 2)), meadow.mean((0, 1)))
    foot, gate, steep = foot.moved(0, rise), rng.uniform(-0.2, 0.2), rng.choice((0.0, 1.3))
    for aside in rng.uniform(-0.35, 0.35, int(rng.integers(1, 5))):
        size = (wide * rng.uniform(0.1, 0.2), tall * rng.uniform(1.4, 2.4))
        _tower(foot.moved(aside * wide, 0), size, 0.93 * stones, roof, steep)
    foot.slab((0, -0.5), (wide, tall + 0.5), stones)
    _battlements(foot.moved(0, tall), wide, stones[4, 4])
    for slit in np.linspace(-0.4, 0.4, 6):
        foot.slab((slit * wide, 0.55 * tall), (0.5, 0.16 * tall), canvas.colour("pane"), 1)
    half = wide * rng.uniform(0.05, 0.08)
    arch = things.arc((gate * wide, 0.4 * tall), (half, half), (0, 1), 9)
    foot.draw([(arch[0, 0], -0.5), *arch, (arch[-1, 0], -0.5)], 0.15 * stones[4, 4])
    for aside in pick(rng, [(-0.5, 0.5), (-0.5, gate - 0.12, gate + 0.12, 0.5)]):
        size = (wide * rng.uniform(0.1, 0.16), tall * rng.uniform(1.2, 1.7))
        _tower(foot.moved(aside * wide, -1), size, stones, roof, steep)
    things.scatter(canvas, canvas.depths(14, 45, 0, 6))


def _battlements(middle: Spot, width: float, colour: Array) -> None:
    """Draw merlons on an upper edge."""
    count = max(3, round(width / 2.2))
    step = width / (2 * count - 1)
    for x in np.linspace(step / 2 - width / 2, width / 2 - step / 2, count):
        middle.slab((x, -0.2), (step, 1.2 * step + 0.4), colour)


def _tower(foot: Spot, size: Vector, stones: Array, roof: Array, steep: float) -> None:
    """Draw a round tower of a width and a height, with a pointed roof or with battlements."""
    canvas, (width, height), stones = foot.canvas, size, stones[:, :48]
    things.pillar(foot, (width, width), height, stones)
    things.pillar(foot.moved(0, 0.88 * height), (1.2 * width, 1.2 * width), 0.12 * height, stones)
    for up in (0.35, 0.6):
        pane = canvas.colour("pane")
        foot.slab((0, up * height), (width / 9 + 0.2, 0.07 * height), pane, 1)
    top, peak = foot.moved(0, height), steep * width
    for end, facing in ((-0.66 * width, 0.8), (0.66 * width, 0.1)):
        top.draw([(0, peak), (end, 0), (0.1 * width, 0)], roof, facing=facing)
    if not steep:
        _battlements(top, 1.2 * width, stones[4, 4])
    if canvas.rng.random() < 0.4:
        top.draw([(0, peak), (0, peak + 4)], canvas.colour("dark"), 0.2)
        top.draw([(0, peak + 4), (2.2, peak + 3.2), (0, peak + 2.5)], canvas.colour("bright"))


def lighthouse(canvas: Canvas) -> None:
    """Draw a striped tower with a lantern, on rocks by the sea."""
    look(canvas, (2, 12), (-0.05, 0.16))
    rng, paint, white = canvas.rng, canvas.colour("bright"), canvas.colour("white")
    ground(canvas, canvas.surface("waves"), 0.25)
    foot = canvas.spot(rng.uniform(-8, 8), rng.uniform(26, 50)).moved(0, rng.uniform(-2, 0.2))
    tall, half = rng.uniform(14, 22), rng.uniform(1.3, 2.2)
    land = foot.row + 5 * line(canvas, 40, 5) + rng.uniform(-6, 4)
    land += np.abs(COLUMNS - foot.column) * rng.uniform(-0.02, 0.22)
    rocks = relief(noise(rng, (SIZE, SIZE), (26, 26), 5), 0.8)
    ridge(canvas, land, canvas.colour(pick(rng, ["stone", "meadow"])), rocks, 20)
    if rng.random() < 0.6:
        beside = foot.moved(rng.choice((-1, 1)) * half * rng.uniform(2.5, 4), -0.3)
        things.cottage(beside, canvas.colour("cloth"))
    up = np.linspace(0, int(rng.integers(1, 8)), 60)[:, None]
    bands = np.floor(up + rng.choice((0, 0, 1.5)) * np.linspace(0, 1, 48)) % 2
    shaft = np.where(bands[..., None] > 0, paint, pick(rng, [white, white, canvas.colour("stone")]))
    things.pillar(foot, (2 * half, 1.2 * half), tall, shaft)
    for level in (0.3, 0.6):
        foot.slab((0, level * tall), (half / 4, half / 2.5), canvas.colour("pane"), 1)
    _lantern(foot.moved(0, tall, half), 0.4 * paint)
    things.scatter(canvas, canvas.depths(8, 25, 0, 2))


def _lantern(foot: Spot, dark: Array) -> None:
    """Draw the gallery, the lamp room, its dome and at night the beam, in units of its half."""
    rng, light, shine = foot.canvas.rng, foot.canvas.light, foot.canvas.colour("lamp")
    if light.is_dark:
        end, spread = rng.choice((-40, 40)), rng.uniform(2, 6)
        foot.draw([(0, 1), (end, 1 - spread), (end, 1 + spread)], 0.4 * shine + light.low)
    foot.slab((0, 0), (1, 1.3), shine if light.is_dark else light.low, 1)
    for x in (-0.97, -0.5, -0.17, 0.17, 0.5, 0.97):
        foot.draw([(x, 0), (x, 1.3 if abs(x) < 0.9 else 0.5)], dark, 0.05)
    foot.draw([(-1, 0.5), (1, 0.5)], dark, 0.05)
    foot.slab((0, -0.25), (2, 0.25), dark)
    foot.draw(things.arc((0, 1.3), (0.65, 0.85), (0, 1), 7), dark)


def skyscraper(canvas: Canvas) -> None:
    """Draw towers of glass and concrete seen from the street."""
    look(canvas, (1.7, 8), (0.1, 0.6), (150, 230))
    ground(canvas, canvas.surface("metal"), 0.1)
    rng, main = canvas.rng, canvas.rng.uniform(60, 110)
    low = rng.uniform((main + 20, -0.9, 8), (main + 110, 0.8, 25), (7, 3))
    high = rng.uniform((90, -0.7, 25), (260, 0.7, 110), (int(rng.integers(2, 9)), 3))
    landmark = (main, rng.uniform(-0.3, 0.1), main * rng.uniform(0.9, 1.6))
    for z, aside, height in sorted([landmark, *map(tuple, low), *map(tuple, high)], reverse=True):
        x, width, front = aside * z, rng.uniform(20, 38), _facade(canvas)
        side = front if rng.random() < 0.6 else _facade(canvas)
        canvas.box((x, 0, z), (width, height, width), front, side)
        if height > 25 and rng.random() < 0.5:
            inset, step = width * rng.uniform(0.1, 0.3), height * rng.uniform(0.1, 0.4)
            size = (width - 2 * inset, step, width - 2 * inset)
            canvas.box((x + inset, height, z + inset), size, front, side)
            height += step
        if height > 25 and rng.random() < 0.4:
            mast = canvas.spot(x + width / 2, z + width / 2, height)
            mast.draw([(0, 0), (0, 0.25 * height)], canvas.colour("metal"), 0.8)
    things.scatter(canvas, canvas.depths(12, 45, 0, 5))


def _facade(canvas: Canvas) -> Array:
    """Return a texture of windows: a grid, bands or pillars, some lit at night."""
    rng, light = canvas.rng, canvas.light
    frame = canvas.colour(pick(rng, ["stone", "paint"]))
    glass = pick(rng, [0.8 * light.low, light.high, 0.25 * frame, canvas.colour("sea")])
    panes = [glass, 0.85 * glass, 1.1 * glass]
    if light.is_dark:
        panes = [0.3 * glass, 0.4 * glass, canvas.colour("lamp") * rng.uniform(0.7, 1)]
    cell, count = int(rng.integers(2, 6)), (int(rng.integers(14, 40)), int(rng.integers(6, 14)))
    texture = woven(rng, Pattern((cell, cell), 0.12, count), panes, frame)
    style = rng.integers(3)
    if style == 0:
        texture[:, ::cell] = texture[:, 1::cell]
    elif style == 1:
        texture[::cell] = texture[1::cell]
    return texture
