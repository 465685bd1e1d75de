"""Shards read in sequence: who reads what, the pixels, and tars that are made to do damage."""

import gzip
import io
import json
import multiprocessing
import os
import pickle
import shutil
import tarfile
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torchvision.transforms.functional as reference
from PIL import Image
from tests.data.remote.servers import run_s3, run_wayward_server
from tests.data.streams import VAL_SIZES, Member, cut_up, members_in, served, write_tar
from torch import Tensor

import places.data
from places.data.remote import answers, download
from places.data.sequential.rows import training_rows
from places.data.sequential.samples import Picture, pictures_of
from places.data.sequential.shards import SequentialShard
from places.data.sequential.worker_batches import (
    Failure,
    Share,
    evaluation_batches,
    training_batches,
)
from places.data.shards.manifest import load_manifest
from places.data.streaming.batches import EvalCrop, TrainCrop
from places.data.streaming.decode import NUM_CROP_UNIFORMS, crop_box
from places.data.streaming.stream import Batch
from places.data.web_shards import split_in, split_of_words
from places.errors import ConfigError, DataError, PlacesError, StorageError
from places.hashing import uniforms

EVAL = EvalCrop(32, 36, "short_side")
TRAIN = TrainCrop(32, (0.08, 1.0), (3 / 4, 4 / 3), True)


@pytest.fixture(scope="module")
def shards(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample in several unequal shards, with manifests; not to be written to."""
    return cut_up(sample, tmp_path_factory.mktemp("shards"))


def _share(root: Path | str, split: str, rank: int, num_ranks: int, num_workers: int) -> Share:
    found = split_in(str(root), split, None, 10)
    return Share(found.shards, 4, rank, num_ranks, num_workers)


def _batches(delivered: Iterator[object]) -> list[Batch]:
    batches = []
    for each in delivered:
        assert isinstance(each, tuple)
        assert not isinstance(each, Failure), each
        batch, faults = each
        assert not faults
        batches.append(batch)
    return batches


def _keys(batches: Sequence[Batch]) -> list[str]:
    return [key for batch in batches for key in batch["key"] if key]


@pytest.mark.parametrize(("num_ranks", "num_workers"), [(1, 1), (2, 2), (3, 2), (7, 1)])
def test_each_picture_is_evaluated_once_by_all_processes(
    shards: Path, num_ranks: int, num_workers: int
) -> None:
    keys, lengths = [], []
    for rank in range(num_ranks):
        share = _share(shards, "val", rank, num_ranks, num_workers)
        batches = _batches(evaluation_batches(share, EVAL, pin_memory=False))
        keys += _keys(batches)
        lengths.append(len(batches))
    assert max(lengths) == share.num_eval_batches()
    paths = sorted(shards.glob("val-*.tar"))
    expected = [sample[0][0].partition(".")[0] for sample in members_in(*paths)]
    assert Counter(keys) == Counter(expected)
    if num_ranks == num_workers == 1:
        assert keys == expected


def test_evaluation_pixels_and_labels_are_those_of_places365(shards: Path) -> None:
    share = _share(shards, "val", 0, 1, 2)
    theirs = dict[str, tuple[Tensor, Tensor]]()
    for batch in places.data.open(shards, "val", 8, image_size=32, resize_size=36, num_threads=1):
        rows = zip(batch["key"], batch["image"], batch["label"], strict=True)
        theirs |= {key: (image, label) for key, image, label in rows if key}
    ours = _batches(evaluation_batches(share, EVAL, pin_memory=False))
    assert sorted(_keys(ours)) == sorted(theirs)
    for batch in ours:
        assert batch["image"].shape == (4, 3, 32, 32)
        assert batch["image"].stride(1) == 1  # channels last, as they were made
        for key, image, label in zip(batch["key"], batch["image"], batch["label"], strict=True):
            if key:
                assert image.equal(theirs[key][0])
                assert label == theirs[key][1]


def test_training_crops_are_those_of_torchvision(shards: Path) -> None:
    (jpeg,) = [data for name, data in next(members_in(shards / "val-000000.tar")) if "jpg" in name]
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    for number in range(5):
        pixels = np.zeros((32, 32, 3), np.uint8)
        flip = training_rows(TRAIN, 7)(number)(Picture(0, "a", "b", jpeg, 3), pixels)
        draws = uniforms(np.array([number]), NUM_CROP_UNIFORMS + 1, 4, 7)[0].tolist()
        left, top, width, height = crop_box(*image.size, draws, TRAIN.scale, TRAIN.ratio)
        box = reference.resized_crop(image, top, left, height, width, [32, 32])
        assert np.array_equal(pixels, np.asarray(box))
        assert flip == (draws[-1] < 0.5)


def test_training_takes_the_steps_that_are_asked_for_in_another_order_each_time(
    shards: Path,
) -> None:
    keys = []
    for seed in (1, 1, 2):
        ranks = []
        for rank in range(2):
            share = _share(shards, "train", rank, 2, 2)
            batches = training_batches(
                share, TRAIN, num_batches=15, buffer=8, seed=seed, pin_memory=False
            )
            ranks.append(_batches(batches))
        assert [len(batches) for batches in ranks] == [15, 15]
        assert not {*_keys(ranks[0])} & {*_keys(ranks[1])}
        flips = [flip for batch in ranks[0] for flip in batch["flip"].tolist()]
        assert 10 < sum(flips) < 50
        keys.append(_keys(ranks[0]))
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]
    assert keys[0][:20] != sorted(keys[0][:20])


def test_processes_end_with_the_iterator_and_a_killed_one_is_told(shards: Path) -> None:
    share = _share(shards, "train", 0, 1, 2)
    batches = training_batches(share, TRAIN, num_batches=50, buffer=8, seed=1, pin_memory=False)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert not multiprocessing.active_children()
    batches = training_batches(share, TRAIN, num_batches=5000, buffer=8, seed=1, pin_memory=False)
    next(batches)
    os.kill(multiprocessing.active_children()[0].pid or 0, 9)
    with pytest.raises(StorageError, match="a process that reads pictures has ended"):
        deque(batches)
    batches.close()
    assert not multiprocessing.active_children()


def _read(path: Path | str) -> list[Picture]:
    return [*pictures_of([SequentialShard(str(path), 0)])]


PICTURE = ("a.jpg", b"\xff\xd8 not looked at here")


class _Code:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("unpickled",)


def test_nothing_in_a_tar_is_unpickled_or_decoded_unasked(tmp_path: Path) -> None:
    code = pickle.dumps(_Code())
    ends = ("pyd", "pickle", "pth", "pkl", "pt", "npy", "npz", "ten", "json", "mp4", "yaml")
    members = [PICTURE, ("a.cls", b"7"), *((f"a.{end}", code) for end in ends)]
    (picture,) = _read(write_tar(tmp_path / "a.tar", members))
    assert picture == Picture(0, "a", str(tmp_path / "a.tar"), PICTURE[1], 7)
    assert not Path("unpickled").exists()


def test_samples_are_those_of_webdataset(tmp_path: Path) -> None:
    members = [
        ("README", b"x"),
        ("__meta__/info.json", b"{}"),
        ("._a.jpg", b"x"),
        ("b/c.d.JPG", b"1"),
        ("b/c.cls", b"003"),
        ("b/e.seg.txt", b""),
        ("f.png", b"2"),
        ("f.cls", b"airfield"),
        ("g.jpg", b"3"),
        ("h.jpg", b"4"),
        ("h.cls", b"366"),
    ]
    found = _read(write_tar(tmp_path / "a.tar", members))
    assert [(p.key, p.data, p.label) for p in found] == [
        ("b/c", b"1", 3),
        ("f", b"2", 0),
        ("g", b"3", -1),
        ("h", b"4", -1),
    ]
    assert found[3].label_fault == "its .cls is b'366', no category"
    assert [p.number for p in found] == [0, 1, 2, 3]


def _forged(path: Path, *headers: tarfile.TarInfo) -> Path:
    data = b"".join(header.tobuf(tarfile.GNU_FORMAT) for header in headers)
    path.write_bytes(data + bytes(1024))
    return path


def _header(name: str, size_bytes: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size_bytes, kind, "b.jpg"
    return info


def test_tars_that_are_made_to_do_damage_are_refused(tmp_path: Path) -> None:
    huge, path = 1 << 40, tmp_path / "a.tar"
    cases = {
        "bytes, 268,435,456 at most": _header("a.jpg", huge),
        "bytes, 1,048,576 at most": _header("a.jpg", huge, tarfile.GNUTYPE_LONGNAME),
        "a link, which WebDataset passes over": _header("a.jpg", 0, tarfile.LNKTYPE),
        "a sparse file": _header("a.jpg", 0, tarfile.GNUTYPE_SPARSE),
    }
    for reason, header in cases.items():
        with pytest.raises(DataError, match=reason):
            _read(_forged(path, header))
    with pytest.raises(DataError, match="more than 64 members have the key 'a'"):
        _read(write_tar(path, [(f"a.{number}.jpg", b"x") for number in range(100)]))
    with pytest.raises(DataError, match="must have one picture"):
        _read(write_tar(path, [PICTURE, ("a.png", b"x")]))
    with pytest.raises(DataError, match=r"which is meant\?"):
        _read(write_tar(path, [PICTURE, ("a.png", b"x"), ("a.cls", b"1")]))
    with pytest.raises(DataError, match=r"has a second a\.jpg in one sample.*\n.* rename one"):
        _read(write_tar(path, [PICTURE, PICTURE]))
    whole = write_tar(path, [PICTURE]).read_bytes()
    path.write_bytes(whole + whole)
    with pytest.raises(DataError, match="goes on behind its end"):
        _read(path)
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        info = _header("a.jpg", 3)
        info.pax_headers = {"size": "1"}
        tar.addfile(info, io.BytesIO(b"abc"))
    with pytest.raises(DataError, match="a size in front of the header"):
        _read(path)


def test_hidden_files_are_in_no_sample_as_in_an_index(tmp_path: Path) -> None:
    members = [("x/._a.jpg", b"Mac OS X"), ("x/a.jpg", b"\xff\xd8"), ("x/a.cls", b"1")]
    members += [("x/.hidden.cls", b"2"), ("x/b.jpg", b"\xff\xd8")]
    found = _read(write_tar(tmp_path / "a.tar", members))
    assert [(picture.key, picture.label) for picture in found] == [("x/a", 1), ("x/b", -1)]


def test_a_tar_without_the_mark_of_its_end_is_told_how_to_get_one(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", [PICTURE])
    whole = path.read_bytes()
    for end, has_hint in [(1024, True), (1023, False), (600, False), (513, False)]:
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match="is cut short") as caught:
            _read(path)
        assert ("head -c 1024 /dev/zero >> FILE" in str(caught.value)) is has_hint


def test_other_files_than_tars_are_named(shards: Path, tmp_path: Path) -> None:
    whole = (shards / "val-000001.tar").read_bytes()
    path, header = tmp_path / "a.tar", whole.rindex(b"ustar") - 257
    cases = {
        "is no tar but gzip": gzip.compress(whole, 1),
        "is damaged: no tar header at byte": whole[:header] + b"x" * 9 + whole[header + 9 :],
        "is no tar but empty": b"",
        "is no tar but a pointer of Git LFS, which stands for the file\n": b"version https://git-lfs",
        "is no tar but a web page": b"<html>" * 99,
    }
    for told, data in cases.items():
        path.write_bytes(data)
        with pytest.raises(DataError, match=told):
            _read(path)
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(DataError, match="is a named pipe, not a file"):
        _read(tmp_path / "pipe.tar")
    with pytest.raises(DataError, match="is a folder, not a file"):
        _read(tmp_path)
    with pytest.raises(DataError, match="no such shard"):
        _read(tmp_path / "b.tar")


def test_any_cut_of_a_tar_is_noticed(tmp_path: Path) -> None:
    members: list[Member] = [
        (f"{'long/' * 40}{number}.{end}", b"7" * 700) for number in range(3) for end in ("jpg", "x")
    ]
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            tar.addfile(_header(name, len(data)), io.BytesIO(data))
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0")) + 1024
    for length in range(0, end - 512, 256):
        path.write_bytes(whole[:length])
        what = r"cut short|no tar header" if length else "no tar but empty"
        with pytest.raises(DataError, match=what):
            _read(path)
    path.write_bytes(whole)
    assert len(_read(path)) == 3


def test_a_shard_behind_a_url_is_compared_with_its_manifest(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    expected = _read(shards / "val-000000.tar")
    with served(shards) as url:
        found = _read(f"{url}/val-000000.tar")
        assert [p[1] for p in found] == [p[1] for p in expected]
        assert [p.data for p in found] == [p.data for p in expected]
        with pytest.raises(DataError, match="does not exist"):
            _read(f"{url}/val-9.tar")
        other = SequentialShard(f"{url}/val-000000.tar", 0, sha256="0" * 64)
        with pytest.raises(DataError, match="is not the shard that its manifest describes"):
            [*pictures_of([other])]
        other = SequentialShard(f"{url}/val-000000.tar", 0, size_bytes=512)
        with pytest.raises(DataError, match="bytes, its manifest says 512"):
            [*pictures_of([other])]


@pytest.mark.parametrize(("tag", "knows_ranges"), [('"a"', True), ('"a"', False), ("", True)])
def test_a_stream_goes_on_where_the_connection_broke(
    shards: Path, tag: str, knows_ranges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(answers, "PART_BYTES", 1 << 12)
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.0)
    path = shards / "val-000000.tar"
    content = path.read_bytes()
    with run_wayward_server(content) as server:
        server.tag, server.knows_ranges = tag, knows_ranges
        server.statuses, server.cut_at = [503], [len(content) // 3, len(content) // 2]
        assert [p.data for p in _read(server.url)] == [p.data for p in _read(path)]
        assert len(server.asked) == 4


def test_a_shard_that_is_replaced_while_it_is_read_is_refused(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.0)
    content = (shards / "val-000000.tar").read_bytes()
    with run_wayward_server(content) as server:
        server.tag, server.cut_at = '"old"', [len(content) // 2]
        server.replace_by = content[:-1024] + bytes(1024)
        with pytest.raises(DataError, match="was replaced while it was read"):
            _read(server.url)


@pytest.mark.parametrize(
    "words",
    [
        "pipe:touch FLAG",
        "PIPE:touch FLAG",
        "Pipe:touch FLAG",
        " pipe:touch FLAG",
        "pipe://touch FLAG",
        "file:pipe:touch FLAG",
        "file://pipe:touch FLAG",
        "a.tar::pipe:touch FLAG",
        "https://host/a.tar::pipe:touch FLAG",
        "pipe:touch FLAG::https://host/a.tar",
        "{pipe:touch FLAG,pipe:touch FLAG2}",
        "${COMMAND}",
        "exec://touch FLAG",
        "htgs://host/$(touch FLAG)",
        "ais://host/a.tar",
        "@list",
    ],
)
def test_no_word_runs_a_command(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "flag"
    for name in ("COMMAND", "WDS_COMMAND", "WDS_CACHE", "WDS_CACHE_SIZE", "GOPEN_REWRITE"):
        monkeypatch.setenv(name, f"pipe:touch {flag}")
    Path("list").write_text(f"pipe:touch {flag}\n")
    word = words.replace("FLAG", str(flag))
    write_tar(tmp_path / "val-0.tar", [PICTURE])
    for listed in (word, [word], ["val-0.tar", word]):
        with pytest.raises(PlacesError):
            split_of_words(listed, "val", 1, 10)
    with pytest.raises(PlacesError):
        split_in(word, "val", None, 10)
    with pytest.raises(PlacesError):
        _read(word)
    assert not flag.exists()


def test_no_list_of_urls_runs_a_command(shards: Path, tmp_path: Path) -> None:
    shutil.copy(shards / "val.json", tmp_path)
    names = [path.name for path in shards.glob("val-*.tar")]
    for scheme in ("pipe:", "PIPE:", "exec://"):
        urls = dict.fromkeys(names, f"{scheme}touch {tmp_path / 'flag'}")
        (tmp_path / "val.urls.json").write_text(json.dumps({"version": 1, "shards": urls}))
        share = _share(tmp_path, "val", 0, 1, 1)
        (failure,) = evaluation_batches(share, EVAL, pin_memory=False)
        assert isinstance(failure, Failure)
        assert isinstance(failure.error(), PlacesError)
        assert not (tmp_path / "flag").exists()


def test_folders_urls_and_the_file_of_timm_tell_what_a_split_holds(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    ours = load_manifest(shards, "val")
    for path in [*shards.glob("val-*.tar"), shards / "_info.json"]:
        shutil.copy(path, tmp_path)
    with served(shards) as url, served(tmp_path) as of_timm:
        for root in (str(shards), url):
            found = split_in(root, "val", None, 10)
            assert found.manifest.digest == ours.digest
            assert [s.num_samples for s in found.shards] == [*VAL_SIZES]
            assert [s.first for s in found.shards] == [0, 10, 13, 22, 30]
        for root in (str(tmp_path), of_timm):
            found = split_in(root, "val", None, 10)
            assert [s.num_samples for s in found.shards] == [*VAL_SIZES]
            assert found.manifest.num_samples == 36
            assert found.manifest.labelled
        with pytest.raises(DataError, match="no shards for split 'test'"):
            split_in(of_timm, "test", None, 10)
    with pytest.raises(ConfigError, match="`num_val_samples` is 35, but split 'val' in"):
        split_in(str(tmp_path), "val", 35, 10)
    info = json.loads((tmp_path / "_info.json").read_text())
    val = info["splits"]["val"]
    for field, value in (
        ("filenames", ["../val-000000.tar", *val["filenames"][1:]]),
        ("filenames", [val["filenames"][1], *val["filenames"][1:]]),
        ("filenames", "val-000000.tar"),
        ("filenames", []),
        ("shard_lengths", [-1, *VAL_SIZES[1:]]),
        ("shard_lengths", [True, *VAL_SIZES[1:]]),
        ("shard_lengths", [1]),
    ):
        changed = {**info, "splits": {"val": {**val, field: value}}}
        (tmp_path / "_info.json").write_text(json.dumps(changed))
        with pytest.raises(DataError, match=f"`{field}` is no list of"):
            split_in(str(tmp_path), "val", None, 10)
    (tmp_path / "_info.json").write_text("{" * 100_000)
    with pytest.raises(DataError, match=r"damaged .*_info.json"):
        split_in(str(tmp_path), "val", None, 10)


def test_a_shard_with_another_number_of_pictures_is_refused(shards: Path, tmp_path: Path) -> None:
    samples = [*members_in(shards / "val-000000.tar")]
    path = write_tar(tmp_path / "a.tar", [member for each in samples[1:] for member in each])
    for known in (10, 8):
        with pytest.raises(DataError, match=f"a.tar has 9 pictures, but {known} are said"):
            [*pictures_of([SequentialShard(str(path), 0, known)])]
    write_tar(tmp_path / "a.tar", [("README.md", b"none"), ("a.cls", b"1")])
    with pytest.raises(DataError, match="no picture in"):
        split_of_words(str(path), "train", 3, 10)
    with pytest.raises(ConfigError, match="nothing tells how many pictures"):
        split_of_words(str(path), "train", None, 10)
    with pytest.raises(ConfigError, match="names no shard"):
        split_of_words([], "train", 3, 10)


@pytest.mark.slow
def test_shards_in_an_object_store_are_streamed_by_worker_processes(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with run_s3(monkeypatch) as client:
        client.create_bucket(Bucket="bucket")
        for path in shards.glob("val*"):
            client.upload_file(str(path), "bucket", f"places/{path.name}")
        share = _share("s3://bucket/places", "val", 0, 1, 2)
        keys = _keys(_batches(evaluation_batches(share, EVAL, pin_memory=False)))
        listed = split_of_words("s3://bucket/places/val-{000000..000004}.tar", "val", 36, 10)
        share = Share(listed.shards, 4, 0, 1, 2)
        assert _keys(_batches(evaluation_batches(share, EVAL, pin_memory=False))) == keys
    assert len({*keys}) == len(keys) == sum(VAL_SIZES)
