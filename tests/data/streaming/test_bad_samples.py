"""What happens to a run when its shards are damaged, in every way we know of."""

import csv
import errno
import hashlib
import io
import logging
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.packing.official import jpeg, ppm, write_tar
from tests.integration.stages import read_metrics, run

import places.data
from places.data.loader import Loader
from places.data.packing.indexing import index_shards
from places.data.shards.manifest import load_manifest, save_manifest
from places.data.streaming.bad_samples import BadSamplePolicy
from places.data.streaming.picture_files import decode_file
from places.errors import DataError, StorageError

NUM = 24


def _encoded(mode: str, file_format: str = "JPEG") -> bytes:
    rng = np.random.default_rng(len(mode))
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 2**16, (40, 40), dtype=np.uint16))
    else:
        image = Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, file_format)
    return file.getvalue()


def _root(
    folder: Path, pictures: Mapping[int, bytes], split: str = "val", suffix: str = "jpg"
) -> Path:
    """Pack good pictures, but for some, and index them."""
    files = {}
    for number in range(NUM):
        # Of a raw picture of this size the loader reads the head first.
        good = jpeg(number, 40) if suffix == "jpg" else ppm(number, 160)
        files[f"{number:03d}.{suffix}"] = pictures.get(number, good)
        files[f"{number:03d}.cls"] = str(number).encode()
    write_tar(folder / f"{split}-000000.tar", files)
    index_shards(folder, split)
    return folder


def _open(
    root: Path,
    split: str = "val",
    batch_size: int = 8,
    bad_samples: BadSamplePolicy = "raise",
    max_bad_samples: int = 10,
    image_size: int = 32,
) -> Loader:
    return places.data.open(
        root,
        split,
        batch_size,
        image_size=image_size,
        resize_size=40,
        crop_scale=(1.0, 1.0),  # of square pictures the whole
        crop_ratio=(1.0, 1.0),
        num_threads=2,
        bad_samples=bad_samples,
        max_bad_samples=max_bad_samples,
    )


def _rows(loader: Loader) -> dict[str, tuple[np.ndarray, float, str]]:
    """The pixels, the weight and the error of each picture of an epoch."""
    return {
        key: (image.permute(1, 2, 0).numpy().copy(), float(weight), error)
        for batch in loader
        for key, image, weight, error in zip(
            batch["key"], batch["image"], batch["weight"], batch["error"], strict=True
        )
    }


SPLITS = pytest.mark.parametrize("split", ["train", "val"])
SUFFIXES = pytest.mark.parametrize("suffix", ["jpg", "ppm"])


@SPLITS
@SUFFIXES
@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grayscale_and_cmyk_are_no_damage(
    tmp_path: Path, split: str, suffix: str, mode: str
) -> None:
    data = _encoded(mode)
    rows = _rows(_open(_root(tmp_path, {3: data}, split, suffix), split, image_size=40))
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(rows["003"][0], expected)
    assert [weight for _, weight, _ in rows.values()] == [1.0] * NUM


@SPLITS
@SUFFIXES
@pytest.mark.parametrize("mode", ["I;16", "RGB"])
def test_a_png_under_another_name_is_read_as_in_a_folder(
    tmp_path: Path, split: str, suffix: str, mode: str
) -> None:
    data = _encoded(mode, "PNG")
    rows = _rows(_open(_root(tmp_path, {3: data}, split, suffix), split, image_size=40))
    (tmp_path / "3.png").write_bytes(data)
    assert np.array_equal(rows["003"][0], decode_file(tmp_path / "3.png", 10**6))
    assert [weight for _, weight, _ in rows.values()] == [1.0] * NUM


DAMAGED = {
    "empty": b"",
    "GIF": _encoded("P", "GIF"),
    "cut header": jpeg(1, 40)[:9],
    "no picture": b"\xff\xd8\xff" + bytes(500),
    "cut in two": jpeg(1, 40)[: len(jpeg(1, 40)) // 2],
    "raw, cut in its header": ppm(1, 160)[:9],
    "raw, cut in two": ppm(1, 160)[:40_000],
    "raw, one byte less": ppm(1, 160)[:-1],
    "raw, small, cut in two": ppm(1, 40)[:2000],
}


@SPLITS
@SUFFIXES
@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_picture_stops_the_run_by_its_name(
    tmp_path: Path, split: str, suffix: str, kind: str
) -> None:
    root = _root(tmp_path, {13: DAMAGED[kind]}, split, suffix)
    with pytest.raises(DataError) as raised:
        list(_open(root, split))
    text = str(raised.value)
    assert "013 in" in text
    assert f"{split}-000000.tar at byte" in text
    assert "go on without it:  `bad_samples` skip" in text


@SPLITS
@SUFFIXES
@pytest.mark.parametrize("kind", DAMAGED)
def test_skipped_pictures_are_named_once_and_weigh_nothing(
    tmp_path: Path, split: str, suffix: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    loader = _open(_root(tmp_path, {13: DAMAGED[kind]}, split, suffix), split, bad_samples="skip")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            rows = _rows(loader)
            assert len(rows) == NUM
            assert {key for key, (_, weight, _) in rows.items() if weight == 0} == {"013"}
            assert {key for key, (_, _, error) in rows.items() if error} == {"013"}
            assert not rows["013"][0].any()
    assert len(caplog.messages) == 1
    assert "013 in" in caplog.messages[0]


def test_a_training_picture_without_a_label_is_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = _root(tmp_path, {}, "train")
    index = np.load(root / "train.index.npy")
    number = int(np.flatnonzero(index["label"] == 13)[0])
    index["label"][number] = -1
    np.save(root / "train.index.npy", index)
    sha256 = hashlib.sha256((root / "train.index.npy").read_bytes()).hexdigest()
    manifest = replace(load_manifest(root, "train"), labelled=False, index_sha256=sha256)
    save_manifest(manifest)
    with pytest.raises(DataError, match=r"013 has no label, in 013 in .*train-000000\.tar"):
        list(_open(root, "train"))
    rows = _rows(_open(root, "train", bad_samples="skip"))
    assert {key for key, (_, weight, _) in rows.items() if weight == 0} == {"013"}
    assert "has no label" in rows["013"][2]
    assert len(caplog.messages) == 1


DAMAGED_HEADERS = {
    "nothing": bytes(200),
    "no largest value": b"P6\n160 160 ...\n",
    "no number": b"P6\n1x0 160\n255\n",
    "more pixels than there are": b"P6\n161 160\n255\n",
    "no pixels": b"P6\n0 160\n255\n",
    "gigantic": b"P6\n60000 60000\n255\n",
    "more digits than a number has": b"P6\n" + 9000 * b"9" + b" 1\n255\n",
    "only a comment": b"P6\n#" + 70_000 * b"#",
}


@SPLITS
@pytest.mark.parametrize("kind", DAMAGED_HEADERS)
def test_a_damaged_raw_picture_is_named_or_skipped(tmp_path: Path, split: str, kind: str) -> None:
    root = _root(tmp_path, {}, split, "ppm")
    path = root / f"{split}-000000.tar"
    place = path.read_bytes().index(ppm(13, 160))
    with path.open("r+b") as tar:
        tar.seek(place)
        tar.write(DAMAGED_HEADERS[kind])
    with pytest.raises(DataError, match=rf"013 in .*{split}-000000\.tar at byte {place:,}"):
        list(_open(root, split))
    rows = _rows(_open(root, split, bad_samples="skip"))
    assert {key for key, (_, weight, _) in rows.items() if weight == 0} == {"013"}
    assert not rows["013"][0].any()


def test_too_many_bad_samples_stop_the_run_after_all(tmp_path: Path) -> None:
    root = _root(tmp_path, dict.fromkeys([2, 5, 17], b"nothing"))
    assert len(list(_open(root, bad_samples="skip", max_bad_samples=3))) == 3
    with pytest.raises(DataError, match="3 samples could not be read") as raised:
        list(_open(root, bad_samples="skip", max_bad_samples=2))
    assert "at most `max_bad_samples` 2" in str(raised.value)


@SPLITS
@SUFFIXES
def test_a_cut_shard_is_noticed_when_it_is_opened(tmp_path: Path, split: str, suffix: str) -> None:
    root = _root(tmp_path, {}, split, suffix)
    os.truncate(root / f"{split}-000000.tar", 15_000)
    with pytest.raises(DataError, match=r"000000\.tar was cut or replaced: it has 15,000 bytes"):
        list(_open(root, split))
    with pytest.raises(DataError, match=r"1\d samples could not be read, the last: .* was cut or"):
        list(_open(root, split, bad_samples="skip"))
    rows = _rows(_open(root, split, bad_samples="skip", max_bad_samples=NUM))
    assert [weight for _, weight, _ in rows.values()] == [0.0] * NUM


@SPLITS
@SUFFIXES
def test_a_shard_that_is_cut_under_a_running_job_is_noticed(
    tmp_path: Path, split: str, suffix: str
) -> None:
    root = _root(tmp_path, {}, split, suffix)
    tar = root / f"{split}-000000.tar"
    batches = iter(_open(root, split, batch_size=1))
    skipping = iter(_open(root, split, batch_size=1, bad_samples="skip", max_bad_samples=NUM))
    next(batches)
    rest = [next(skipping)]
    # Within the pixels of a raw picture whose head is still there.
    os.truncate(tar, 15_000 if suffix == "jpg" else tar.stat().st_size // 2)
    with pytest.raises(DataError, match="was cut or replaced: "):
        list(batches)
    rest += skipping
    assert len(rest) == NUM
    skipped = [batch for batch in rest if batch["weight"][0] == 0]
    assert 0 < len(skipped) < NUM
    assert all("was cut or replaced: " in batch["error"][0] for batch in skipped)


@SUFFIXES
def test_a_job_goes_on_with_the_shard_it_opened_when_that_is_replaced(
    tmp_path: Path, suffix: str
) -> None:
    changed = {20: jpeg(99, 40) if suffix == "jpg" else ppm(99, 160)}
    root = _root(tmp_path / "a", {}, suffix=suffix)
    other = _root(tmp_path / "b", changed, suffix=suffix)
    expected = [batch["image"].clone() for batch in _open(root, batch_size=1)]
    batches = iter(_open(root, batch_size=1))
    next(batches)
    shutil.move(other / "val-000000.tar", root / "val-000000.tar")
    assert all(batch["image"].equal(expected[i]) for i, batch in enumerate(batches, 1))


@SPLITS
@SUFFIXES
def test_other_contents_of_the_same_size_are_noticed(
    tmp_path: Path, split: str, suffix: str
) -> None:
    root = _root(tmp_path, {}, split, suffix)
    tar = root / f"{split}-000000.tar"
    data = tar.read_bytes()
    tar.write_bytes(bytes(512) + data[:-512])  # every picture lies one block later
    with pytest.raises(DataError, match="was cut or replaced"):
        list(_open(root, split))
    rows = _rows(_open(root, split, bad_samples="skip", max_bad_samples=NUM))
    assert [weight for _, weight, _ in rows.values()] == [0.0] * NUM


@SUFFIXES
def test_a_shard_that_is_gone_is_damage(tmp_path: Path, suffix: str) -> None:
    root = _root(tmp_path, {}, suffix=suffix)
    (root / "val-000000.tar").unlink()
    with pytest.raises(DataError, match=r"no such shard: .*val-000000\.tar"):
        list(_open(root))
    rows = _rows(_open(root, bad_samples="skip", max_bad_samples=NUM))
    assert [weight for _, weight, _ in rows.values()] == [0.0] * NUM


@pytest.mark.parametrize(
    ("function", "number", "remedy"),
    [
        ("pread", errno.EIO, "check the disk"),
        ("preadv", errno.EIO, "check the disk"),
        ("open", errno.EMFILE, "ulimit -n"),
    ],
)
def test_what_the_system_lacks_is_no_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, number: int, remedy: str
) -> None:
    suffix = "ppm" if function == "preadv" else "jpg"
    loader = _open(_root(tmp_path, {}, "train", suffix), "train", bad_samples="skip")
    original = getattr(os, function)

    def fail(path: object, *rest: object) -> object:
        if function == "open" and not str(path).endswith(".tar"):
            return original(path, *rest)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(StorageError, match=f"cannot read .*: {os.strerror(number)}") as raised:
        list(loader)
    assert remedy in str(raised.value)
    assert "bad_samples" not in str(raised.value)


def test_training_needs_labels(tmp_path: Path) -> None:
    files = {f"{number:03d}.jpg": jpeg(number, 40) for number in range(NUM)}
    write_tar(tmp_path / "train-000000.tar", files)
    index_shards(tmp_path, "train")
    with pytest.raises(DataError, match="has no label"):
        list(places.data.open(tmp_path, "train", 8, image_size=32))


def _sample_with_damage(sample: Path, folder: Path, split: str) -> Path:
    """A copy of the packed sample in which one picture of a split is overwritten."""
    shutil.copytree(sample, folder, ignore=shutil.ignore_patterns("archives", "pictures"))
    index = np.load(folder / f"{split}.index.npy")
    with (folder / f"{split}-000000.tar").open("r+b") as tar:
        tar.seek(int(index["offset"][7]))
        tar.write(bytes(int(index["size_bytes"][7])))
    return folder


@pytest.mark.parametrize(
    ("shards", "said"), [("sample", "damaged JPEG"), ("raw_sample", "not a readable picture")]
)
def test_fit_stops_at_a_damaged_picture(
    shards: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    root = _sample_with_damage(request.getfixturevalue(shards), tmp_path / "data", "train")
    assert run("fit", "--data.root", root, "--trainer.max_epochs", 1) == 2
    error = capsys.readouterr().err
    assert f"places: error: {said}" in error
    assert "train-000000.tar at byte" in error
    assert "Traceback" not in error


def test_skipped_pictures_are_counted_in_the_logs(raw_sample: Path, tmp_path: Path) -> None:
    root = _sample_with_damage(raw_sample, tmp_path / "data", "train")
    words = ["--data.bad_samples", "skip", "--data.root", root, "--trainer.max_epochs", 2]
    assert run("fit", *words) == 0
    with (tmp_path / "runs" / "fit" / "0" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["train/bad_samples"]) for row in rows if row["train/bad_samples"]] == [1, 1]
    assert {float(row["val/bad_samples"]) for row in rows if row["val/bad_samples"]} == {0}


def test_no_score_is_published_when_pictures_were_skipped(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _sample_with_damage(sample, tmp_path / "data", "val")
    skip = ["--data.bad_samples", "skip", "--data.root", root]
    assert run("fit", *skip, "--trainer.max_epochs", 1) == 0
    (folder,) = (tmp_path / "runs" / "fit").iterdir()
    metrics = read_metrics(folder)
    assert metrics[6 - 1, "val/skipped"] == metrics[6 - 1, "val/bad_samples"] == "1.0"
    assert not (folder / "confusion.png").exists()
    for number, stage in enumerate(["validate", "test"], 1):
        assert run(stage, *skip, "--ckpt_path", folder) == 2
        error = capsys.readouterr().err
        assert error.splitlines()[-2:] == [
            "places: error: no scores: 35 of the 36 pictures of split 'val' were scored",
            f"  1 could not be read; repair the split:  places verify {root} --decode",
        ]
        files = {path.name for path in (folder.parent / str(number)).iterdir()}
        assert files == {"config.yaml", "run.json"}


def test_no_submission_is_written_when_pictures_were_skipped(
    mixed_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _sample_with_damage(mixed_sample, tmp_path / "data", "test")
    words = ["--data.bad_samples", "skip", "--data.root", root, "--random_weights", "true"]
    assert (
        run("test", *words, "--data.test_split", "test", "--model.net", "tests.networks.Tiny") == 2
    )
    assert "classified: 25 pictures with 25 names, but" in capsys.readouterr().err
    assert not list(tmp_path.rglob("submission.txt"))
