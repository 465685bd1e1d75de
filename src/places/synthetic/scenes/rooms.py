"""Draw what indoor scenes share: floors, walls, lamps, windows and pictures.

Every category gets its room from here, so that the room tells nothing about it.
"""

from typing import NamedTuple

import numpy as np

from places.synthetic.scenes.canvas import Canvas
from places.synthetic.scenes.surfaces import Array, Range, pick
from places.synthetic.scenes.view import Camera, light_of


class Room(NamedTuple):
    """The walls of a room as seen from x = z = 0, in metres."""

    canvas: Canvas
    left: float
    right: float
    height: float
    depth: float
    wide: float

    def hang(self, wall: str, along: float, top: float, size: Range, surface: Array) -> None:
        """Draw a surface of a width and height on a wall, so far along it and up to a height.

        Along the back wall lengths begin at its left end, along the others at the viewer.
        """
        width, height = size
        corner, across, facing = {
            "back": ((self.left + along, top, self.depth - 0.01), (width, 0, 0), 0.7),
            "left": ((self.left + 0.01, top, along), (0, 0, width), 0.3),
            "right": ((self.right - 0.01, top, along + width), (0, 0, -width), 1.0),
        }[wall]
        self.canvas.face(corner, across, (0, -height, 0), surface, facing)


def enter(canvas: Canvas, width_m: Range, depth_m: Range) -> Room:
    """Stand in a room of a size within ranges, and draw its floor, ceiling and walls."""
    rng, canvas.light = canvas.rng, light_of(canvas.rng, is_indoors=True)
    wide, height, aside = rng.uniform(*width_m), rng.uniform(2.4, 3.3), rng.uniform(0.3, 0.7)
    here = Room(canvas, -wide * aside, wide * (1 - aside), height, rng.uniform(*depth_m), wide)
    focal, pitch = rng.uniform(150, 230), rng.uniform(-0.2, 0.05)
    canvas.camera = Camera(rng.uniform(1.2, 1.9), focal, rng.normal(0, 0.16), pitch)
    walls, long, across = canvas.surface("wall"), here.depth + 2, (wide, 0, 0)
    floor, ceiling = canvas.surface("floor"), canvas.colour("plaster")
    canvas.face((here.left, 0, here.depth), across, (0, 0, -long), floor, 0.8)
    canvas.face((here.left, height, -2), across, (0, 0, long), ceiling, 0.5)
    here.hang("back", 0, height, (wide, height), walls)
    for side in ("left", "right"):
        here.hang(side, -2, height, (long, height), walls)
    return here


def lamps(canvas: Canvas, here: Room) -> None:
    """Draw lamps in the ceiling or hanging from it."""
    rng, shine, size = canvas.rng, canvas.colour("lamp"), canvas.rng.uniform(0.15, 0.5)
    middle, is_hanging = (here.left + here.right) / 2, rng.random() < 0.35
    for z in np.arange(here.depth - 1, 1.2, -rng.uniform(1.5, 3)):
        if is_hanging:
            spot = canvas.spot(middle, z, here.height - 0.5)
            spot.draw([(0, 0), (0, 0.5)], 0.1 * shine, 0.01)
            spot.draw([(0, 0)], shine, 0.2 + 0.5 * size, 1)
        else:
            corner = (middle - size, here.height - 0.01, z)
            canvas.face(corner, (2 * size, 0, 0), (0, 0, size), shine)


def window(canvas: Canvas) -> Array:
    """Return a texture of a window onto the sky, at times with curtains."""
    rng, light, frame = canvas.rng, canvas.light, canvas.colour("paint")
    down = np.linspace(0, 1, 48, dtype=np.float32)[:, None, None]
    view = np.tile(light.high + down * (light.low - light.high), (1, 48, 1)) / light.sun
    view[-int(rng.integers(4, 20)) :] = canvas.colour("hill")
    view[[0, 1, 2, 23, 45, 46, 47]] = frame
    view[:, [0, 1, 2, *range(0, 48, 48 // int(rng.integers(2, 5))), 45, 46, 47]] = frame
    if rng.random() < 0.5:
        folds = canvas.colour("cloth") * np.tile((1, 0.8), 5)[:, None]
        view[:, :10] = view[:, 38:] = folds
    return view


def decorate(canvas: Canvas, here: Room) -> None:
    """Hang windows and pictures on the walls."""
    rng, top = canvas.rng, here.height * canvas.rng.uniform(0.75, 0.92)
    for _ in range(2):
        image = window(canvas) if rng.random() < 0.5 else canvas.surface("picture")
        width = rng.uniform(0.5, 1.6)
        wall, size = pick(rng, ["back", "left", "right"]), (width, width * rng.uniform(0.7, 1.1))
        start, end = (0.0, here.wide) if wall == "back" else (1.2, here.depth)
        here.hang(wall, rng.uniform(start, end - width), top, size, image)
