"""Draw one scene of a category."""

from collections.abc import Callable

import numpy as np

from places.synthetic.scenes import buildings, indoor, open_land
from places.synthetic.scenes.canvas import Canvas
from places.synthetic.scenes.surfaces import Array
from places.synthetic.scenes.view import SIZE, photograph

_SCENES: dict[str, Callable[[Canvas], None]] = {
    "baseball_field": open_land.baseball_field,
    "beach": open_land.beach,
    "bedroom": indoor.bedroom,
    "bookstore": indoor.bookstore,
    "castle": buildings.castle,
    "corridor": indoor.corridor,
    "desert/sand": open_land.desert,
    "forest_path": open_land.forest_path,
    "kitchen": indoor.kitchen,
    "lighthouse": buildings.lighthouse,
    "mountain": open_land.mountain,
    "skyscraper": buildings.skyscraper,
}
SCENES = tuple(_SCENES)
"""The categories that can be drawn, by their official names, in the order of their labels."""


def draw_scene(category: str, generator: np.random.Generator) -> Array:
    """Draw a scene of a category, which is one of `SCENES`: (256, 256, 3) uint8 RGB.

    Equal states of the generator give equal pictures.

    Raises:
        ValueError: The category cannot be drawn.
    """
    if category not in SCENES:
        raise ValueError(f"cannot draw {category!r}; only {', '.join(SCENES)}")
    canvas = Canvas(np.zeros((SIZE, SIZE, 3), np.uint8), generator)
    _SCENES[category](canvas)
    return photograph(generator, canvas.pixels)
