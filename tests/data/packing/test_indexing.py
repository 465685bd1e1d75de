import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import webdataset
from tests.data.packing.official import jpeg, train_files, write_tar
from tests.data.packing.unusual import Part, Run, hard_link, link, write_parts

from places.console import counted
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
        "_info.json",
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
        ({"a.png": b"x", "a.jpg": b"x"}, r"'a' in .* must have one picture .*\n  found:  png, jpg"),
        ({"a.jpg": b"x", "a.JPG": b"x"}, r"'a' in .* has 2 members \.jpg, which WebDataset refu"),
        ({"a.gif": b"x", "a.cls": b"1"}, r"the picture of sample 'a' in .* is a \.gif, which is"),
        ({"a.jpg": b"x", "b.cls": b"1"}, r"sample 'b' in .* has a \.cls and no picture beside it"),
        ({"a.left.jpg": b"x", "a.right.jpg": b"x"}, r"one picture .*found:  left\.jpg, right\.jpg"),
        ({"a.jpg": b"x", "a.cls": b"365"}, "the label of sample 'a' in .* is '365', not 0 to 364"),
        ({"a.jpg": b"x", "a.cls": b"-1"}, "the label of sample 'a' in .* is '-1', not 0 to 364"),
        ({"a.jpg": b"x", "a.cls": b"1", "b.jpg": b"x"}, r"no .cls for 1 of 2 pictures in "),
        ({}, r"no pictures in train-000\.tar"),
    ],
)
def test_what_cannot_be_indexed_is_named(
    tmp_path: Path, files: dict[str, bytes], message: str
) -> None:
    shard(tmp_path, files)
    with pytest.raises(DataError, match=f"(?s){message}"):
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


@pytest.mark.parametrize(
    ("text", "label"),
    [(b"003", 3), (b"0", 0), (b"000364\n", 364), (b"airfield", 0), (b"church/outdoor", 91),
     (b"/c/church/outdoor\n", 91), (b"church-outdoor", 91)],
)  # fmt: skip
def test_labels_are_numbers_or_names(tmp_path: Path, run: Run, text: bytes, label: int) -> None:
    shard(tmp_path, {"a.jpg": jpeg(1), "a.cls": text})
    for words in (["--index", "--decode"], []):
        assert run("verify", tmp_path, *words) == (0, ["train: 1 picture in 1 shard, all is well"])
    assert load_index(load_manifest(tmp_path, "train"))["label"].tolist() == [label]


@pytest.mark.parametrize(
    "text", [b"", b"airfeild", b"3.0", b"0x3", b"9" * 5000, b"\xff", b"\0", b"3\0", b"a" * 99999]
)
def test_labels_that_mean_nothing_are_refused(tmp_path: Path, run: Run, text: bytes) -> None:
    shard(tmp_path, {"a.jpg": jpeg(1), "a.cls": text})
    status, lines = run("verify", tmp_path, "--index")
    assert (status, "the label of sample 'a' in" in lines[0]) == (2, True)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset 1.0.2 leaves it
@pytest.mark.parametrize(
    ("others", "left_out"),
    [
        ({"./._a.jpg": b"Mac OS X"}, ["./._a.jpg"]),
        ({"x/._a.jpg": b"Mac OS X", "x/.DS_Store": b"x"}, ["x/._a.jpg", "x/.DS_Store"]),
        ({"README": b"x"}, ["README"]),
        ({"LICENSE": b"x", "x/Makefile": b"x"}, ["LICENSE", "x/Makefile"]),
        ({"__meta__/x.jpg": b"x", "__y__": b"x"}, ["__meta__/x.jpg", "__y__"]),
        ({".jpg": b"x"}, [".jpg"]),
    ],
)
def test_what_webdataset_passes_over_is_left_out_by_name(
    tmp_path: Path, run: Run, others: dict[str, bytes], left_out: list[str]
) -> None:
    files = {"a.JPG": jpeg(1), "a.cls": b"1", "a.json": b"{}", "b.jpeg": jpeg(2), "b.cls": b"2"}
    for position in range(len(files) + 1):  # also between the parts of a sample
        pairs = [*files.items()]
        pairs[position:position] = [*others.items()]
        path = shard(tmp_path, dict(pairs))
        (tmp_path / "train.json").unlink(missing_ok=True)
        assert run("verify", tmp_path, "--index") == (
            0,
            [
                f"train: left out, in no sample: {counted(len(others), 'member')}: "
                + ", ".join(left_out),
                "train: 2 pictures in 1 shard, all is well",
            ],
        )
        samples = [*webdataset.WebDataset(str(path), shardshuffle=False)]
        keys = [sample["__key__"] for sample in samples]
        # In a folder it takes a hidden file for a sample without a name.
        assert keys == ["a", "b"] or "x/._a.jpg" in others


def test_samples_without_a_picture_are_left_out_unless_they_have_a_label(
    tmp_path: Path, run: Run
) -> None:
    files = {"README.md": b"x", "a.jpg": jpeg(1), "a.cls": b"1", "notes.txt": b"x"}
    shard(tmp_path, files)
    status, lines = run("verify", tmp_path, "--index")
    assert (status, lines[0]) == (
        0, "train: left out, in no sample: 2 members: README.md, notes.txt",
    )  # fmt: skip
    (tmp_path / "train.json").unlink()
    for name in ("b.cls", "b.gif"):
        shard(tmp_path, files | {name: b"2"})
        status, lines = run("verify", tmp_path, "--index")
        assert (status, "sample 'b' in" in lines[0]) == (2, True)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        (hard_link("b.jpg", "a.jpg"), "b.jpg in {} is a link to a.jpg"),
        (link("b.jpg", "a.jpg"), "b.jpg in {} is a link to a.jpg"),
        (hard_link("b.cls", "a.cls"), "b.cls in {} is a link to a.cls"),
        (Part("b.png", kind=tarfile.FIFOTYPE), "b.png in {} is a named pipe"),
    ],
)
def test_parts_of_samples_without_bytes_are_refused_by_name(
    tmp_path: Path, run: Run, part: Part, what: str
) -> None:
    parts = [Part("a.jpg", jpeg(1)), Part("a.cls", b"1"), part, Part("b.cls", b"3")]
    path = write_parts(tmp_path / "train-0.tar", parts)
    status, lines = run("verify", tmp_path, "--index")
    assert (status, lines[0].startswith(f"places: error: {what.format(path)}")) == (2, True)


def test_dots_in_keys_are_refused_with_what_to_rename(tmp_path: Path, run: Run) -> None:
    path = shard(
        tmp_path, {f"x/v1.{i}.{kind}": jpeg(i) for i in range(9) for kind in ("jpg", "cls")}
    )
    assert run("verify", tmp_path, "--index") == (
        2,
        [
            f"places: error: sample 'x/v1' in {path} must have one picture and one label",
            "  found:  0.jpg, 0.cls, 1.jpg, 1.cls, 2.jpg, 2.cls, 3.jpg, 3.cls and 10 more",
            "  WebDataset ends the key at the first dot, and makes one sample of equal keys",
            "  rename:  x/v1.0.jpg  to  x/v1_0.jpg  and all others likewise",
        ],
    )


def test_shards_with_names_that_no_manifest_holds_are_refused(tmp_path: Path, run: Run) -> None:
    shard(tmp_path, {"a.jpg": jpeg(1)}).rename(tmp_path / "train-\x1b[2J.tar")
    status, lines = run("verify", tmp_path, "--index")
    assert (status, "a name that no manifest can hold: train-\\x1b[2J.tar" in lines[0]) == (2, True)
    assert [path.suffix for path in tmp_path.iterdir()] == [".tar"]
