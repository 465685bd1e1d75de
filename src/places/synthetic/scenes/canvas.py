"""Draw shapes, faces and boxes, in one colour or with a texture on them, their edges smooth."""

from colorsys import hsv_to_rgb
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from places.synthetic.scenes.surfaces import COLOURS, GRAIN, INLAYS, SURFACES, Array, pick, woven
from places.synthetic.scenes.view import NEAR_M, SIZE, Camera, Light, Points, Vector


@dataclass
class Canvas:
    """A picture being drawn, (256, 256, 3) uint8, with all that the drawing depends on.

    Its light and its camera are set by whoever starts to draw.
    """

    pixels: Array
    rng: np.random.Generator
    light: Light = field(init=False)
    camera: Camera = field(init=False)

    def colour(self, name: str) -> Array:
        """Return a random colour of a name; lamps shine, and windows at night."""
        if name == "pane":
            name = "lamp" if self.light.is_dark else "dark"
        hue, saturation, value = (self.rng.uniform(*part) for part in pick(self.rng, COLOURS[name]))
        colour = 255 * np.array(hsv_to_rgb(hue % 1, saturation, value), np.float32)
        return colour / self.light.sun if name == "lamp" else colour

    def surface(self, name: str, first: Array | None = None) -> Array:
        """Return a random texture of a name, at wish in another colour than a random one."""
        if name in INLAYS:
            (_, rows, _, columns, base), *patches = INLAYS[name]
            colour = self.colour(str(base)) if first is None else first
            texture = np.tile(colour, (rows, columns, 1))
            for top, bottom, left, right, tone in patches:
                patch = self.colour(tone) if isinstance(tone, str) else tone * colour
                texture[top:bottom, left:right] = patch
            return texture
        names, pattern = pick(self.rng, SURFACES.get(name, [([name], GRAIN)]))
        colours = [self.colour(names[0]) if first is None else first]
        for other in names[1:]:
            colours.append(0.83 * colours[0] if other == "shade" else self.colour(other))
        return woven(self.rng, pattern, colours, pattern.joint * colours[0])

    def depths(self, near_m: float, far_m: float, fewest: int, most: int) -> list[float]:
        """Return random distances of things, the farthest first, as they have to be drawn."""
        count = int(self.rng.integers(fewest, most + 1))
        return sorted(self.rng.uniform(near_m, far_m, count).tolist(), reverse=True)

    def draw(
        self, points: Points, surface: Array, width: float = 0, onto: Array | None = None
    ) -> None:
        """Draw what is given in pixels (n, 2) and final colours.

        One point is a disc, with a width it is a line, else a polygon. A polygon shows a colour
        (3,), a layer of the size of the picture, or a texture and its way onto the picture (3, 3).
        """
        outline = _fixed(points)
        if len(outline) == 1:
            disc = (outline[0].tolist(), round(8 * width), surface.tolist(), -1)
            cv2.circle(self.pixels, *disc, cv2.LINE_AA, 4)
        elif width:
            line = ([outline], False, surface.tolist(), max(1, round(width)))
            cv2.polylines(self.pixels, *line, cv2.LINE_AA, 4)
        elif len(outline) > 2 and surface.ndim == 1:
            cv2.fillPoly(self.pixels, [outline], surface.tolist(), cv2.LINE_AA, 4)
        elif len(outline) > 2:
            self._reveal(np.asarray(points), surface, onto)

    def _reveal(self, outline: Array, layer: Array, onto: Array | None) -> None:
        # Only the part of the picture around the outline is touched.
        left, top = np.clip(np.floor(outline.min(0)).astype(int), 0, SIZE).tolist()
        right, bottom = np.clip(np.ceil(outline.max(0)).astype(int) + 1, 0, SIZE).tolist()
        if right <= left or bottom <= top:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        cv2.fillPoly(mask, [_fixed(outline - (left, top))], 255, cv2.LINE_AA, 4)
        if onto is None:
            seen = layer[top:bottom, left:right]
        else:
            onto = np.array([(1, 0, -left), (0, 1, -top), (0, 0, 1)]) @ onto
            image, edge = layer.astype(np.uint8), cv2.BORDER_REPLICATE
            seen = cv2.warpPerspective(image, onto, mask.shape[::-1], borderMode=edge)
        _mix(self.pixels[top:bottom, left:right], seen, mask * np.float32(1 / 255))

    def blend(self, layer: Array, weight: Array) -> None:
        """Mix a layer (256, 256, 3) into the picture by weights (256, 256), cut to 0 to 1."""
        _mix(self.pixels, layer, np.clip(weight, 0, 1, dtype=np.float32))

    def flat(self, points: Points, surface: Array) -> None:
        """Draw a polygon (n, 2) of x and z on the ground, in a colour or cut out of a layer."""
        x, z = np.asarray(points).T
        seen = self.light.lit(surface, 0.9, 15) if surface.ndim == 1 else surface
        self.draw(self.camera.project(np.stack([x, 0 * x, z], 1)), seen)

    def face(
        self, corner: Vector, across: Vector, down: Vector, surface: Array, facing: float = 1
    ) -> None:
        """Draw a parallelogram in space, in a colour (3,) or with a texture on it.

        It goes from the upper left corner of the texture across and down.
        """
        start, right, below = (np.asarray(vector, float) for vector in (corner, across, down))
        outline = self.camera.project([start, start + right, start + right + below, start + below])
        distance_m = float(np.linalg.norm(start + (right + below) / 2))
        seen, onto = self.light.lit(surface, facing, distance_m), None
        if surface.ndim == 3:
            rows, columns = surface.shape[:2]
            sides = [[*right / columns, 0], [*below / rows, 0], [*start, 1]]
            onto = self.camera.matrix @ np.stack(sides, axis=1)
        self.draw(outline, seen, onto=onto)

    def box(self, corner: Vector, size: Vector, front: Array, side: Array | None = None) -> None:
        """Draw the visible faces of an upright block, which look like its front by default.

        The corner is the lower left front one; the size is width, height and depth.
        """
        (x, y, z), (width, height, depth) = corner, size
        side = front if side is None else side
        up, down = y + height, (0, -height, 0)
        if up < self.camera.eye_m:
            self.face((x, up, z + depth), (width, 0, 0), (0, 0, -depth), side, 1.1)
        if x > 0:
            self.face((x, up, z + depth), (0, 0, -depth), down, side, 1.0)
        if x + width < 0:
            self.face((x + width, up, z), (0, 0, depth), down, side, 0.1)
        if z > 0:
            self.face((x, up, z), (width, 0, 0), down, front, 0.6)

    def spot(self, x: float, z: float, y: float = 0) -> "Spot":
        """Return a place in space, at which things that face the viewer can be drawn."""
        column, row, depth = self.camera.matrix @ (x, y, z, 1)
        depth = max(depth, NEAR_M)
        return Spot(self, column / depth, row / depth, self.camera.focal_px / depth, z)


class Spot(NamedTuple):
    """Where a thing stands. What is drawn is given in units, to the right and up from its foot."""

    canvas: Canvas
    column: float
    row: float
    scale: float  # pixels per unit, which is a metre at first
    distance_m: float

    def moved(self, x: float, y: float, unit: float = 1) -> "Spot":
        """Return another place as far away, with another unit, all in the units of this one."""
        column, row = self.column + x * self.scale, self.row - y * self.scale
        return self._replace(column=column, row=row, scale=unit * self.scale)

    def grown(self, low: float, high: float) -> "Spot":
        """Return the same place, with a height between two as its unit."""
        return self.moved(0, 0, self.canvas.rng.uniform(low, high))

    def draw(
        self, points: Points, surface: Array, width: float = 0, facing: float | Array = 0.6
    ) -> None:
        """Draw a disc, a line or a polygon, and put light on it, as `Canvas.draw` and `Light.lit`.

        A texture goes onto four points: upper left, upper right, lower right, lower left.
        """
        outline = (self.column, self.row) + np.asarray(points) * (self.scale, -self.scale)
        seen, onto = self.canvas.light.lit(surface, facing, self.distance_m), None
        if surface.ndim == 3:
            rows, columns = surface.shape[:2]
            square = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float32)
            onto = cv2.getPerspectiveTransform(square, outline.astype(np.float32))
        self.canvas.draw(outline, seen, width * self.scale, onto)

    def slab(self, foot: Vector, size: Vector, surface: Array, facing: float | Array = 0.6) -> None:
        """Draw an upright rectangle of a width and height; the foot is the middle of its base."""
        (x, y), (width, height) = foot, size
        left, right, top = x - width / 2, x + width / 2, y + height
        self.draw([(left, top), (right, top), (right, y), (left, y)], surface, 0, facing)


def _fixed(points: Points) -> npt.NDArray[np.int32]:
    """Return pixels as OpenCV takes them, with 4 fractional bits."""
    return np.round(np.asarray(points) * 16.0).astype(np.int32)


def _mix(pixels: Array, layer: Array, weight: Array) -> None:
    """Mix a layer into a part of the picture, in place; the weights are 0 to 1."""
    pixels[:] = cv2.blendLinear(layer, pixels, weight, 1 - weight)
