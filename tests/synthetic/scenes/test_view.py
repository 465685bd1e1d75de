import numpy as np
import pytest

from places.synthetic.scenes.view import NEAR_M, Camera, Light, glow, lit, place, project, relit

GREY = np.array((100, 120, 140), np.float32)
LIGHT = Light(
    high=np.array((50, 100, 200), np.float32),
    low=np.array((200, 210, 220), np.float32),
    sun=np.array((1.0, 0.9, 0.8), np.float32),
    shade=np.array((0.5, 0.5, 0.6), np.float32),
    haze_per_m=0.01,
    is_dark=False,
)


def test_a_camera_that_looks_ahead_is_a_pinhole() -> None:
    camera = Camera(eye_m=2, focal_px=100)
    pixels = project(camera, [(0, 2, 5), (1, 2, 5), (1, 3, 10)])
    assert pixels == pytest.approx(np.array([(128, 128), (148, 128), (138, 118)]))


def test_far_ground_meets_the_horizon() -> None:
    camera = Camera(eye_m=1.7, focal_px=200, yaw=0.3, pitch=0.2)
    rows = project(camera, [(x, 0, 1e6) for x in (-1e5, 0, 1e5)])[:, 1]
    assert rows == pytest.approx(camera.horizon, abs=0.1)


def test_turning_right_and_up_moves_things_left_and_down() -> None:
    ahead = (0.0, 1.7, 10.0)
    column, row, _ = place(Camera(1.7, 200, yaw=0.1, pitch=0.2), *ahead)
    assert column < 128
    assert row > 128


def test_place_agrees_with_project() -> None:
    camera = Camera(1.5, 220, yaw=-0.2, pitch=0.1)
    column, row, scale = place(camera, 1, 2, 8)
    points = [(1, 2, 8), (1, 2, 9), (2, 2, 8)]
    assert (column, row) == pytest.approx(project(camera, points)[0])
    depth = 8 * np.cos(0.2) * np.cos(0.1) - np.sin(0.2) * np.cos(0.1) + 0.5 * np.sin(0.1)
    assert scale == pytest.approx(220 / depth)


def test_what_lies_behind_the_camera_is_cut_off() -> None:
    camera = Camera(1.0, focal_px=100)
    pixels = project(camera, [(-1, 0, 5), (1, 0, 5), (1, 0, -5), (-1, 0, -5)])
    nearest = 128 + 100 / NEAR_M
    assert pixels[:, 1].max() == pytest.approx(nearest)
    assert len(pixels) == 4
    assert len(project(camera, [(-1, 0, -5), (1, 0, -5), (0, 1, -5)])) == 0


def test_light_is_between_sun_and_shade() -> None:
    assert lit(LIGHT, GREY, 1) == pytest.approx(GREY * LIGHT.sun)
    assert lit(LIGHT, GREY, 0) == pytest.approx(GREY * LIGHT.shade)
    assert lit(LIGHT, np.full(3, 900, np.float32)).max() == 255


def test_haze_takes_the_colour_of_the_sky_but_hides_nothing() -> None:
    half = float(np.log(2) / LIGHT.haze_per_m)
    middle = 0.5 * GREY * LIGHT.sun + 0.5 * LIGHT.low
    assert lit(LIGHT, GREY, 1, half) == pytest.approx(middle)
    assert lit(LIGHT, GREY, 1, 1e6) == pytest.approx(0.45 * GREY * LIGHT.sun + 0.55 * LIGHT.low)


def test_a_lamp_keeps_its_colour() -> None:
    assert lit(LIGHT, glow(LIGHT, GREY)) == pytest.approx(GREY)


def test_a_relit_layer_is_lit_pixel_by_pixel() -> None:
    facing = np.linspace(-0.2, 1.2, 12, dtype=np.float32).reshape(3, 4)
    layer = relit(LIGHT, GREY, facing)
    expected = lit(LIGHT, GREY, np.clip(facing, 0, 1)[..., None])
    assert layer.dtype == np.uint8
    assert np.abs(layer - expected).max() <= 1
