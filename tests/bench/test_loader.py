import re
from pathlib import Path

import pytest

from places.cli.main import main


def test_the_loader_is_measured(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--batch_size", "16", "--image_size", "64", "--num_batches", "3", "--runs", "2"]
    assert main(["bench", "loader", str(sample), *words, "--gpu_images_per_s", "1"]) == 0
    text = capsys.readouterr().out
    assert "train: 96 pictures in 1 shard, crops of 64 pixels" in text
    shares = [int(share) for share in re.findall(r"(-?\d+)%", text)]
    assert len(shares) == 5
    assert min(shares) >= 0
    assert sum(shares) >= 97  # each is rounded, and measured on its own
    for part in ("read", "decode", "resize", "plan and batch", "wait"):
        assert re.search(rf"\b{part}\b.* us", text)
    assert "a GPU that trains on 1 pictures/s needs 1 such thread\n" in text


def test_a_batch_that_is_too_large_is_refused(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "loader", str(sample), "--batch_size", "97"]) == 2
    assert "batch_size 97 is larger" in capsys.readouterr().err


def test_shards_may_lie_behind_a_url(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--batch_size", "16", "--image_size", "32", "--num_batches", "1", "--runs", "1"]
    assert main(["bench", "loader", sample.as_uri(), *words]) == 0
    assert "train: 96 pictures in 1 shard" in capsys.readouterr().out


def test_pictures_without_labels_are_refused(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "loader", str(sample), "--split", "test"]) == 2
    assert "split" in capsys.readouterr().err
