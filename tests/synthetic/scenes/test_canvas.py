import numpy as np
import pytest

from places.synthetic.scenes.canvas import Canvas
from places.synthetic.scenes.view import SIZE, Camera, Light

RED, GREEN, BLUE, GREY = (
    np.array(colour, np.float32) for colour in ((200, 0, 0), (0, 200, 0), (0, 0, 200), (90, 90, 90))
)


@pytest.fixture
def canvas() -> Canvas:
    one = np.ones(3, np.float32)
    light = Light(GREY, GREY, sun=one, shade=one, haze_per_m=0, is_dark=False)
    canvas = Canvas(np.zeros((SIZE, SIZE, 3), np.uint8), np.random.default_rng(0))
    canvas.light, canvas.camera = light, Camera(0.0, focal_px=128.0)
    return canvas


def test_a_polygon_covers_its_pixels_and_partly_its_edge(canvas: Canvas) -> None:
    canvas.draw([(10, 10), (20, 10), (20, 20.5), (10, 20.5)], RED)
    assert canvas.pixels[15, 15].tolist() == RED.tolist()
    assert canvas.pixels[15, 25].tolist() == [0, 0, 0]
    assert 0 < canvas.pixels[21, 15, 0] < 200


def test_a_texture_lies_the_right_way_round_on_a_face(canvas: Canvas) -> None:
    texture = np.stack([[RED, GREEN], [BLUE, GREY]]).repeat(8, axis=0).repeat(8, axis=1)
    canvas.face((-1, 1, 2), (2, 0, 0), (0, -2, 0), texture)
    for row, column, colour in ((80, 80, RED), (80, 176, GREEN), (176, 80, BLUE), (176, 176, GREY)):
        assert canvas.pixels[row, column].tolist() == colour.tolist()
    assert canvas.pixels[60, 128].tolist() == [0, 0, 0]


def test_a_texture_on_the_ground_is_in_perspective(canvas: Canvas) -> None:
    texture = np.stack([[RED], [GREEN]]).repeat(32, axis=0).repeat(32, axis=1)
    # From 2 to 6 m away and 1 m below the eye; the middle at 4 m is 32 pixels below the horizon.
    canvas.face((-1, -1, 6), (2, 0, 0), (0, 0, -4), texture)
    column = canvas.pixels[:, 128]
    changes = np.flatnonzero(column[:, 1] > column[:, 0])
    assert changes[0] == pytest.approx(128 + 32, abs=1)
    assert changes[-1] == pytest.approx(128 + 64, abs=1)


def test_a_face_behind_the_camera_is_not_drawn(canvas: Canvas) -> None:
    canvas.face((-1, 1, -2), (2, 0, 0), (0, -2, 0), np.tile(RED, (4, 4, 1)))
    canvas.face((-1, 1, -2), (2, 0, 0), (0, -2, 0), RED)
    assert not canvas.pixels.any()


def test_a_line_has_a_width_and_one_point_is_a_disc(canvas: Canvas) -> None:
    canvas.draw([(10, 50), (90, 50)], RED, 4)
    assert np.count_nonzero(canvas.pixels[:, 50, 0] == 200) == pytest.approx(4, abs=1)
    canvas.draw([(150, 150)], BLUE, 20)
    assert canvas.pixels[..., 2].sum() / 200 == pytest.approx(np.pi * 10**2, rel=0.2)


def test_things_grow_up_from_their_spot(canvas: Canvas) -> None:
    # At 2 m a metre has 64 pixels; the horizon is in the middle.
    canvas.spot(0, 2).moved(0.5, 0).slab((0, 0), (0.5, 1), GREEN)
    rows, columns = np.nonzero(canvas.pixels[..., 1] == 200)
    assert (rows.min(), rows.max()) == pytest.approx((128 - 64, 128), abs=1)
    assert (columns.min(), columns.max()) == pytest.approx((128 + 16, 128 + 48), abs=1)


def test_a_texture_outside_the_picture_is_not_drawn(canvas: Canvas) -> None:
    canvas.spot(10, 2).slab((0, 0), (1, 1), np.tile(RED, (4, 4, 1)))
    assert not canvas.pixels.any()


def test_far_things_are_drawn_first(canvas: Canvas) -> None:
    depths = canvas.depths(2, 50, 5, 9)
    assert depths == sorted(depths, reverse=True)
    assert 5 <= len(depths) <= 9


def test_a_box_shows_only_the_sides_turned_to_the_camera(canvas: Canvas) -> None:
    canvas.box((0.5, -1, 2), (1, 0.5, 1), RED, GREEN)
    colours = {tuple(pixel) for pixel in canvas.pixels.reshape(-1, 3).tolist()}
    assert {(200, 0, 0), (0, 200, 0)} <= colours
    canvas.pixels[:] = 0
    canvas.box((-0.5, -0.5, 2), (1, 1, 1), RED, GREEN)
    colours = {tuple(pixel) for pixel in canvas.pixels.reshape(-1, 3).tolist()}
    assert (200, 0, 0) in colours
    assert (0, 200, 0) not in colours
