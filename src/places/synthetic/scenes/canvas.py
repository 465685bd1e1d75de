"""Draw polygons, lines, textured faces and boxes into a picture, their edges smooth.

Functions that take pixels take final colours; those that take metres put the light on them.
"""

import cv2
import numpy as np
import numpy.typing as npt

from places.synthetic.scenes.textures import Array
from places.synthetic.scenes.view import SIZE, Canvas, Points, Vector, lit, project


def fixed_point(points: Points) -> npt.NDArray[np.int32]:
    """Return pixels as OpenCV takes them with 4 fractional bits, (n, 2)."""
    return np.round(np.asarray(points) * 16.0).astype(np.int32)


def fill(canvas: Canvas, points: Points, colour: Array) -> None:
    """Fill a polygon given in pixels (n, 2) with a final colour, its edges smooth."""
    if len(points) > 2:
        cv2.fillPoly(canvas.pixels, [fixed_point(points)], colour.tolist(), cv2.LINE_AA, 4)


def stroke(canvas: Canvas, points: Points, colour: Array, width_px: float = 1) -> None:
    """Draw a line through pixels (n, 2) in a final colour, its edges smooth."""
    width = max(1, round(width_px))
    corners = [fixed_point(points)]
    cv2.polylines(canvas.pixels, corners, False, colour.tolist(), width, cv2.LINE_AA, 4)


def dot(canvas: Canvas, centre: Vector, radius_px: float, colour: Array) -> None:
    """Draw a disc in a final colour, its edge smooth."""
    x, y = (round(16 * value) for value in centre)
    cv2.circle(canvas.pixels, (x, y), round(16 * radius_px), colour.tolist(), -1, cv2.LINE_AA, 4)


def slab(canvas: Canvas, foot: Vector, size: Vector, colour: Array) -> None:
    """Fill an upright rectangle in a final colour; the foot is the middle of its base in pixels."""
    (x, y), (width, height) = foot, size
    left, right, top = x - width / 2, x + width / 2, y - height
    fill(canvas, [(left, top), (right, top), (right, y), (left, y)], colour)


def stencil(canvas: Canvas, points: Points, layer: Array) -> None:
    """Show a layer of the size of the picture inside a polygon given in pixels (n, 2)."""
    if len(points) < 3:
        return
    rows, columns = _part_around(np.asarray(points))
    if rows.stop > rows.start and columns.stop > columns.start:
        part = canvas.pixels[rows, columns]
        mask = np.zeros(part.shape[:2], np.uint8)
        corners = fixed_point(np.asarray(points) - (columns.start, rows.start))
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, 4)
        _mix(part, layer[rows, columns], mask * np.float32(1 / 255))


def blend(canvas: Canvas, layer: Array, weight: Array) -> None:
    """Mix a layer (256, 256, 3) into the picture by weights (256, 256), cut to 0 to 1."""
    _mix(canvas.pixels, layer, np.clip(weight, 0, 1, dtype=np.float32))


def _mix(pixels: Array, layer: Array, weight: Array) -> None:
    """Mix a layer into a part of the picture, in place; the weights are 0 to 1."""
    own, layer = np.ascontiguousarray(pixels), np.ascontiguousarray(layer)
    pixels[:] = cv2.blendLinear(layer, own, weight, 1 - weight)


def _part_around(outline: Array) -> tuple[slice, slice]:
    """Return the rows and columns of the picture that a polygon (n, 2) may touch."""
    left, top = np.clip(np.floor(outline.min(0)).astype(int), 0, SIZE).tolist()
    right, bottom = np.clip(np.ceil(outline.max(0)).astype(int) + 1, 0, SIZE).tolist()
    return slice(top, bottom), slice(left, right)


def face(
    canvas: Canvas,
    corner: Vector,
    across: Vector,
    down: Vector,
    surface: Array,
    facing: float = 1.0,
) -> None:
    """Draw a parallelogram in space, in one colour or with a texture on it.

    Args:
        canvas: The picture.
        corner: Where the upper left corner of the texture goes, (x, y, z).
        across: From there to its upper right corner.
        down: From there to its lower left corner.
        surface: A colour (3,) or a texture (rows, columns, 3).
        facing: 1 for a face turned to the light, 0 for one in the shade.
    """
    start, right, below = (np.asarray(vector, float) for vector in (corner, across, down))
    corners = [start, start + right, start + right + below, start + below]
    outline = project(canvas.camera, corners)
    if len(outline) < 3:
        return
    seen = lit(canvas.light, surface, facing, float(np.linalg.norm(start + (right + below) / 2)))
    if surface.ndim == 1:
        fill(canvas, outline, seen)
    else:
        rows, columns = surface.shape[:2]
        sides = [right / columns, below / rows, start - canvas.camera.eye]
        _paste(canvas, seen, canvas.camera.matrix @ np.stack(sides, axis=1), outline)


def sticker(canvas: Canvas, corners: Points, texture: Array) -> None:
    """Stretch a texture in final colours over four pixels: upper left, upper right, and round."""
    rows, columns = texture.shape[:2]
    square = np.array([(0, 0), (columns, 0), (columns, rows), (0, rows)], np.float32)
    outline = np.asarray(corners, np.float32)
    onto = cv2.getPerspectiveTransform(square, outline)
    _paste(canvas, texture, onto, outline)


def _paste(canvas: Canvas, texture: Array, onto: Array, outline: Array) -> None:
    rows, columns = _part_around(outline)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return
    # Only the part of the picture around the outline is touched.
    left, top = columns.start, rows.start
    onto = np.array(onto)
    onto[:2] -= np.outer((left, top), onto[2])
    region = canvas.pixels[rows, columns]
    mask = np.zeros(region.shape[:2], np.uint8)
    cv2.fillPoly(mask, [fixed_point(outline - (left, top))], 255, cv2.LINE_AA, 4)
    image, size = texture.astype(np.uint8), mask.shape[::-1]
    warped = cv2.warpPerspective(
        image, onto, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    _mix(region, warped, mask * np.float32(1 / 255))


def box(
    canvas: Canvas,
    corner: Vector,
    size: Vector,
    surface: Array,
    *,
    side: Array | None = None,
    top: Array | None = None,
) -> None:
    """Draw the visible faces of an upright block.

    Args:
        canvas: The picture.
        corner: The lower left front corner, (x, y, z).
        size: Width, height and depth.
        surface: Colour or texture of the front, and of the other faces by default.
        side: That of the left and right faces.
        top: That of the upper face.
    """
    x, y, z = corner
    width, height, depth = size
    side = surface if side is None else side
    top = surface if top is None else top
    up, down = y + height, (0, -height, 0)
    if up < canvas.camera.eye_m:
        face(canvas, (x, up, z + depth), (width, 0, 0), (0, 0, -depth), top, 1.1)
    if x > 0:
        face(canvas, (x, up, z + depth), (0, 0, -depth), down, side, 1.0)
    if x + width < 0:
        face(canvas, (x + width, up, z), (0, 0, depth), down, side, 0.1)
    if z > 0:
        face(canvas, (x, up, z), (width, 0, 0), down, surface, 0.6)
