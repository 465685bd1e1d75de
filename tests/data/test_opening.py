import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import places.data
from places.errors import ConfigError

SIZES = {"image_size": 32, "resize_size": 36, "num_threads": 2}
open_split = partial(places.data.open, image_size=32, resize_size=36, num_threads=2)


def test_packing_imports_no_torch_and_the_loader_no_lightning() -> None:
    code = (
        "import sys, places.data.pack; assert 'torch' not in sys.modules;"
        "import places.data; places.data.open; assert 'lightning' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_training_epoch_has_each_picture_at_most_once_and_epochs_differ(sample: Path) -> None:
    keys = []
    for epoch in range(2):
        loader = open_split(sample, "train", 16, epoch=epoch)
        assert len(loader) == 6
        batches = list(loader)
        assert {batch["image"].shape for batch in batches} == {(16, 3, 32, 32)}
        keys.append([key for batch in batches for key in batch["key"]])
    assert len(set(keys[0])) == len(keys[0]) == 96
    assert sorted(keys[0]) == sorted(keys[1])
    assert keys[0] != keys[1]


@pytest.mark.parametrize(("split", "window"), [("train", None), ("train", 2), ("val", None)])
def test_an_epoch_can_be_continued_at_any_batch(
    sample: Path, split: str, window: int | None
) -> None:
    opened = partial(open_split, sample, split, 16, shuffle_window=window, seed=5)
    whole = list(opened())
    for first_step in range(len(whole) + 1):
        rest = opened(first_step=first_step)
        assert len(rest) == len(whole) - first_step
        for batch, expected in zip(rest, whole[first_step:], strict=True):
            assert batch["key"] == expected["key"]
            assert torch.equal(batch["image"], expected["image"])
            assert torch.equal(batch["flip"], expected["flip"])


def test_ranks_share_each_batch(sample: Path) -> None:
    for split in ("train", "val"):
        whole = list(open_split(sample, split, 12))
        parts = [list(open_split(sample, split, 12, rank=rank, num_ranks=3)) for rank in range(3)]
        for step, batch in enumerate(whole):
            shares = [part[step] for part in parts]
            assert [key for share in shares for key in share["key"]] == batch["key"]
            assert torch.equal(torch.cat([share["image"] for share in shares]), batch["image"])


def test_training_data_can_be_read_in_order_without_crops(sample: Path) -> None:
    loader = open_split(sample, "train", 16, train=False)
    labels = np.concatenate([batch["label"].numpy() for batch in loader])
    assert np.array_equal(labels, np.load(sample / "train.index.npy")["label"])
    assert not any(batch["flip"].any() for batch in loader)


def test_a_window_that_does_not_divide_the_batch_is_refused(sample: Path) -> None:
    with pytest.raises(ConfigError, match="shuffle_window 5 does not divide") as raised:
        open_split(sample, "train", 16, shuffle_window=5)
    assert "nearest:  2, 4" in str(raised.value)


def test_the_module_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        places.data.opne  # noqa: B018  # that it is missing is tested
