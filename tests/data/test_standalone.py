import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import places.data
from places.errors import ConfigError

SIZES = {"image_size": 32, "resize_size": 36, "num_threads": 2}
open_split = partial(places.data.open, image_size=32, resize_size=36, num_threads=2)


@pytest.fixture(params=["sample", "raw_sample", "mixed_sample"])
def shards(request: pytest.FixtureRequest) -> Path:
    """The same pictures as JPEGs, as raw pixels, and half of each."""
    root: Path = request.getfixturevalue(request.param)
    return root


def test_packing_imports_no_torch_and_the_loader_no_lightning() -> None:
    code = (
        "import sys, places.data.packing.pack; assert 'torch' not in sys.modules;"
        "import places.data; places.data.open; assert 'lightning' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_training_epoch_has_each_picture_at_most_once_and_epochs_differ(shards: Path) -> None:
    keys = []
    for epoch in range(2):
        loader = open_split(shards, "train", 16, epoch=epoch)
        assert len(loader) == 6
        batches = list(loader)
        assert {batch["image"].shape for batch in batches} == {(16, 3, 32, 32)}
        keys.append([key for batch in batches for key in batch["key"]])
    assert len(set(keys[0])) == len(keys[0]) == 96
    assert sorted(keys[0]) == sorted(keys[1])
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("split", "window", "repeats"),
    [("train", None, 1), ("train", 2, 1), ("train", None, 3), ("val", None, 1)],
)
def test_an_epoch_can_be_continued_at_any_batch(
    shards: Path, split: str, window: int | None, repeats: int
) -> None:
    options: dict[str, Any] = {"shuffle_window": window, "augment_repeats": repeats}
    opened = partial(open_split, shards, split, 16, **options, seed=5)
    whole = list(opened())
    for first_step in range(len(whole) + 1):
        rest = opened(first_step=first_step)
        assert len(rest) == len(whole) - first_step
        for batch, expected in zip(rest, whole[first_step:], strict=True):
            assert batch["key"] == expected["key"]
            assert torch.equal(batch["image"], expected["image"])
            assert torch.equal(batch["flip"], expected["flip"])


def test_repeated_pictures_have_other_crops_and_flips(shards: Path) -> None:
    once = list(open_split(shards, "train", 24, seed=2))
    batches = list(open_split(shards, "train", 24, seed=2, augment_repeats=4))
    assert len(batches) == len(once) == 4
    # In each batch 6 pictures, those that come first without repetition, four times.
    order = [key for batch in once for key in batch["key"]]
    for number, batch in enumerate(batches):
        keys = np.array(batch["key"])
        assert set(keys) == set(order[6 * number : 6 * number + 6])
        for key in set(keys):
            rows = np.flatnonzero(keys == key)
            assert len(rows) == 4
            assert len({batch["image"][row].numpy().tobytes() for row in rows}) == 4
            assert len({int(batch["label"][row]) for row in rows}) == 1
    # The first copies are cut as they are without repetition.
    crops = {k: i for batch in once for k, i in zip(batch["key"], batch["image"], strict=True)}
    assert all(torch.equal(batches[0]["image"][row], crops[order[row]]) for row in range(6))
    assert 20 < sum(int(batch["flip"].sum()) for batch in batches) < 76


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment_repeats": 0}, "`augment_repeats` must be 1 to 16, not 0"),
        ({"augment_repeats": 17}, "`augment_repeats` must be 1 to 16, not 17"),
        ({"augment_repeats": 2, "shuffle_window": 4}, "does not go with"),
    ],
)
def test_repetitions_that_make_no_sense_are_refused(
    sample: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_split(sample, "train", 16, **options)


def test_ranks_share_each_batch(shards: Path) -> None:
    for split, repeats in (("train", 1), ("train", 3), ("val", 1)):
        opened = partial(open_split, shards, split, 12, augment_repeats=repeats)
        whole = list(opened())
        parts = [list(opened(rank=rank, num_ranks=3)) for rank in range(3)]
        for step, batch in enumerate(whole):
            shares = [part[step] for part in parts]
            assert [key for share in shares for key in share["key"]] == batch["key"]
            assert torch.equal(torch.cat([share["image"] for share in shares]), batch["image"])


def test_training_data_can_be_read_in_order_without_crops(shards: Path) -> None:
    loader = open_split(shards, "train", 16, train=False)
    labels = np.concatenate([batch["label"].numpy() for batch in loader])
    assert np.array_equal(labels, np.load(shards / "train.index.npy")["label"])
    assert not any(batch["flip"].any() for batch in loader)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"rank": 2, "num_ranks": 2}, "`rank` must be 0 to 1, not 2"),
        ({"rank": -1}, "`rank` must be 0 to 0, not -1"),
        ({"num_ranks": 0}, "`num_ranks` must be 1 or more, not 0"),
        (
            {"num_ranks": 4, "num_ranks_per_node": 3},
            "`num_ranks` 4 is no multiple of",
        ),
        ({"batch_size": 15, "num_ranks": 2}, "`batch_size` 15 cannot be shared equally by 2"),
        ({"first_step": 7}, "`first_step` must be 0 to 6, not 7"),
        ({"first_step": -1}, "`first_step` must be 0 to 6, not -1"),
        ({"num_threads": 0}, "`num_threads` must be 1 or more, not 0"),
        ({"image_size": 0}, "`image_size` must be 1 or more, not 0"),
        ({"crop_scale": (0.5, 0.1)}, "`crop_scale` must be two rising numbers above 0, at most 1"),
        ({"crop_ratio": (0, 1)}, "`crop_ratio` must be two rising numbers above 0"),
        ({"split": "val", "image_size": 64}, "`image_size` 64 is larger than `resize_size`"),
        (
            {"split": "val", "resize_mode": "short"},
            "`resize_mode` must be one of short_side",
        ),
        ({"bad_samples": "skpi"}, "`bad_samples` must be one of raise, skip, not 'skpi'"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_asked_for(
    sample: Path, words: dict[str, Any], message: str
) -> None:
    asked: dict[str, Any] = {"root": sample, "split": "train", "batch_size": 16} | words
    with pytest.raises(ConfigError) as raised:
        open_split(**asked)
    assert raised.value.message.startswith(message)
    assert len(str(raised.value).splitlines()) <= 4


def _descriptors() -> set[str]:
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the folder
            found.add(str(path.readlink()))
    return {target for target in found if target.endswith((".tar", ".npy"))}


@pytest.mark.parametrize("is_remote", [False, True], ids=["folder", "URL"])
def test_nothing_stays_open_when_an_epoch_ends_or_is_left(
    shards: Path, tmp_path: Path, is_remote: bool
) -> None:
    root = shards.as_uri() if is_remote else shards
    loader = open_split(root, "train", 16, cache_folder=str(tmp_path / "cache"))
    num_threads, others = threading.active_count(), _descriptors()
    batches = iter(loader)
    next(batches)
    assert any(target.endswith("train-000000.tar") for target in _descriptors())
    del batches  # as leaving a loop does
    for _ in loader:
        pass
    assert _descriptors() <= others
    assert threading.active_count() == num_threads


def test_two_epochs_of_one_loader_may_run_at_the_same_time(shards: Path) -> None:
    loader = open_split(shards, "val", 8)
    expected = [batch["key"] for batch in loader]
    for first, second in zip(loader, loader, strict=True):
        assert torch.equal(first["image"], second["image"])
    early, late = iter(loader), iter(loader)
    next(early)
    del early
    assert [batch["key"] for batch in late] == expected


def test_a_window_that_does_not_divide_the_batch_is_refused(sample: Path) -> None:
    with pytest.raises(ConfigError, match="`shuffle_window` 5 does not divide") as raised:
        open_split(sample, "train", 16, shuffle_window=5)
    assert "nearest:  2, 4" in str(raised.value)


def test_the_module_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        places.data.opne  # noqa: B018  # that it is missing is tested
