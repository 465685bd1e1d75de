import errno
import hashlib
import io
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from tests.data.packing.official import flat_files, jpeg, read_back, train_files, unpack, write_tar

from places.data.packing import writer as shard_writer
from places.data.packing.listing import Pictures, collect, files_of
from places.data.packing.official import PackSource
from places.data.packing.writer import Layout, lay_out, write_shards
from places.data.shards.index import SAMPLE
from places.data.shards.tar_members import members_of
from places.errors import DataError

KIB = 1 << 10


def packed(
    folder: Path, pictures: Pictures, shard_size_bytes: int = 1 << 28
) -> tuple[Layout, list[Path]]:
    layout = lay_out(pictures, shard_size_bytes)
    paths = [folder / f"train-{i:06d}.tar" for i in range(len(layout.sizes_bytes))]
    shards, no_jpegs = write_shards(pictures, layout, paths)
    assert no_jpegs.count == 0
    for shard, path, size_bytes in zip(shards, paths, layout.sizes_bytes, strict=True):
        data = path.read_bytes()
        assert shard.sha256 == hashlib.sha256(data).hexdigest()
        assert shard.size_bytes == len(data) == size_bytes
    return layout, paths


def from_tar(path: Path, split: str = "train") -> Pictures:
    return collect([PackSource(path, split)], lambda source: members_of(source.path))


def test_pictures_and_labels_are_written_as_they_were(tmp_path: Path) -> None:
    files = train_files(50)
    pictures = from_tar(write_tar(tmp_path / "a.tar", files))
    packed(tmp_path, pictures, 100 * KIB)
    labels = pictures.rows["label"].tolist()
    expected = {
        name.removeprefix("data_256/").removesuffix(".jpg"): (data, str(label).encode())
        for (name, data), label in zip(files.items(), labels, strict=True)
    }
    assert read_back(tmp_path, "train") == expected
    assert list(read_back(tmp_path, "train")) == list(expected)


def test_a_shard_is_the_tar_that_tarfile_writes(tmp_path: Path) -> None:
    files = train_files(20)
    pictures = from_tar(write_tar(tmp_path / "a.tar", files))
    _, [path] = packed(tmp_path, pictures)
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for (name, data), label in zip(files.items(), pictures.rows["label"], strict=True):
            key = name.removeprefix("data_256/").removesuffix(".jpg")
            for suffix, content in (("jpg", data), ("cls", str(label).encode())):
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    assert path.read_bytes() == expected.getvalue()


def test_the_index_says_where_each_picture_lies(tmp_path: Path) -> None:
    files = train_files(60)
    pictures = from_tar(write_tar(tmp_path / "a.tar", files))
    layout, paths = packed(tmp_path, pictures, 60 * KIB)
    assert layout.index.dtype == SAMPLE
    assert len(paths) == 3
    data = [path.read_bytes() for path in paths]
    for (offset, size_bytes, shard, label), (name, picture) in zip(
        layout.index.tolist(), files.items(), strict=True
    ):
        assert data[shard][offset : offset + size_bytes] == picture
        header = tarfile.TarInfo.frombuf(data[shard][offset - 512 : offset], "utf-8", "strict")
        assert header.name == name.removeprefix("data_256/")
        assert label == pictures.rows["label"][list(files).index(name)]


def test_unlabelled_pictures_have_no_label_member(tmp_path: Path) -> None:
    pictures = from_tar(write_tar(tmp_path / "a.tar", flat_files("test", 9)), "test")
    layout, [path] = packed(tmp_path, pictures)
    with tarfile.open(path) as tar:
        assert tar.getnames() == [f"Places365_test_{i:08d}.jpg" for i in range(1, 10)]
    assert set(layout.index["label"].tolist()) == {-1}


def test_a_folder_and_a_tar_give_the_same_shards(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", dict(sorted(train_files(40).items())))
    folder = PackSource(unpack(archive, tmp_path / "folder"), "train")
    pictures = collect([folder], lambda source: files_of(source.path))
    for name, source in (("x", pictures), ("y", from_tar(archive))):
        (tmp_path / name).mkdir()
        packed(tmp_path / name, source, 40 * KIB)
    shards = [sorted((tmp_path / name).iterdir()) for name in ("x", "y")]
    for one, other in zip(*shards, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("shard_size_bytes", [20 * KIB, 64 * KIB, 1 << 20])
def test_no_shard_is_larger_than_asked_for(tmp_path: Path, shard_size_bytes: int) -> None:
    pictures = from_tar(write_tar(tmp_path / "a.tar", train_files(70)))
    layout = lay_out(pictures, shard_size_bytes)
    assert max(layout.sizes_bytes) <= shard_size_bytes
    # One more picture would not have fitted: all but the last are nearly full.
    assert all(size > shard_size_bytes - 2 * 10240 for size in layout.sizes_bytes[:-1])
    assert layout.starts[0] == 0
    assert layout.starts[-1] == 70


def test_a_picture_larger_than_a_shard_has_one_of_its_own(tmp_path: Path) -> None:
    files = train_files(3)
    name = list(files)[1]
    files[name] += bytes(50 * KIB)
    layout, paths = packed(tmp_path, from_tar(write_tar(tmp_path / "a.tar", files)), 20 * KIB)
    assert len(paths) == 3
    assert layout.sizes_bytes[1] > 50 * KIB


def test_a_picture_larger_than_the_buffers_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_writer, "BUFFER_BYTES", 4096)
    files = {name: data + bytes(i * 999) for i, (name, data) in enumerate(train_files(30).items())}
    packed(tmp_path, from_tar(write_tar(tmp_path / "a.tar", files)))
    assert [data for data, _ in read_back(tmp_path, "train").values()] == list(files.values())


def test_files_that_are_no_jpegs_are_counted(tmp_path: Path) -> None:
    files = {"airfield/1.jpg": jpeg(1), "airfield/2.jpg": b"\x89PNG", "airfield/3.jpg": b""}
    pictures = from_tar(write_tar(tmp_path / "a.tar", files))
    layout = lay_out(pictures, 1 << 20)
    _, no_jpegs = write_shards(pictures, layout, [tmp_path / "train-000000.tar"])
    assert (no_jpegs.count, str(no_jpegs)) == (2, "airfield/2, airfield/3")


@pytest.mark.parametrize("change", [b"", b"longer than before"])
def test_a_file_that_changed_meanwhile_is_refused(tmp_path: Path, change: bytes) -> None:
    path = tmp_path / "folder" / "airfield" / "1.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(jpeg(1)[:10])
    pictures = collect([PackSource(tmp_path / "folder", "train")], lambda s: files_of(s.path))
    path.write_bytes(change)
    with pytest.raises(DataError, match=r"airfield/1 in .*folder changed while it was packed"):
        write_shards(pictures, lay_out(pictures, 1 << 20), [tmp_path / "train-000000.tar"])


def test_a_tar_that_was_cut_meanwhile_is_refused(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", train_files(5))
    pictures = from_tar(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match=r"in .*a\.tar changed while it was packed"):
        write_shards(pictures, lay_out(pictures, 1 << 20), [tmp_path / "train-000000.tar"])


def test_an_error_of_the_writing_thread_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pictures = from_tar(write_tar(tmp_path / "a.tar", train_files(50)))
    monkeypatch.setattr(shard_writer.Output, "_write", full)
    for buffer_bytes in (2048, 1 << 22):
        monkeypatch.setattr(shard_writer, "BUFFER_BYTES", buffer_bytes)
        with pytest.raises(OSError, match="No space left"):
            write_shards(pictures, lay_out(pictures, 1 << 20), [tmp_path / "train-000000.tar"])


def test_more_shards_than_the_index_can_number_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = from_tar(write_tar(tmp_path / "a.tar", train_files(5)))
    monkeypatch.setattr(shard_writer, "MAX_SHARDS", 4)
    with pytest.raises(
        DataError, match=r"5 shards are more than the 4 .*\n  use a larger `shard_size"
    ):
        lay_out(pictures, 1)


def test_memory_does_not_grow_with_the_shard(tmp_path: Path) -> None:
    files = {name: data + bytes(100 * KIB) for name, data in train_files(400).items()}
    pictures = from_tar(write_tar(tmp_path / "a.tar", files))
    del files
    layout = lay_out(pictures, 1 << 28)
    assert layout.sizes_bytes[0] > 40 << 20
    tracemalloc.start()
    try:
        write_shards(pictures, layout, [tmp_path / "train-000000.tar"])
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 16 << 20
    assert np.diff(layout.starts).tolist() == [400]
