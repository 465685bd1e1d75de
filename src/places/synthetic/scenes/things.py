"""Things that stand around in scenes; each is drawn from its foot, in units of its height."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from places.synthetic.scenes.canvas import Canvas, Spot
from places.synthetic.scenes.surfaces import Array, Range, pick

_AROUND = np.linspace(-1, 1, 48, dtype=np.float32)
_ROUND = np.clip(0.65 - 0.75 * _AROUND - 0.25 * _AROUND**2, 0, 1)[None, :, None]


def arc(centre: Range, size: Range, turns: Range, count: int) -> Array:
    """Return points (n, 2) of an ellipse between two angles in half turns, 0 is to the right."""
    angles = np.pi * np.linspace(*turns, count)
    return np.stack([np.cos(angles), np.sin(angles)], 1) * size + centre


def pillar(spot: Spot, widths: Range, height: float, texture: Array) -> None:
    """Draw a round pillar of a width below and another above; the texture has 48 columns."""
    low, high = widths[0] / 2, widths[1] / 2
    spot.draw([(-high, height), (high, height), (low, 0), (-low, 0)], texture, facing=_ROUND)


def tree(spot: Spot, leaf: Array) -> None:
    """Draw a tree with a crown of many tufts."""
    rng, spot, half = spot.canvas.rng, spot.grown(3, 9), spot.canvas.rng.uniform(0.2, 0.35)
    spot.draw([(0, 0), (0, 0.5)], 0.4 * leaf, 0.06)
    for turn, far, size in rng.uniform((0, 0, 0.14), (2 * np.pi, 1, 0.3), (18, 3)):
        x, y = far**0.5 * np.cos(turn), far**0.5 * np.sin(turn)
        facing = min(max(0.5 + 0.4 * (y - x), 0), 1)
        spot.draw([(half * x, 0.66 + 0.3 * y)], leaf, size, facing)


def fir(spot: Spot, leaf: Array) -> None:
    """Draw a fir, its right half in the shade."""
    spot, half = spot.grown(3, 9), spot.canvas.rng.uniform(0.2, 0.3)
    spot.draw([(0, 0), (0, 0.5)], 0.4 * leaf, 0.06)
    for level in (0.15, 0.31, 0.47, 0.63, 0.8):
        tip, wide = (0, min(1.0, level + 0.3)), half * (1.1 - level)
        for side in (-wide, wide):
            spot.draw([tip, (side, level), (0, level)], 0.75 * leaf, facing=0.9 * (side < 0))


def mound(spot: Spot, colour: Array) -> None:
    """Draw a bush or a rock, depending on the colour."""
    rng, spot = spot.canvas.rng, spot.grown(0.3, 1.2)
    outline = arc((0, 0), (1, rng.uniform(0.5, 1)), (1, 0), 9) * rng.uniform(0.75, 1.1, (9, 1))
    spot.draw(outline, colour, facing=0.8)
    spot.draw([*outline[int(rng.integers(4, 7)) :], (0.2, 0)], colour, facing=0.1)


def person(spot: Spot, colour: Array) -> None:
    """Draw somebody standing there, in trousers of a colour."""
    rng, spot = spot.canvas.rng, spot.grown(1.5, 1.9)
    for side in (-0.05, 0.05):
        spot.draw([(side, 0.5), (side * rng.uniform(0.5, 2.5), 0)], colour, 0.09)
    spot.slab((0, 0.46), (rng.uniform(0.18, 0.25), 0.38), spot.canvas.colour("cloth"))
    spot.draw([(0, 0.92)], spot.canvas.colour("skin"), 0.15)


def palm(spot: Spot, leaf: Array) -> None:
    """Draw a palm tree, bent by the wind."""
    spot, up, bend = spot.grown(5, 9), np.linspace(0, 1, 8), spot.canvas.rng.uniform(-0.3, 0.3)
    spot.draw(np.stack([bend * up**2, up], 1), spot.canvas.colour("bark"), 0.035)
    _fronds(spot.moved(bend, 1, 0.4), leaf, 0.6)


def plant(spot: Spot, leaf: Array) -> None:
    """Draw a plant with long leaves in a pot."""
    spot = spot.grown(0.8, 1.2)
    _fronds(spot.moved(0, 0.33, 0.5), leaf, 1.5)
    spot.slab((0, 0), (0.3, 0.35), spot.canvas.colour("paint"))


def crate(spot: Spot, colour: Array) -> None:
    """Draw a box on the floor."""
    spot.grown(0.3, 0.7).slab((0, 0), (1, 1), colour)


def _fronds(spot: Spot, leaf: Array, rise: float) -> None:
    """Draw long leaves that hang over."""
    rng, far = spot.canvas.rng, np.linspace(0, 1, 6)
    for turn in np.linspace(0.1, np.pi - 0.1, 9) + rng.normal(0, 0.15, 9):
        line = np.stack([far * np.cos(turn), far * (rise * np.sin(turn) + 0.2 - 0.6 * far)], 1)
        spot.draw(line, leaf * rng.uniform(0.8, 1.2), 0.08, rng.uniform(0.2, 1))


def parasol(spot: Spot, colour: Array) -> None:
    """Draw a striped parasol and a towel."""
    spot, white = spot.grown(2.1, 2.7), spot.canvas.colour("white")
    spot.draw([(0.4, 0), (1.3, 0), (1.5, 0.15), (0.6, 0.15)], colour, facing=0.9)
    spot.draw([(0, 0), (0, 1)], white, 0.035)
    rim = arc((0, 0), (0.6, 0.3), (1, 0), 7)
    for index, ((left, rise), (right, end)) in enumerate(pairwise(rim)):
        stripe = [(left, 0.72), (left, 0.72 + rise), (right, 0.72 + end), (right, 0.72)]
        spot.draw(stripe, colour if index % 2 else white, facing=1 - index / 6)


def cottage(spot: Spot, colour: Array) -> None:
    """Draw a small house with a roof of a colour."""
    spot, glass = spot.grown(2.5, 4.5), spot.canvas.colour("pane")
    spot.slab((0, 0), (2, 1), spot.canvas.colour("paint"))
    spot.draw([(-1.1, 1), (-0.8, 1.7), (0.8, 1.7), (1.1, 1)], colour, facing=0.9)
    for x in (-0.6, 0, 0.6):
        spot.slab((x, 0.3), (0.24, 0.4), glass, 1)


Kinds = Sequence[tuple[Callable[[Spot, Array], None], str]]
TREES: Kinds = [(fir, "leaf"), (fir, "leaf"), (tree, "leaf")]
PEOPLE: Kinds = [(person, "cloth")]
INDOORS: Kinds = [(plant, "leaf"), (person, "cloth"), (crate, "wood")]
SEASIDE: Kinds = [(parasol, "bright"), (parasol, "bright"), (palm, "leaf"), (person, "cloth")]
ANYTHING: Kinds = [*TREES[1:], (mound, "leaf"), (mound, "hill"), (person, "cloth")]


def scatter(
    canvas: Canvas, depths: Sequence[float], kinds: Kinds = ANYTHING, aside: float = 0.6
) -> None:
    """Put things of one or two kinds at some distances, each kind in one colour of a name.

    They are aside of where the viewer looks by up to a part of their distance.
    """
    rng = canvas.rng
    coloured = [(draw, canvas.colour(name)) for draw, name in (pick(rng, kinds), pick(rng, kinds))]
    for z in depths:
        draw, colour = pick(rng, coloured)
        draw(canvas.spot(z * (rng.uniform(-aside, aside) + np.tan(canvas.camera.yaw)), z), colour)
