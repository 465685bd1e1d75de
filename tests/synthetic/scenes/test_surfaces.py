import numpy as np
import pytest

from places.synthetic.scenes.canvas import Canvas
from places.synthetic.scenes.surfaces import (
    COLOURS,
    INLAYS,
    SURFACES,
    Pattern,
    noise,
    relief,
    woven,
)
from places.synthetic.scenes.view import SIZE, light_of

GREY, DARK = np.full(3, 120, np.float32), np.full(3, 20, np.float32)


@pytest.fixture
def canvas() -> Canvas:
    canvas = Canvas(np.zeros((SIZE, SIZE, 3), np.uint8), np.random.default_rng(0))
    canvas.light = light_of(canvas.rng, is_indoors=True)
    return canvas


def test_noise_is_centred_and_smooth() -> None:
    field = noise(np.random.default_rng(0), (200, 300), (50, 50), octaves=1)
    assert field.shape == (200, 300)
    assert abs(field.mean()) < 0.6
    assert np.abs(np.diff(field, axis=0)).max() < 0.3


def test_more_octaves_add_finer_bumps() -> None:
    coarse, fine = (noise(np.random.default_rng(0), (64, 64), (32, 32), n) for n in (1, 4))
    assert np.abs(np.diff(fine)).mean() > 1.5 * np.abs(np.diff(coarse)).mean()


def test_grain_keeps_the_hue() -> None:
    colour = np.array((200, 100, 50), np.float32)
    texture = woven(np.random.default_rng(0), Pattern((12, 12), 0.12), [colour], DARK)
    assert texture.shape == (128, 128, 3)
    assert texture[..., 0] == pytest.approx(2 * texture[..., 1], rel=1e-4)


def test_relief_is_half_lit_where_flat_and_brighter_uphill() -> None:
    flat = np.zeros((9, 9), np.float32)
    uphill = np.tile(np.arange(9, dtype=np.float32), (9, 1))
    assert relief(flat, 0.5) == pytest.approx(0.5)
    assert (relief(0.1 * uphill, 0.1)[1:-1, 1:-1] > 0.5).all()
    assert relief(100 * uphill, 1).max() == 1


def test_cells_have_joints_around_them() -> None:
    texture = woven(np.random.default_rng(0), Pattern((8, 5), 0, (2, 3)), [GREY], DARK)
    assert texture.shape == (16, 15, 3)
    is_joint = (texture == DARK).all(-1)
    rows, columns = np.indices(is_joint.shape)
    assert np.array_equal(is_joint, (rows % 8 == 0) | (columns % 5 == 0))


def test_bricks_are_moved_by_half_in_every_second_row() -> None:
    bricks = Pattern((4, 6), 0, (2, 3), is_brick=True)
    texture = woven(np.random.default_rng(0), bricks, [GREY], DARK)
    assert np.flatnonzero(texture[2, :, 0] == 20).tolist() == [0, 6, 12]
    assert np.flatnonzero(texture[6, :, 0] == 20).tolist() == [3, 9, 15]


def test_checks_alternate_and_chance_takes_all_colours() -> None:
    board = Pattern((2, 2), 0, (3, 4), is_checked=True)
    checked = woven(np.random.default_rng(0), board, [GREY, DARK], GREY)[1::2, 1::2, 0]
    assert checked.tolist() == [[120, 20, 120, 20], [20, 120, 20, 120], [120, 20, 120, 20]]
    mixed = woven(np.random.default_rng(0), Pattern((2, 2), 0, (5, 5)), [GREY, DARK], GREY)
    assert set(mixed[1::2, 1::2].ravel()) == {20, 120}


def test_colours_stay_within_their_ranges(canvas: Canvas) -> None:
    for _ in range(50):
        red, green, blue = canvas.colour("grass")
        assert blue < green
        assert red < green
        assert 0.28 * 255 <= green <= 0.65 * 255 + 1e-3


def test_every_name_gives_a_texture(canvas: Canvas) -> None:
    for name in (*COLOURS, *SURFACES, *INLAYS):
        texture = canvas.surface(name)
        assert texture.shape[2] == 3
        assert np.isfinite(texture).all()


def test_a_surface_takes_the_colour_it_is_given(canvas: Canvas) -> None:
    assert canvas.surface("meadow", GREY).mean((0, 1)) == pytest.approx(GREY, rel=0.1)
    assert canvas.surface("cupboard", GREY)[30, 20].tolist() == GREY.tolist()
