"""Shards read in sequence: pictures and labels that cannot be read, numbers that nobody told."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from tests.data.foreign import picture
from tests.data.packing.official import write_tar
from tests.data.packing.unusual import block

from places.data.sequential.rows import batch_from, evaluation_rows, training_rows
from places.data.sequential.samples import Picture, pictures_of
from places.data.sequential.shards import SequentialShard
from places.data.streaming.batches import EvalCrop, TrainCrop
from places.data.web_shards import split_in
from places.errors import ConfigError, DataError, StorageError

JPEG, PNG = picture(0), picture(1, "png")
_SIZES = JPEG.index(b"\xff\xc0") + 5
WIDE = JPEG[:_SIZES] + b"\xff\xdc" * 2 + JPEG[_SIZES + 4 :]  # 65,500 pixels each way


def _pictures(*data: bytes, label: int = 3, fault: str = "") -> list[Picture]:
    return [Picture(n, f"key-{n}", "a.tar", x, label, fault) for n, x in enumerate(data)]


@pytest.mark.parametrize("is_training", [True, False])
def test_each_picture_that_cannot_be_read_is_an_empty_row_with_its_reason(
    is_training: bool,
) -> None:
    whole = TrainCrop(32, (1.0, 1.0), (1.0, 1.0), flip=False)
    fill = training_rows(whole, 1) if is_training else evaluation_rows(EvalCrop(32, 32, "squash"))
    pictures = [*_pictures(JPEG, PNG, JPEG[:400], b"no picture", WIDE)]
    pictures += [*_pictures(JPEG, label=-1), *_pictures(JPEG, label=-1, fault="its .cls is 'x'")]
    batch, faults = batch_from(pictures, [fill(n) for n in range(7)], 8, (32, 32))
    bad = [n for n in range(8) if not batch["image"][n].any()]
    # One without a label is scored by nobody, and still predicted.
    assert bad == ([2, 3, 4, 5, 6, 7] if is_training else [2, 3, 4, 6, 7])
    assert [fault.place for fault in faults] == [f"{pictures[n].key} in a.tar" for n in bad[:-1]]
    messages = [fault.message for fault in faults]
    assert messages[-1] == "its .cls is 'x'"
    assert ("key-0 has no label" in messages) is is_training
    assert "65500 x 65500 pixels" in messages[bad.index(4)]
    assert batch["key"][:7] == [each.key for each in pictures]


def test_a_split_needs_the_number_of_its_pictures_from_somewhere(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"0.jpg": JPEG, "0.cls": b"3"})
    write_tar(tmp_path / "b.tar", {"1.jpg": JPEG, "1.cls": b"3", "2.jpg": JPEG, "2.cls": b"3"})
    names, root = ["a.tar", "b.tar"], str(tmp_path)
    info = tmp_path / "_info.json"

    def write(**told: object) -> None:
        info.write_text(json.dumps({"splits": {"val": {"filenames": names, **told}}}))

    write()
    with pytest.raises(ConfigError, match="has no numbers of pictures for 'val'") as caught:
        split_in(root, "val", None, 10)
    assert "type it:  `num_val_samples` NUMBER" in str(caught.value)
    found = split_in(root, "val", 3, 10)
    assert [shard.num_samples for shard in found.shards] == [None, None]
    assert [each.key for each in pictures_of(found.shards)] == ["0", "1", "2"]
    write(shard_lengths={"b.tar": 2, "a.tar": 1})  # as timm has them as well
    found = split_in(root, "val", None, 10)
    assert [shard.num_samples for shard in found.shards] == [1, 2]
    write(shard_lengths={"b.tar": 2})
    with pytest.raises(DataError, match="`shard_lengths` is no list of a number for each"):
        split_in(root, "val", None, 10)
    info.unlink()
    info.symlink_to(info.name)  # leads to itself
    with pytest.raises(StorageError, match=r"cannot read .*/_info\.json"):
        split_in(root, "val", None, 10)


def test_a_shard_that_is_another_one_or_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"0.jpg": JPEG, "0.cls": b"3"})
    size_bytes = path.stat().st_size
    with pytest.raises(DataError, match=rf"it has {size_bytes:,} bytes, its manifest says 77") as c:
        list(pictures_of([SequentialShard(str(path), 0, 1, 77)]))
    assert f"places verify {tmp_path}" in str(c.value)
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(StorageError, match=r"cannot read .*a\.tar"):
        list(pictures_of([SequentialShard(str(path), 0)]))


def test_headers_that_say_no_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(block(b"0.jpg", b"no number") + bytes(1024))
    with pytest.raises(DataError, match=r"a\.tar"):
        list(pictures_of([SequentialShard(str(path), 0)]))
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("pax")
        info.type, info.size = tarfile.XHDTYPE, 4
        tar.addfile(info, io.BytesIO(b"x=y\n"))
    with pytest.raises(DataError, match=r"a\.tar"):
        list(pictures_of([SequentialShard(str(path), 0)]))
