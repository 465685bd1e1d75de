import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest
import webdataset
from tests.data.packing.official import (
    LISTS,
    STANDARD_TRAIN,
    all_bytes,
    flat_files,
    jpeg,
    list_files,
    read_back,
    train_files,
    unpack,
    val_label,
    write_drawn,
    write_tar,
)

from places.categories import load_categories
from places.cli.main import main as places
from places.console import FirstFew
from places.data.packing import official as archives_module
from places.data.packing import pack as pack_module
from places.data.packing.listing import Pictures
from places.data.packing.official import ARCHIVES, NUM_IMAGES, md5_check
from places.data.packing.pack import pack
from places.data.packing.writer import Layout, write_shards
from places.data.shards.index import load_index
from places.data.shards.manifest import Shard, load_manifest
from places.data.shards.tar_headers import read_key
from places.errors import ConfigError, DataError
from places.hashing import shuffled

Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write_drawn(tmp_path / "archives" / STANDARD_TRAIN, train_files(40))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "shards"


def test_a_train_archive_becomes_shuffled_shards(train: Path, root: Path) -> None:
    assert pack([train], root) == 0
    files = {name[9:-4]: data for name, data in train_files(40).items()}
    in_order = sorted(files)
    expected = [in_order[position] for position in shuffled(40, 0)]
    samples = read_back(root, "train")
    assert list(samples) == expected
    labels = {name: label for label, name in enumerate(load_categories())}
    for key, (data, label) in samples.items():
        assert data == files[key]
        assert int(label or b"") == labels[key[2:].rpartition("/")[0]]
    assert {path.name for path in root.iterdir()} == {
        "_info.json",
        "train-000000.tar",
        "train.index.npy",
        "train.json",
    }


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset 1.0.2 leaves it
def test_stock_webdataset_reads_the_shards(train: Path, root: Path) -> None:
    pack([train], root)
    urls = [str(path) for path in load_manifest(root, "train").shard_paths]
    dataset = webdataset.WebDataset(urls, shardshuffle=False)
    found = {sample["__key__"]: (sample["jpg"], sample["cls"]) for sample in dataset}
    assert found == read_back(root, "train")
    assert list(found) == list(read_back(root, "train"))
    for sample in webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8"):
        assert sample["jpg"].shape == (16, 16, 3)
        assert sample["cls"] == int(found[sample["__key__"]][1])


def test_manifest_and_index_describe_the_shards(train: Path, root: Path) -> None:
    pack([train], root, seed=5)
    manifest = load_manifest(root, "train")
    assert (manifest.variant, manifest.size, manifest.seed) == ("standard", "256", 5)
    assert (manifest.synthetic, manifest.labelled, manifest.num_samples) == (True, True, 40)
    assert manifest.categories == load_categories()
    index_bytes = (root / "train.index.npy").read_bytes()
    assert manifest.index_sha256 == hashlib.sha256(index_bytes).hexdigest()
    [shard] = manifest.shards
    data = manifest.shard_paths[0].read_bytes()
    assert (shard.size_bytes, shard.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    for row, (key, (picture, label)) in zip(
        load_index(manifest).tolist(), read_back(root, "train").items(), strict=True
    ):
        assert data[row[0] : row[0] + row[1]] == picture
        assert read_key(data[row[0] - 512 : row[0]]) == key
        assert row[2:] == (0, int(label or b""))
    fields = json.loads((root / "train.json").read_text())
    assert fields["packed_from"] == {
        "sources": [
            {
                "name": STANDARD_TRAIN,
                "size_bytes": train.stat().st_size,
                "md5": hashlib.md5(train.read_bytes()).hexdigest(),
            }
        ],
        "seed": 5,
        "shard_size_mb": 256,
        "limit": None,
        "md5_checked": True,
        "listing_sha256": None,
    }


def test_the_same_archive_gives_the_same_bytes(train: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        pack([train], tmp_path / name, seed=seed)
    assert all_bytes(tmp_path / "a") == all_bytes(tmp_path / "b")
    assert set(read_back(tmp_path / "a", "train")) == set(read_back(tmp_path / "c", "train"))
    assert list(read_back(tmp_path / "a", "train")) != list(read_back(tmp_path / "c", "train"))


def test_the_unpacked_archive_gives_the_same_shards(train: Path, tmp_path: Path) -> None:
    folder = unpack(train, tmp_path)
    pack([train], tmp_path / "a")
    pack([folder / "data_256"], tmp_path / "b")
    shard = "train-000000.tar"
    assert (tmp_path / "a" / shard).read_bytes() == (tmp_path / "b" / shard).read_bytes()
    assert load_manifest(tmp_path / "b", "train").variant == "folder"
    assert load_manifest(tmp_path / "b", "train").size == "256"


def test_all_archives_at_once_become_a_split_each(tmp_path: Path, root: Path, train: Path) -> None:
    folder = train.parent
    val = write_drawn(folder / "val_256.tar", flat_files("val", 12))
    test = write_drawn(folder / "test_256.tar", flat_files("test", 7))
    lists = write_tar(tmp_path / LISTS, list_files(12, train_files(40)))
    pack([train, val, test, lists], root)
    val_samples = read_back(root, "val")
    assert list(val_samples) == [f"Places365_val_{i:08d}" for i in range(1, 13)]
    assert [int(label or b"") for _, label in val_samples.values()] == [
        val_label(i) for i in range(1, 13)
    ]
    test_samples = read_back(root, "test")
    assert list(test_samples) == [f"Places365_test_{i:08d}" for i in range(1, 8)]
    assert {label for _, label in test_samples.values()} == {None}
    assert not load_manifest(root, "test").labelled
    assert load_index(load_manifest(root, "test"))["label"].tolist() == [-1] * 7
    assert load_manifest(root, "train").num_samples == 40


def test_an_unpacked_val_archive_takes_its_labels_from_the_list_beside_it(
    tmp_path: Path, root: Path
) -> None:
    unpack(write_tar(tmp_path / "a.tar", flat_files("val", 4)), tmp_path)
    unpack(write_tar(tmp_path / LISTS, list_files(4)), tmp_path)
    (tmp_path / LISTS).unlink()
    pack([tmp_path / "val_256"], root, md5=False)
    assert [int(label or b"") for _, label in read_back(root, "val").values()] == [
        val_label(i) for i in range(1, 5)
    ]


def test_several_folders_become_one_split(tmp_path: Path, root: Path) -> None:
    write_tar(tmp_path / "a.tar", {"airfield/1.jpg": jpeg(1), "church-outdoor/2.jpeg": jpeg(2)})
    unpack(write_tar(tmp_path / "b.tar", {"c/church/outdoor/3.JPG": jpeg(3)}), tmp_path / "b")
    pack([tmp_path / "a.tar", tmp_path / "b"], root, split="val")
    assert read_back(root, "val") == {
        "airfield/1": (jpeg(1), b"0"),
        "c/church/outdoor/3": (jpeg(3), b"91"),
        "church-outdoor/2": (jpeg(2), b"91"),
    }


def test_a_wrong_checksum_is_refused_with_both(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(NUM_IMAGES, ("val", "standard"), 3)
    path = write_tar(tmp_path / "val_256.tar", flat_files("val", 3))
    write_drawn(tmp_path / LISTS, list_files(3))
    with pytest.raises(DataError) as error:
        pack([path], root)
    assert f"found:      {hashlib.md5(path.read_bytes()).hexdigest()}" in str(error.value)
    assert f"published:  {ARCHIVES['val_256.tar']}" in str(error.value)
    assert not root.exists()
    pack([path], root, md5=False)
    assert load_manifest(root, "val").num_samples == 3


@pytest.mark.parametrize("md5", [True, False])
def test_a_wrong_number_of_pictures_is_refused(tmp_path: Path, root: Path, md5: bool) -> None:
    path = write_tar(tmp_path / "val_256.tar", flat_files("val", 3))
    with pytest.raises(DataError, match="holds 3 pictures, but 36,500 were published"):
        pack([path], root, md5=md5)
    assert not root.exists()


def test_a_wrong_checksum_stops_the_writing_once_it_is_known(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = write_drawn(tmp_path / STANDARD_TRAIN, train_files(60, side=200))
    with train.open("ab") as file:
        file.write(bytes(512))
    checks: list[Future[None]] = []
    written: list[Path] = []

    @contextmanager
    def kept(expected: Mapping[Path, str]) -> Iterator[Future[None]]:
        with md5_check(expected) as checked:
            checks.append(checked)
            yield checked

    def write(
        pictures: Pictures, layout: Layout, paths: list[Path], advance: Callable[[int], object]
    ) -> tuple[list[Shard], FirstFew]:
        assert len(paths) == 3
        wait(checks)
        try:
            return write_shards(pictures, layout, paths, advance)
        finally:
            written.extend(path for path in paths if path.exists())

    monkeypatch.setattr(pack_module, "md5_check", kept)
    monkeypatch.setattr(pack_module, "write_shards", write)
    with pytest.raises(DataError, match="its MD5 is wrong"):
        pack([train], root, shard_size_mb=1)
    assert [path.name for path in written] == ["train-000000.tar"]
    assert not root.exists()


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (OSError(28, "No space left on device"), DataError),
        (DataError("changed"), DataError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_an_error_while_writing_ends_the_hashing(
    train: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    shown: type[BaseException],
) -> None:
    hashing, told = Event(), []

    def hash_endlessly(path: Path, digest: object, stop: Event) -> None:
        hashing.set()
        told.append(stop.wait(60))

    def fail(*_: object) -> None:
        assert hashing.wait(60)
        raise error

    monkeypatch.setattr(archives_module, "hash_file", hash_endlessly)
    monkeypatch.setattr(pack_module, "write_shards", fail)
    with pytest.raises(shown):
        pack([train], root)
    assert told == [True]
    assert not root.exists()


def test_a_disk_that_fails_while_hashing_is_an_error_without_traceback(
    train: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(archives_module, "hash_file", fail)
    with pytest.raises(DataError, match=r"packing 'train' failed: .*Input/output error"):
        pack([train], root)
    assert not root.exists()


def test_the_checksum_of_a_drawn_archive_is_that_of_its_sidecar(train: Path, root: Path) -> None:
    with train.open("ab") as file:
        file.write(bytes(512))
    with pytest.raises(DataError, match="its MD5 is wrong"):
        pack([train], root)
    pack([train], root, md5=False)
    assert load_manifest(root, "train").num_samples == 40


def test_val_without_labels_says_what_to_give(tmp_path: Path, root: Path) -> None:
    path = write_drawn(tmp_path / "val_256.tar", flat_files("val", 3))
    with pytest.raises(DataError, match=f"no labels for .*\n.*\n  give it: .* {LISTS} --root"):
        pack([path], root)


def test_an_unknown_category_is_refused(tmp_path: Path, root: Path) -> None:
    path = write_tar(tmp_path / "mine.tar", {"airfeild/1.jpg": jpeg(1)})
    with pytest.raises(DataError, match="unknown category 'airfeild'\n  nearest:  airfield"):
        pack([path], root, split="train")


def test_a_truncated_archive_is_refused(train: Path, root: Path) -> None:
    os.truncate(train, 20_000)
    with pytest.raises(DataError, match=r"is cut short at byte .* of 20,000"):
        pack([train], root)
    assert not root.exists()


def test_pictures_of_other_formats_are_refused_or_left_out(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"airfield/1.jpg": jpeg(1), "airfield/2.png": b"x", "airfield/notes.txt": b"x"}
    path = write_tar(tmp_path / "mine.tar", files)
    with pytest.raises(DataError, match=r"1 picture of other formats .*\n  found: .*2\.png\n"):
        pack([path], root, split="train")
    pack([path], root, split="train", skip_other_files=True)
    assert list(read_back(root, "train")) == ["airfield/1"]
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  left out (other formats than JPEG): airfield/2.png",
        "  left out (no pictures, or hidden): airfield/notes.txt",
    ]


def test_files_that_are_only_named_like_jpegs_are_refused(tmp_path: Path, root: Path) -> None:
    files = {"airfield/1.jpg": jpeg(1), "airfield/2.jpg": b"\x89PNG"}
    path = write_tar(tmp_path / "mine.tar", files)
    with pytest.raises(DataError, match="1 file with the name of a JPEG file"):
        pack([path], root, split="train")
    assert not root.exists()


def test_a_limit_packs_the_first_pictures_of_the_same_order(train: Path, tmp_path: Path) -> None:
    pack([train], tmp_path / "all")
    pack([train], tmp_path / "some", limit=7)
    some, all_ = (list(read_back(tmp_path / name, "train")) for name in ("some", "all"))
    assert some == all_[:7]


def test_shards_have_the_size_asked_for(tmp_path: Path, root: Path) -> None:
    train = write_drawn(tmp_path / STANDARD_TRAIN, train_files(60, side=200))
    pack([train], root, shard_size_mb=1)
    sizes = [shard.size_bytes for shard in load_manifest(root, "train").shards]
    assert len(sizes) == 3
    assert max(sizes) <= 1 << 20
    assert len(read_back(root, "train")) == 60


def test_a_second_run_does_nothing(
    train: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack([train], root)
    times = {path: path.stat().st_mtime_ns for path in root.iterdir()}
    pack([train], root, md5=False)
    assert {path: path.stat().st_mtime_ns for path in root.iterdir()} == times
    lines = capsys.readouterr().out.splitlines()
    size_mb = load_manifest(root, "train").shards[0].size_bytes / 1e6
    what = f"40 pictures in 1 shard, {size_mb:.1f} MB, in {root}, drawn by places sample"
    all_members = "; 40 members = 40 packed + 0 left out"
    assert lines == [f"train: packed, {what}{all_members}", f"train: already packed, {what}"]


def test_a_second_run_over_a_folder_looks_at_its_files(
    train: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = unpack(train, tmp_path) / "data_256"
    for _ in range(2):
        pack([folder], root)
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [
        "packed,",
        "already",
    ]
    (folder / "a" / "airfield" / "new.jpg").write_bytes(jpeg(99))
    with pytest.raises(DataError, match="holds other data for split 'train'"):
        pack([folder], root)


def test_other_data_is_replaced_only_by_force(train: Path, root: Path) -> None:
    pack([train], root)
    with pytest.raises(DataError, match="add `force`"):
        pack([train], root, seed=1)
    pack([train], root, seed=1, force=True)
    assert load_manifest(root, "train").seed == 1


def test_a_shard_that_went_missing_is_packed_again(train: Path, root: Path) -> None:
    pack([train], root)
    before = all_bytes(root)
    (root / "train-000000.tar").unlink()
    pack([train], root)
    assert all_bytes(root) == before


def test_too_little_space_is_noticed_before_anything_is_written(
    train: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 1000))
    with pytest.raises(DataError, match=r"too little space in .*: 0\.00 GB needed, 0\.00 GB free"):
        pack([train], root)
    assert not root.exists()


def test_a_full_disk_is_an_error_without_traceback(
    train: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack_module, "sync_files", full)
    with pytest.raises(DataError, match=r"packing 'train' failed: .*No space left on device"):
        pack([train], root)
    assert not root.exists()


def test_sizes_below_one_are_refused(train: Path, root: Path) -> None:
    with pytest.raises(ConfigError, match="`shard_size_mb` must be 1 or more, not 0"):
        pack([train], root, shard_size_mb=0)
    with pytest.raises(ConfigError, match="`limit` must be 1 or more, not 0"):
        pack([train], root, limit=0)
    for words in (["--shard_size_mb", "9" * 30], ["--limit", "9" * 30], ["--seed", "-" + "9" * 30]):
        assert places(["pack", str(train), "--root", str(root), *words]) == 2


def test_memory_stays_within_the_promise(tmp_path: Path, root: Path) -> None:
    num, side = 300, 400
    train = write_drawn(tmp_path / STANDARD_TRAIN, train_files(num, side))
    assert train.stat().st_size > 30 << 20
    tracemalloc.start()
    try:
        pack([train], root)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < num * (90 + 2 * len("00000000.jpg")) + (25 << 20)


# Kills the process at the given call of a function, as the kernel would.
KILLED = """
import os, signal, sys
from pathlib import Path
from places.data.packing import pack, writer
module, name, calls = sys.argv[1:4]
pixels = sys.argv[6]
owner = {"Output": writer.Output, "Path": Path, "pack": pack}[module]
original, count = getattr(owner, name), 0
def counted(*args, **options):
    global count
    count += 1
    if count == int(calls):
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **options)
setattr(owner, name, counted)
pack.pack([Path(sys.argv[4])], Path(sys.argv[5]), shard_size_mb=1, pixels=pixels)
"""


@pytest.mark.parametrize(
    ("module", "name", "calls", "pixels"),
    [
        ("pack", "write_shards", 1, "jpeg"),
        ("Output", "_write", 2, "raw"),
        ("Output", "_write", 2, "jpeg"),
        ("pack", "sync_files", 1, "jpeg"),
        ("pack", "install", 1, "jpeg"),
        ("Path", "replace", 4, "jpeg"),
        ("Path", "replace", 6, "jpeg"),
    ],
)
def test_a_killed_run_leaves_nothing_half_written_and_can_be_repeated(
    tmp_path: Path, root: Path, module: str, name: str, calls: int, pixels: str
) -> None:
    train = write_drawn(tmp_path / STANDARD_TRAIN, train_files(60, side=200))
    pack([train], tmp_path / "clean", shard_size_mb=1, pixels=pixels)
    clean = all_bytes(tmp_path / "clean")
    words = [sys.executable, "-c", KILLED, module, name, str(calls), str(train), str(root)]
    words.append(pixels)
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    left = all_bytes(root)
    assert "train.json" not in left
    assert all(clean[file] == data for file, data in left.items())
    pack([train], root, shard_size_mb=1, pixels=pixels)
    assert all_bytes(root) == clean
    assert not (root / ".train.packing").exists()


def test_the_command_packs_and_answers_mistakes_in_few_lines(
    train: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert places(["pack", str(train), "--root", str(root), "--no-md5", "--seed", "3"]) == 0
    assert load_manifest(root, "train").seed == 3
    capsys.readouterr()
    for words, lines in {
        ("--root", "x"): [
            "places: error: missing:  source",
            "  type:         places pack SOURCE...",
            "  all options:  places pack --help",
        ],
        (str(train), "--splt", "val"): [
            "places: error: no option --splt",
            "  nearest:      --split",
            "  all options:  places pack --help",
        ],
        (str(train), "--split", "vall"): [
            "places: error: wrong value for split: vall",
            "  takes:        train, val, test, null",
            "  all options:  places pack --help",
        ],
    }.items():
        assert places(["pack", *words]) == 2
        assert capsys.readouterr().err.splitlines() == lines
