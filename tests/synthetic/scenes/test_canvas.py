import numpy as np
import pytest

from places.synthetic.scenes.canvas import box, face, fill, sticker
from places.synthetic.scenes.view import SIZE, Camera, Canvas, Light

RED, GREEN, BLUE, GREY = (
    np.array(colour, np.float32) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90))
)


@pytest.fixture
def canvas() -> Canvas:
    one = np.ones(3, np.float32)
    light = Light(GREY, GREY, sun=one, shade=one, haze_per_m=0, is_dark=False)
    pixels = np.zeros((SIZE, SIZE, 3), np.uint8)
    return Canvas(pixels, np.random.default_rng(0), light, Camera(0.0, focal_px=128.0))


def test_a_polygon_covers_its_pixels_and_partly_its_edge(canvas: Canvas) -> None:
    fill(canvas, [(10, 10), (20, 10), (20, 20.5), (10, 20.5)], RED)
    assert canvas.pixels[15, 15].tolist() == RED.tolist()
    assert canvas.pixels[15, 25].tolist() == [0, 0, 0]
    assert 0 < canvas.pixels[21, 15, 0] < 200


def test_a_texture_lies_the_right_way_round_on_a_face(canvas: Canvas) -> None:
    texture = np.stack([[RED, GREEN], [BLUE, GREY]]).repeat(8, axis=0).repeat(8, axis=1)
    face(canvas, (-1, 1, 2), (2, 0, 0), (0, -2, 0), texture)
    for row, column, colour in ((80, 80, RED), (80, 176, GREEN), (176, 80, BLUE), (176, 176, GREY)):
        assert canvas.pixels[row, column].tolist() == colour.tolist()
    assert canvas.pixels[60, 128].tolist() == [0, 0, 0]


def test_a_texture_on_the_ground_is_in_perspective(canvas: Canvas) -> None:
    texture = np.stack([[RED], [GREEN]]).repeat(32, axis=0).repeat(32, axis=1)
    # From 2 to 6 m away and 1 m below the eye; the middle at 4 m is 32 pixels below the horizon.
    face(canvas, (-1, -1, 6), (2, 0, 0), (0, 0, -4), texture)
    column = canvas.pixels[:, 128]
    changes = np.flatnonzero(column[:, 1] > column[:, 0])
    assert changes[0] == pytest.approx(128 + 32, abs=1)
    assert changes[-1] == pytest.approx(128 + 64, abs=1)


def test_a_face_behind_the_camera_is_not_drawn(canvas: Canvas) -> None:
    face(canvas, (-1, 1, -2), (2, 0, 0), (0, -2, 0), np.tile(RED, (4, 4, 1)))
    face(canvas, (-1, 1, -2), (2, 0, 0), (0, -2, 0), RED)
    assert not canvas.pixels.any()


def test_a_sticker_outside_the_picture_is_not_drawn(canvas: Canvas) -> None:
    sticker(canvas, [(300, 10), (310, 10), (310, 20), (300, 20)], np.tile(RED, (4, 4, 1)))
    assert not canvas.pixels.any()


def test_a_box_shows_only_the_sides_turned_to_the_camera(canvas: Canvas) -> None:
    box(canvas, (0.5, -1, 2), (1, 0.5, 1), RED, side=GREEN, top=BLUE)
    colours = {tuple(pixel) for pixel in canvas.pixels.reshape(-1, 3).tolist()}
    assert {(200, 0, 0), (0, 200, 0), (0, 0, 200)} <= colours
    canvas.pixels[:] = 0
    box(canvas, (-0.5, -0.5, 2), (1, 1, 1), RED, side=GREEN, top=BLUE)
    colours = {tuple(pixel) for pixel in canvas.pixels.reshape(-1, 3).tolist()}
    assert (0, 200, 0) not in colours
    assert (0, 0, 200) not in colours
