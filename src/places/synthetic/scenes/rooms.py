"""Draw what indoor scenes share: floors, walls, lamps, windows, pictures, plants, people.

Every category gets its room from here, so that the room tells nothing about it.
"""

from typing import NamedTuple

import numpy as np

from places.synthetic.scenes.canvas import Canvas
from places.synthetic.scenes.surfaces import Array, Range, pick
from places.synthetic.scenes.things import person, plant
from places.synthetic.scenes.view import Camera, Vector, light_of


class Room(NamedTuple):
    """The walls of a room as seen from x = z = 0, in metres."""

    left: float
    right: float
    height: float
    depth: float

    @property
    def wide(self) -> float:
        """From wall to wall."""
        return self.right - self.left


def enter(canvas: Canvas, width_m: Range, depth_m: Range) -> Room:
    """Stand in a room of a size within ranges, and draw its floor, ceiling and walls."""
    rng, canvas.light = canvas.rng, light_of(canvas.rng, is_indoors=True)
    wide, height, aside = rng.uniform(*width_m), rng.uniform(2.4, 3.3), rng.uniform(0.3, 0.7)
    here = Room(-wide * aside, wide * (1 - aside), height, rng.uniform(*depth_m))
    focal, pitch = rng.uniform(150, 230), rng.uniform(-0.2, 0.05)
    canvas.camera = Camera(rng.uniform(1.2, 1.9), focal, rng.normal(0, 0.16), pitch)
    walls, long, down = canvas.surface("wall"), here.depth + 2, (0, -height, 0)
    across, away, back = (wide, 0, 0), (0, 0, long), (0, 0, -long)
    canvas.face((here.left, 0, here.depth), across, back, canvas.surface("floor"), 0.8)
    canvas.face((here.left, height, -2), across, away, canvas.colour("plaster"), 0.5)
    canvas.face((here.left, height, here.depth), across, down, walls, 0.7)
    canvas.face((here.left, height, -2), away, down, walls, 0.3)
    canvas.face((here.right, height, here.depth), back, down, walls, 1.0)
    return here


def lamps(canvas: Canvas, here: Room) -> None:
    """Draw lamps in the ceiling or hanging from it."""
    rng, shine, size = canvas.rng, canvas.colour("lamp"), canvas.rng.uniform(0.15, 0.5)
    middle, is_hanging = (here.left + here.right) / 2, rng.random() < 0.35
    for z in np.arange(here.depth - 1, 1.2, -rng.uniform(1.5, 3)):
        if is_hanging:
            spot = canvas.spot(middle, z, here.height - 0.5)
            spot.draw([(0, 0), (0, 0.5)], canvas.colour("dark"), 0.01)
            spot.draw([(0, 0)], shine, 0.2 + 0.5 * size, 1)
        else:
            corner = (middle - size, here.height - 0.01, z)
            canvas.face(corner, (2 * size, 0, 0), (0, 0, size), shine)


def window(canvas: Canvas) -> Array:
    """Return a texture of a window onto the sky, at times with curtains."""
    rng, light = canvas.rng, canvas.light
    down = np.linspace(0, 1, 48, dtype=np.float32)[:, None, None]
    view = np.tile(light.high + down * (light.low - light.high), (1, 48, 1)) / light.sun
    view[-int(rng.integers(4, 20)) :] = canvas.colour("hill")
    frame, bars = pick(rng, [canvas.colour("white"), canvas.colour("paint")]), rng.integers(2, 5)
    view[[0, 1, 2, 23, 45, 46, 47]] = frame
    view[:, [0, 1, 2, 45, 46, 47, *range(0, 48, 48 // int(bars))]] = frame
    if rng.random() < 0.5:
        cloth = canvas.colour("cloth") * np.tile((1, 0.8), 5)[:, None]
        view[:, :10] = view[:, 38:] = cloth
    return view


def picture(canvas: Canvas) -> Array:
    """Return a texture of a framed picture."""
    image = canvas.surface("picture")
    image[[0, 1, -2, -1]] = image[:, [0, 1, -2, -1]] = canvas.colour("wood")
    return image


def decorate(canvas: Canvas, here: Room) -> None:
    """Hang windows and pictures on the walls."""
    rng, top = canvas.rng, here.height * canvas.rng.uniform(0.75, 0.92)
    for _ in range(2):
        image, size = pick(rng, [window, picture])(canvas), rng.uniform(0.5, 1.6)
        x, z = rng.uniform(here.left, here.right - size), rng.uniform(1.2, here.depth - size)
        places: list[tuple[Vector, Vector]] = [
            ((x, top, here.depth - 0.01), (size, 0, 0)),
            ((here.left + 0.01, top, z), (0, 0, size)),
            ((here.right - 0.01, top, z + size), (0, 0, -size)),
        ]
        canvas.face(*pick(rng, places), (0, -size * rng.uniform(0.7, 1.1), 0), image)


def clutter(canvas: Canvas, here: Room) -> None:
    """Put a plant, a box or somebody on the floor, or nothing."""
    rng = canvas.rng
    for z in canvas.depths(2.2, max(2.5, 0.8 * here.depth), 0, 1):
        x, kind = rng.uniform(0.85 * here.left, 0.7 * here.right), rng.integers(3)
        if kind == 0:
            plant(canvas.spot(x, z), canvas.colour("leaf"))
        elif kind == 1:
            canvas.box((x, 0, z), rng.uniform(0.3, 0.7, 3), canvas.colour("wood"))
        else:
            person(canvas.spot(x, z))
