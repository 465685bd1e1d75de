import numpy as np
import pytest

from places.synthetic.scenes.view import NEAR_M, Camera, Light, light_of, photograph

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
    pixels = camera.project([(0, 2, 5), (1, 2, 5), (1, 3, 10)])
    assert pixels == pytest.approx(np.array([(128, 128), (148, 128), (138, 118)]))


def test_far_ground_meets_the_horizon() -> None:
    camera = Camera(eye_m=1.7, focal_px=200, yaw=0.3, pitch=0.2)
    rows = camera.project([(x, 0, 1e6) for x in (-1e5, 0, 1e5)])[:, 1]
    assert rows == pytest.approx(camera.horizon, abs=0.1)


def test_turning_right_and_up_moves_things_left_and_down() -> None:
    camera = Camera(1.7, 200, yaw=0.1, pitch=0.2)
    column, row = camera.project([(0.0, 1.7, 10.0)])[0]
    assert column < 128
    assert row > 128


def test_what_lies_behind_the_camera_is_cut_off() -> None:
    camera = Camera(1.0, focal_px=100)
    pixels = camera.project([(-1, 0, 5), (1, 0, 5), (1, 0, -5), (-1, 0, -5)])
    nearest = 128 + 100 / NEAR_M
    assert pixels[:, 1].max() == pytest.approx(nearest)
    assert len(pixels) == 4
    assert len(camera.project([(-1, 0, -5), (1, 0, -5), (0, 1, -5)])) == 0


def test_light_is_between_sun_and_shade() -> None:
    assert LIGHT.lit(GREY, 1) == pytest.approx(GREY * LIGHT.sun)
    assert LIGHT.lit(GREY, 0) == pytest.approx(GREY * LIGHT.shade)
    assert LIGHT.lit(np.full(3, 900, np.float32)).max() == 255


def test_haze_takes_the_colour_of_the_sky_but_hides_nothing() -> None:
    half = float(np.log(2) / LIGHT.haze_per_m)
    middle = 0.5 * GREY * LIGHT.sun + 0.5 * LIGHT.low
    assert LIGHT.lit(GREY, 1, half) == pytest.approx(middle)
    assert LIGHT.lit(GREY, 1, 1e6) == pytest.approx(0.45 * GREY * LIGHT.sun + 0.55 * LIGHT.low)


def test_a_relit_layer_is_lit_pixel_by_pixel() -> None:
    facing = np.linspace(-0.2, 1.2, 12, dtype=np.float32).reshape(3, 4)
    layer = LIGHT.layer(GREY, facing)
    expected = LIGHT.lit(GREY, np.clip(facing, 0, 1)[..., None])
    assert layer.dtype == np.uint8
    assert np.abs(layer - expected).max() <= 1


def test_lamps_are_lit_indoors_and_at_night() -> None:
    rng = np.random.default_rng(0)
    assert all(light_of(rng, is_indoors=True).is_dark for _ in range(20))
    outside = [light_of(rng, is_indoors=False) for _ in range(40)]
    assert {light.is_dark for light in outside} == {True, False}
    assert all(light.sun.mean() < 0.6 for light in outside if light.is_dark)


def test_two_photographs_of_one_scene_differ() -> None:
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (256, 256, 3)).astype(np.uint8)
    first, second = (photograph(rng, scene) for _ in range(2))
    assert first.shape == (256, 256, 3)
    assert first.dtype == np.uint8
    assert (first != second).mean() > 0.5
