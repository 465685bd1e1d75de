import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import webdataset
from tests.data.packing.official import jpeg, train_files, write_tar

from places.data.packing.indexing import index_shards
from places.data.packing.pack import pack
from places.data.packing.verify import verify
from places.data.shards.index import load_index
from places.data.shards.manifest import load_manifest
from places.data.streaming.samples import SplitSamples
from places.errors import DataError


def shard(folder: Path, files: Mapping[str, bytes], number: int = 0) -> Path:
    return write_tar(folder / f"train-{number:03d}.tar", files)


def test_shards_that_webdataset_wrote_get_an_index(tmp_path: Path) -> None:
    written = []
    for number in range(3):
        with webdataset.TarWriter(str(tmp_path / f"train-{number}.tar")) as writer:
            for i in range(5):
                key = f"some/folder/{number}{i}"
                writer.write({"__key__": key, "jpg": jpeg(i), "cls": number * 100 + i})
                written.append((key, jpeg(i), number, number * 100 + i))
    manifest = index_shards(tmp_path, "train")
    assert load_manifest(tmp_path, "train") == manifest
    assert manifest.num_samples == 15
    assert manifest.labelled
    assert (manifest.variant, manifest.size) == ("folder", "original")
    data = [path.read_bytes() for path in manifest.shard_paths]
    rows = load_index(manifest).tolist()
    found = [(data[s][o : o + n], s, label) for o, n, s, label in rows]
    assert found == [entry[1:] for entry in written]


def test_the_index_of_packed_shards_is_the_one_that_pack_wrote(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", train_files(30))
    pack([path], tmp_path / "root", split="train")
    index = tmp_path / "root" / "train.index.npy"
    before = index.read_bytes()
    index.unlink()
    manifest = index_shards(tmp_path / "root", "train")
    assert index.read_bytes() == before
    assert manifest == load_manifest(tmp_path / "root", "train")
    (tmp_path / "root" / "train.json").unlink()
    assert index_shards(tmp_path / "root", "train").shards == manifest.shards


def test_shards_that_do_not_fit_their_manifest_get_no_index(tmp_path: Path) -> None:
    pack([write_tar(tmp_path / "a.tar", train_files(9))], tmp_path / "root", split="train")
    (tmp_path / "root" / "train.index.npy").unlink()
    write_tar(tmp_path / "root" / "train-000000.tar", {"a.jpg": jpeg(1), "a.cls": b"3"})
    with pytest.raises(DataError, match="the shards do not fit their manifest"):
        index_shards(tmp_path / "root", "train")
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == [
        "train-000000.tar",
        "train.json",
    ]


def test_unlabelled_shards_get_an_index_without_labels(tmp_path: Path) -> None:
    shard(tmp_path, {"a.jpeg": jpeg(1), "a.json": b"{}", "b.JPG": jpeg(2)})
    manifest = index_shards(tmp_path, "train")
    assert not manifest.labelled
    assert load_index(manifest)["label"].tolist() == [-1, -1]


def test_labels_may_come_before_pictures(tmp_path: Path) -> None:
    shard(tmp_path, {"a.cls": b"7\n", "a.jpg": jpeg(1), "b.cls": b" 364", "b.jpg": jpeg(2)})
    assert load_index(index_shards(tmp_path, "train"))["label"].tolist() == [7, 364]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.png": b"x", "a.cls": b"1"}, r"'a' in .* must have one \.jpg\n  found:  png, cls"),
        ({"a.left.jpg": b"x", "a.right.jpg": b"x"}, r"must have one \.jpg\n  found:  jpg, jpg"),
        ({"a.jpg": b"x", "a.cls": b"365"}, "the label of sample 'a' in .* is b'365', not 0 to 364"),
        ({"a.jpg": b"x", "a.cls": b"-1"}, "the label of sample 'a' in .* is b'-1', not 0 to 364"),
        ({"a.jpg": b"x", "a.cls": b"1", "b.jpg": b"x"}, r"1 of 2 pictures in .* have no \.cls"),
        ({}, r"no pictures in .*train-\*\.tar"),
    ],
)
def test_what_cannot_be_indexed_is_named(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    shard(tmp_path, files)
    with pytest.raises(DataError, match=message):
        index_shards(tmp_path, "train")
    assert [path.name for path in tmp_path.iterdir()] == ["train-000.tar"]


def test_a_cut_shard_is_named(tmp_path: Path) -> None:
    path = shard(tmp_path, {"a.jpg": bytes(2000), "a.cls": b"1"})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"train-000\.tar is cut short"):
        index_shards(tmp_path, "train")


def test_no_shards_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no val-\*\.tar in"):
        index_shards(tmp_path, "val")


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset 1.0.2 leaves it
@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["a/1", "é/1", "b" * 300, f"{'c' * 150}/{'d' * 150}", "\x1b[2J"])
def test_names_come_from_the_headers_before_a_picture(
    tmp_path: Path, name: str, tar_format: int
) -> None:
    with tarfile.open(tmp_path / "val-0.tar", "w", format=tar_format) as tar:
        for number in range(3):
            for suffix, data in (("jpg", jpeg(number)), ("cls", b"1")):
                member = tarfile.TarInfo(f"{name}{number}.{suffix}")
                member.size, member.mtime = len(data), 1.5
                tar.addfile(member, io.BytesIO(data))
    expected = {f"{name}{number}": (number, jpeg(number)) for number in range(3)}
    samples = SplitSamples(index_shards(tmp_path, "val"))
    found = [samples.read(entry) for entry in samples.entries(np.arange(3))]
    assert found == [(key, data) for key, (_, data) in expected.items()]
    assert verify(tmp_path, "val", decode=True) == 0
    url = str(tmp_path / "val-0.tar")
    keys = [sample["__key__"] for sample in webdataset.WebDataset(url, shardshuffle=False)]
    assert keys == list(expected)


def test_names_too_far_before_a_picture_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "val-0.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("é.jpg")
        member.size, member.pax_headers = 4, {"comment": "x" * 9999}
        tar.addfile(member, io.BytesIO(b"jpeg"))
    with pytest.raises(DataError, match="is not in the tar header before it"):
        index_shards(tmp_path, "val")


def test_a_picture_cannot_name_the_next_one(tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("é/forged.jpg"))
    forged = jpeg(1) + bytes(-len(jpeg(1)) % 512) + data.getvalue()[:1024]
    path = write_tar(tmp_path / "val-0.tar", {"a.jpg": forged, "b.jpg": jpeg(2)})
    samples = SplitSamples(index_shards(path.parent, "val"))
    keys = [samples.read(entry)[0] for entry in samples.entries(np.arange(2))]
    assert keys == ["a", "b"]
    assert verify(tmp_path, "val") == 0
