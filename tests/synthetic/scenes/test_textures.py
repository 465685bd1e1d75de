import numpy as np
import pytest

from places.synthetic.scenes.textures import (
    checks,
    grain,
    mixed,
    noise,
    plain,
    relief,
    tiling,
    tint,
)

GREY, DARK = np.full(3, 120, np.float32), np.full(3, 20, np.float32)


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
    texture = grain(np.random.default_rng(0), colour)
    assert texture.shape == (128, 128, 3)
    assert texture[..., 0] == pytest.approx(2 * texture[..., 1], rel=1e-4)


def test_relief_is_half_lit_where_flat_and_brighter_uphill() -> None:
    flat = np.zeros((9, 9), np.float32)
    uphill = np.tile(np.arange(9, dtype=np.float32), (9, 1))
    assert relief(flat, 0.5) == pytest.approx(0.5)
    assert (relief(0.1 * uphill, 0.1)[1:-1, 1:-1] > 0.5).all()
    assert relief(100 * uphill, 1).max() == 1


def test_a_tiling_has_joints_around_every_cell() -> None:
    texture = tiling(np.random.default_rng(0), plain(GREY, 2, 3), (8, 5), DARK, amount=0)
    assert texture.shape == (16, 15, 3)
    is_joint = (texture == DARK).all(-1)
    rows, columns = np.indices(is_joint.shape)
    assert np.array_equal(is_joint, (rows % 8 == 0) | (columns % 5 == 0))


def test_bricks_are_moved_by_half_in_every_second_row() -> None:
    rng = np.random.default_rng(0)
    texture = tiling(rng, plain(GREY, 2, 3), (4, 6), DARK, is_brick=True, amount=0)
    assert np.flatnonzero(texture[2, :, 0] == 20).tolist() == [0, 6, 12]
    assert np.flatnonzero(texture[6, :, 0] == 20).tolist() == [3, 9, 15]


def test_checks_alternate_and_mixed_takes_all_colours() -> None:
    board = checks([GREY, DARK], 3, 4)
    assert board[..., 0].tolist() == [[120, 20, 120, 20], [20, 120, 20, 120], [120, 20, 120, 20]]
    assert set(mixed(np.random.default_rng(0), [GREY, DARK], 5, 5).ravel()) == {20, 120}


def test_tints_stay_within_their_ranges() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        red, green, blue = tint(rng, (0.3, 0.36), (0.5, 1), (0.2, 0.6))
        assert green == max(red, green, blue)
        assert 0.2 * 255 <= green <= 0.6 * 255 + 1e-3
