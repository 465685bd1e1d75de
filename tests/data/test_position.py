from dataclasses import asdict

import pytest

from places.data.position import Position
from places.errors import CheckpointError


def _position(epoch: int = 0, num_samples_consumed: int = 0) -> Position:
    return Position(3, "digest", epoch, num_samples_consumed)


@pytest.mark.parametrize(
    ("epoch", "consumed", "trainers_epoch", "expected"),
    [
        (0, 0, 0, (0, 0)),
        (0, 32, 0, (0, 32)),  # goes on in the middle
        (0, 96, 1, (1, 0)),  # finished, and the trainer knows
        (0, 96, 0, (1, 0)),  # finished, and the trainer does not know yet
        (1, 32, 2, (2, 0)),  # the rest of an epoch was given up
    ],
)
def test_an_epoch_starts_where_the_last_one_ended(
    epoch: int, consumed: int, trainers_epoch: int, expected: tuple[int, int]
) -> None:
    position = _position(epoch, consumed)
    assert (position.start(trainers_epoch, 96), position.epoch) == expected[::-1]


def test_a_saved_position_is_restored() -> None:
    restored = _position()
    restored.restore(asdict(_position(2, 64)), batch_size=32)
    assert restored == _position(2, 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 4}, "seed was 4, is 3"),
        ({"manifest_digest": "other"}, "manifest_digest was other, is digest"),
        ({"version": 99}, "version was 99, is 1"),
        ({"num_samples_consumed": 40}, "no step of `batch_size` 32"),
    ],
)
def test_a_position_of_something_else_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        _position().restore({**asdict(_position()), **change}, batch_size=32)
