"""Draw the scenes of open land, one function for each category."""

from itertools import pairwise

import numpy as np

from places.synthetic.scenes import things
from places.synthetic.scenes.canvas import Canvas
from places.synthetic.scenes.outdoors import ground, line, look, plane, ridge
from places.synthetic.scenes.surfaces import Array, noise, pick, relief
from places.synthetic.scenes.view import COLUMNS, ROWS, SIZE

_DIAMOND = np.array([(0, -1), (1, 0), (0, 1), (-1, 0)])
_CIRCLE = things.arc((0, 0), (1, 1), (0, 2), 40)
_BEHIND = np.array([(-45, 10), (0, -4), (45, 10), (45, -40), (-45, -40)])
_BASES = [(0, 0), (19, 19), (0, 38), (-19, 19), (0, 18)]


def baseball_field(canvas: Canvas) -> None:
    """Draw the infield with its bases, mown grass, fence, stands, lamps and players."""
    rng, white, grass = canvas.rng, canvas.colour("white"), canvas.colour("grass")
    look(canvas, (3, 22), (-0.22, -0.06), (150, 260))
    ground(canvas, canvas.surface("stripes", grass), rng.uniform(0.4, 0.8))
    lawn = plane(canvas, canvas.surface("stripes", grass), rng.uniform(0.4, 0.8))
    dirt, home = plane(canvas, canvas.surface("earth"), 0.1), np.array((0, rng.uniform(8, 24)))
    _stands(canvas, home[1])
    sides = [[(0, 0), (70 * side, 70), (70.5 * side, 70), (0.4 * side, 0)] for side in (-1, 1)]
    marks: list[tuple[Array, Array]] = [
        (29 * _CIRCLE + (0, 18), dirt),
        (_BEHIND, lawn),
        (19.5 * _DIAMOND + (0, 19), dirt),
        (17 * _DIAMOND + (0, 19), lawn),
        (4 * _CIRCLE, dirt),
        (2.7 * _CIRCLE + (0, 18), dirt),
        *((np.array(side), white) for side in sides),
        *((0.5 * _DIAMOND + base, white) for base in _BASES),
    ]
    for points, surface in marks:
        canvas.flat(points + home, surface)
    players = canvas.depths(home[1] - 2, home[1] + 60, 0, 8)
    things.scatter(canvas, players, things.PEOPLE, 0.4)


def _stands(canvas: Canvas, home: float) -> None:
    """Draw the fence around the outfield, at times with the crowd and lamp posts behind it."""
    rng, up, paint = canvas.rng, np.array((0, 1, 0)), canvas.colour("cloth")
    edge = things.arc((0, home), (95, 95), (0.85, 0.15), 9)
    crowd, has_crowd = canvas.surface("crowd"), rng.random() < 0.5
    for start, end in pairwise([np.array((x, 0, z)) for x, z in edge]):
        along = end - start
        if has_crowd:
            canvas.face(1.15 * start + 15 * up, 1.15 * along, -13 * up, crowd, 0.6)
        canvas.face(start + 3 * up, along, -3 * up, paint, 0.5)
    metal, shine = canvas.colour("metal"), canvas.colour("white") / canvas.light.sun
    for x, z in edge[1:-1:2]:
        if rng.random() < 0.6:
            top = canvas.spot(x, z + 4, 26)
            top.draw([(0, 0), (0, -26)], metal, 0.3)
            for side in (-3, -1, 1, 3):
                top.draw([(side, 0)], shine, 1.8, 1)


def beach(canvas: Canvas) -> None:
    """Draw sand, foam and the sea; at times parasols, palms, people and boats."""
    rng, white = canvas.rng, canvas.colour("white")
    look(canvas, (1.6, 7), (-0.22, 0.0))
    ground(canvas, canvas.surface("waves"), 0.25)
    for x in rng.uniform(-60, 60, int(rng.integers(0, 4))):
        boat = canvas.spot(x, 110).grown(6, 12)
        boat.draw([(0, 1), (0, 0), (0.5, 0)], white)
    x = np.linspace(-9, 9, SIZE)
    x *= np.abs(x)
    slope, start = rng.uniform(-1.6, 1.6), rng.uniform(5, 16)
    shore, breadth = start + slope * x + 1.5 * line(canvas, 60, 3)[0], float(np.hypot(1, slope))
    for offset in (13, 8, 4.5, 2.2):
        swell = shore + breadth * offset * (rng.uniform(0.8, 1.2) + 0.1 * line(canvas, 60, 3)[0])
        width = 0.3 * offset**0.5 * np.maximum(line(canvas, 40, 3)[0] + 0.6, 0)
        canvas.flat(_between(x, swell, swell + breadth * width), white)
    sand, run = plane(canvas, canvas.surface("sand"), 0.05), 0.4 * line(canvas, 40, 3)[0]
    foam = shore - breadth * rng.uniform(0.3, 0.8) + run
    canvas.flat(_between(x, 0 * x - 500, shore + breadth), (0.72 * sand).astype(np.uint8))
    canvas.flat(_between(x, foam, shore + breadth * 0.4), white)
    canvas.flat(_between(x, 0 * x - 500, shore - breadth * 2 + run), sand)
    for z in canvas.depths(4, 40, 2, 12):
        aside, (put, name) = rng.uniform(-0.6, 0.6) * z, pick(rng, things.SEASIDE)
        if z < start + slope * aside - 2:
            put(canvas.spot(aside, z), canvas.colour(name))


def _between(x: Array, near: Array, far: Array) -> Array:
    """Return the polygon on the ground between two lines z(x)."""
    return np.concatenate([np.stack([x, near], 1), np.stack([x, far], 1)[::-1]])


def desert(canvas: Canvas) -> None:
    """Draw dunes with sharp crests, one side in the shade, and ripples in the sand."""
    look(canvas, (2, 12), (-0.12, 0.1))
    rng, colour, horizon = canvas.rng, canvas.colour("sand"), canvas.camera.horizon
    ground(canvas, canvas.surface("sand", colour), 0.06)
    for top in canvas.depths(horizon - 15, 215, 3, 5)[::-1]:
        near = (top - horizon + 20) / 130
        crest = top - (6 + 26 * near) * line(canvas, rng.uniform(90, 200), 1)
        warp = noise(rng, (SIZE, SIZE), (50, 50), 2)
        phase = ROWS * rng.uniform(0.7, 1.1) + rng.uniform(-0.4, 0.4) * COLUMNS + 14 * near * warp
        ripples = np.sin(phase * (6 / (2 + 9 * near))) * np.clip((ROWS - crest) / 25, 0, 1)
        folds = noise(rng, (SIZE, SIZE), (90, rng.uniform(60, 110)), 1)
        is_lee = np.diff(np.abs(folds), axis=1, append=0) > 0
        facing = np.where(is_lee, 0.03 + 0.08 * ripples, 0.7 + 0.28 * ripples + 0.1 * warp)
        ridge(canvas, crest, colour, facing, 300 * max(0, 1 - near))
    things.scatter(canvas, canvas.depths(8, 60, 0, 2))


def forest_path(canvas: Canvas) -> None:
    """Draw a winding path between trunks, leaves above."""
    look(canvas, (1.4, 2.2), (-0.1, 0.12), num_hills=0)
    rng, light, leaf = canvas.rng, canvas.light, canvas.colour("leaf")
    wood = noise(rng, (SIZE, SIZE), (22, 16), 4)
    canvas.blend(light.layer(leaf, 0.5 + 0.5 * wood, 60), 0.9 + 0.5 * wood)
    floor = pick(rng, [leaf, 0.6 * leaf + 40, 0.6 * canvas.colour("stone")])
    ground(canvas, canvas.surface("leaf", floor), 0.02)
    z, width, phase = np.geomspace(0.5, 90, SIZE), rng.uniform(0.6, 1.6), rng.uniform(0, 6)
    winding = np.sin(z / rng.uniform(5, 14) + phase) - np.sin(phase)
    middle = rng.uniform(0.3, 3) * winding + rng.normal(0, 0.5)
    left, right = (width * (1 + 0.12 * line(canvas, 20, 2)[0]) for _ in range(2))
    soil = plane(canvas, canvas.surface("stone"), 0.04)
    canvas.flat(_between(z, middle - left, middle + right)[:, ::-1], soil)
    bark = canvas.colour("bark")
    for far in canvas.depths(3, 45, 14, 32):
        aside = rng.choice((-1, 1)) * (width + 0.4 + rng.exponential(0.25 * far + 1))
        x = float(np.interp(far, z, middle))
        foot, broad, y = canvas.spot(x + aside, far), rng.uniform(0.2, 0.56), rng.uniform(2.5, 5)
        things.pillar(foot, (broad, 0.7 * broad), 14, np.tile(bark, (1, 48, 1)))
        foot.draw([(0, y), (rng.choice((-1.5, 1.5)), y + 1)], bark, 0.25 * broad, 0.3)
        if rng.random() < 0.25:
            things.mound(canvas.spot(x + 1.3 * aside, far), leaf)
    canopy = noise(rng, (SIZE, SIZE), (26, 26), 4) + 1.6 - ROWS / rng.uniform(20, 50)
    canvas.blend(light.layer(leaf, relief(canopy, 0.5), 5), 2.5 * canopy)


def mountain(canvas: Canvas) -> None:
    """Draw craggy ranges one behind the other, some with snow, and land or a lake before them."""
    look(canvas, (2, 25), (-0.02, 0.22), num_hills=0)
    rng, base = canvas.rng, canvas.camera.horizon
    snow_line, rock = rng.uniform(-30, 90), 0.8 * canvas.colour("stone")
    for level in range(int(rng.integers(1, 4)), 0, -1):
        folds = np.abs(line(canvas, rng.uniform(60, 120), 6))
        crest = base - 18 - level * rng.uniform(14, 30) - (1.2 - folds) * rng.uniform(25, 45)
        rough = noise(rng, (SIZE, SIZE), (45, 30), 5)
        facing = relief(rough, 0.75)
        is_snow = (base - ROWS + 14 * rough > snow_line) & (0.6 * rough + facing > 0.2)
        ridge(canvas, crest, rock, facing, 120.0 * level)
        snow = canvas.light.layer(canvas.colour("white"), facing, 120.0 * level)
        canvas.blend(snow, np.minimum(ROWS - crest, is_snow))
    if rng.random() < 0.4:
        ground(canvas, canvas.surface("waves"), 0.3)
        return
    ground(canvas, canvas.surface("meadow"), 0.2)
    things.scatter(canvas, canvas.depths(30, 160, 0, 24), things.TREES)
    things.scatter(canvas, canvas.depths(8, 40, 0, 3))
