import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch

from places.data.streaming.jpeg import Pixels
from places.data.streaming.plan import PADDING
from places.data.streaming.stream import Sample, stream
from places.errors import DataError
from places.hashing import Ids


def _open(ids: Ids) -> Callable[[int, Pixels], Sample]:
    def load(row: int, pixels: Pixels) -> Sample:
        pixels[:] = ids[row] % 256
        return Sample(key=str(ids[row]), label=int(ids[row]) % 7, flip=bool(ids[row] % 2))

    return load


def _plan(num_batches: int, size: int) -> list[Ids]:
    return [np.arange(step * size, (step + 1) * size) for step in range(num_batches)]


@pytest.mark.parametrize("can_be_fewer", [False, True])
@pytest.mark.parametrize("num_threads", [1, 2, 5])
@pytest.mark.parametrize("size", [1, 16, 37])
def test_batches_come_in_the_order_of_the_plan(
    num_threads: int, size: int, can_be_fewer: bool
) -> None:
    batches = list(
        stream(
            _plan(9, size),
            _open,
            image_size=4,
            num_threads=num_threads,
            can_be_fewer=can_be_fewer,
        )
    )
    assert [key for batch in batches for key in batch["key"]] == list(map(str, range(9 * size)))
    for batch, ids in zip(batches, _plan(9, size), strict=True):
        assert batch["image"].shape == (size, 3, 4, 4)
        assert batch["image"].dtype == torch.uint8
        assert batch["image"].is_contiguous(memory_format=torch.channels_last)
        assert batch["image"][:, 0, 0, 0].tolist() == (ids % 256).tolist()
        assert batch["label"].tolist() == (ids % 7).tolist()
        assert batch["flip"].tolist() == (ids % 2 == 1).tolist()
        assert batch["weight"].sum() == size


@pytest.mark.parametrize("can_be_fewer", [False, True])
def test_memory_is_used_again_but_never_while_a_batch_or_a_part_of_it_is_held(
    can_be_fewer: bool,
) -> None:
    places: set[int] = set()
    parts: list[torch.Tensor] = []
    for _ in range(4):  # epochs
        batches = stream(
            _plan(30, 4), _open, image_size=16, num_threads=2, can_be_fewer=can_be_fewer
        )
        for batch in batches:
            places.add(batch["image"].data_ptr())
            if batch["key"][0] in ("8", "12") and len(parts) < 2:
                parts.append(batch["image"][1:, :, 3:])
    assert len(places) < 10
    assert [part[0, 0, 0, 0].item() for part in parts] == [9, 13]


def test_rows_that_fill_up_are_black_and_weigh_nothing() -> None:
    (batch,) = stream([np.array([5, PADDING, PADDING])], _open, image_size=4, num_threads=2)
    assert batch["weight"].tolist() == [1, 0, 0]
    assert batch["key"] == ["5", "", ""]
    assert batch["label"].tolist() == [5, -1, -1]
    assert not batch["image"][1:].any()


def test_unreadable_pictures_keep_their_row_and_weigh_nothing() -> None:
    def broken(ids: Ids) -> Callable[[int, Pixels], Sample]:
        return lambda row, pixels: Sample(key="x", error="torn")

    (batch,) = stream([np.array([0, 1])], broken, image_size=4, num_threads=1)
    assert batch["weight"].tolist() == [0, 0]
    assert batch["error"] == ["torn", "torn"]


@pytest.mark.parametrize("can_be_fewer", [False, True])
def test_nothing_starts_before_the_first_batch_and_nothing_stays(can_be_fewer: bool) -> None:
    before = threading.active_count()
    batches = stream(_plan(50, 8), _open, image_size=4, num_threads=3, can_be_fewer=can_be_fewer)
    assert threading.active_count() == before
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("can_be_fewer", [False, True])
def test_an_error_in_a_thread_arrives_in_its_place(can_be_fewer: bool) -> None:
    def some_broken(ids: Ids) -> Callable[[int, Pixels], Sample]:
        def load(row: int, pixels: Pixels) -> Sample:
            if ids[row] == 30:
                raise DataError("damaged JPEG in sample 30")
            return _open(ids)(row, pixels)

        return load

    batches = stream(
        _plan(9, 8), some_broken, image_size=4, num_threads=2, can_be_fewer=can_be_fewer
    )
    assert [len(next(batches)["key"]) for _ in range(3)] == [8, 8, 8]
    with pytest.raises(DataError, match="sample 30"):
        next(batches)


class Clock:
    """A time that passes only while pictures are decoded."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        """Return the seconds since the start."""
        return self.now_s


# By hand: Python's lock is held for 65 microseconds of a picture, so of those that take 400, seven
# threads keep it busy.
@pytest.mark.parametrize(
    ("picture_s", "num_threads", "can_be_fewer", "expected"),
    [
        (400e-6, 16, True, 7),
        (200e-6, 16, True, 4),
        (1e-6, 16, True, 1),
        (0.0, 16, True, 1),  # a coarse clock
        (5e-3, 16, True, 16),
        (50e-3, 16, True, 16),
        (400e-6, 3, True, 3),
        (400e-6, 16, False, 16),
    ],
)
def test_no_more_threads_decode_than_pay(
    monkeypatch: pytest.MonkeyPatch,
    picture_s: float,
    num_threads: int,
    can_be_fewer: bool,
    expected: int,
) -> None:
    clock = Clock()
    monkeypatch.setattr("places.data.streaming.stream.time", clock)
    names, loaded = set[str](), list[int]()
    together = threading.Barrier(expected)

    def timed(ids: Ids) -> Callable[[int, Pixels], Sample]:
        def load(row: int, pixels: Pixels) -> Sample:
            clock.now_s += picture_s
            loaded.append(int(ids[row]))
            name = threading.current_thread().name
            if ids[row] >= 16 and name not in names:  # after those that were timed
                names.add(name)
                together.wait(30)
            return _open(ids)(row, pixels)

        return load

    batches = stream(
        _plan(3, 512), timed, image_size=4, num_threads=num_threads, can_be_fewer=can_be_fewer
    )
    keys = [key for batch in batches for key in batch["key"]]
    assert keys == list(map(str, range(3 * 512)))
    assert sorted(loaded) == list(range(3 * 512))  # those that were timed are not decoded again
    assert len(names) == expected
