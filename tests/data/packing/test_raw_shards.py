"""Shards of raw pixels, compared with what others make of the same JPEGs."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
import webdataset
from PIL import Image
from tests.data.drawn import drawn_picture, jpeg_of
from tests.data.packing.official import all_bytes, write_tar
from timm.data.readers.reader_wds import ReaderWds
from torchvision.transforms import Resize

import places.data
from places.cli.main import main
from places.data.shards.index import load_index
from places.data.shards.manifest import load_manifest
from places.data.streaming.decode import NUM_CROP_UNIFORMS, crop_box
from places.hashing import uniforms

Array = npt.NDArray[np.uint8]
SIZES = [(170, 150), (64, 48), (301, 160), (150, 280), (151, 151), (16, 16)]
NUM = 24


def _files() -> dict[str, bytes]:
    """JPEGs of many shapes, two of them without colours or with four."""
    files = {}
    for number in range(NUM):
        image = drawn_picture(*SIZES[number % len(SIZES)], seed=number)
        mode = {3: "L", 8: "CMYK"}.get(number, "RGB")
        files[f"airfield/{number:03d}.jpg"] = jpeg_of(image.convert(mode))
    return files


def _decoded(jpeg: bytes) -> Array:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tar(tmp_path_factory.mktemp("archive") / "a.tar", _files())


@pytest.fixture(scope="module")
def packed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Packs the archive as train and as val with some options, once for each choice of them."""
    roots: dict[tuple[object, ...], Path] = {}

    def pack(*words: object) -> Path:
        if words not in roots:
            roots[words] = tmp_path_factory.mktemp("shards") / "root"
            for split in ("train", "val"):
                where = ["--root", str(roots[words]), "--split", split]
                assert main(["pack", str(archive), *where, *map(str, words)]) == 0
        return roots[words]

    return pack


def _members(root: Path, split: str = "train") -> dict[str, bytes]:
    """The pictures by their names, in the order of the shards, as tarfile reads them."""
    members = {}
    for path in sorted(root.glob(f"{split}-*.tar")):
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                assert file is not None
                if not member.name.endswith(".cls"):
                    members[member.name] = file.read()
    return members


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # webdataset 1.0.2 leaves it
def test_pillow_webdataset_and_timm_read_raw_shards(packed: Callable[..., Path]) -> None:
    root = packed("--pixels", "raw")
    expected = {name[:-4]: _decoded(jpeg) for name, jpeg in _files().items()}
    members = _members(root)
    assert {name[-4:] for name in members} == {".ppm"}
    assert {data[:3] for data in members.values()} == {b"P6\n"}
    for name, data in members.items():
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.mode) == ("PPM", "RGB")
        assert np.array_equal(np.asarray(image), expected[name[:-4]])
    urls = [str(path) for path in sorted(root.glob("train-*.tar"))]
    found = {
        sample["__key__"]: (np.asarray(sample["ppm"]), sample["cls"])
        for sample in webdataset.WebDataset(urls, shardshuffle=False).decode("pil")
    }
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[key][0], expected[key]) for key in expected)
    assert {label for _, label in found.values()} == {0}
    # timm looks for pictures under these endings, and hands each on as a "jpg".
    reader = ReaderWds(str(root), split="train", input_key="jpg;ppm")
    pictures = sorted(np.asarray(image).tobytes() for image, _ in reader)
    assert pictures == sorted(picture.tobytes() for picture in expected.values())


@pytest.mark.parametrize("pixels", ["raw", "mixed:0.5"])
@pytest.mark.parametrize(("image_size", "resize_size"), [(64, 80), (150, 150)])
def test_evaluation_sees_the_pixels_of_jpeg_shards(
    packed: Callable[..., Path], pixels: str, image_size: int, resize_size: int
) -> None:
    for split in ("train", "val"):
        jpeg, raw = (
            places.data.open(
                root, split, 7, train=False, image_size=image_size, resize_size=resize_size
            )
            for root in (packed(), packed("--pixels", pixels))
        )
        for expected, batch in zip(jpeg, raw, strict=True):
            assert torch.equal(batch["image"], expected["image"])
            assert batch["key"] == expected["key"]
            assert torch.equal(batch["label"], expected["label"])


def test_training_crops_are_those_of_the_exact_picture(packed: Callable[..., Path]) -> None:
    root, scale, ratio, size = packed("--pixels", "raw"), (0.08, 1.0), (3 / 4, 4 / 3), 32
    pictures = {name[:-4]: _decoded(jpeg) for name, jpeg in _files().items()}
    numbers = {key: number for number, key in enumerate(name[:-4] for name in _members(root))}
    for epoch in range(2):
        batches = [*places.data.open(root, "train", 8, epoch=epoch, image_size=size)]
        jpegs = [*places.data.open(packed(), "train", 8, epoch=epoch, image_size=size)]
        assert [batch["key"] for batch in batches] == [batch["key"] for batch in jpegs]
        assert all(torch.equal(a["flip"], b["flip"]) for a, b in zip(batches, jpegs, strict=True))
        keys = [key for batch in batches for key in batch["key"]]
        images = np.concatenate([batch["image"].permute(0, 2, 3, 1) for batch in batches])
        assert sorted(keys) == sorted(pictures)
        for key, image in zip(keys, images, strict=True):
            ids, picture = np.array([numbers[key]]), pictures[key]
            row = uniforms(ids, NUM_CROP_UNIFORMS + 1, 0, epoch, 3)[0].tolist()
            height, width = picture.shape[:2]
            left, top, across, down = crop_box(width, height, row, scale, ratio)
            crop = picture[top : top + down, left : left + across]
            way = cv2.INTER_AREA if max(across, down) > 1.15 * size else cv2.INTER_LINEAR
            assert np.array_equal(image, cv2.resize(crop, (size, size), interpolation=way))


def test_of_a_large_raw_picture_only_the_rows_of_the_crop_are_read(
    packed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, read = packed("--pixels", "raw"), os.preadv
    lengths: list[int] = []

    def counted(file: int, buffers: list[memoryview], offset: int) -> int:
        lengths.append(read(file, buffers, offset))
        return lengths[-1]

    monkeypatch.setattr(os, "preadv", counted)
    batches = places.data.open(
        root, "train", NUM, image_size=32, crop_scale=(0.1, 0.1), crop_ratio=(1.0, 1.0)
    )
    for _ in batches:
        pass
    wanted = [3 * width * round((0.1 * width * height) ** 0.5) for width, height in SIZES]
    assert sorted(lengths) == sorted(wanted * (NUM // len(SIZES)))


def test_a_part_of_the_pictures_is_raw_the_same_in_each_run(
    archive: Path, packed: Callable[..., Path], tmp_path: Path
) -> None:
    raw_names = {}
    for part, num in ((0.25, 6), (0.5, 12), (0.6, 14), (1, NUM), (0, 0)):
        for split in ("train", "val"):
            members = _members(packed("--pixels", f"mixed:{part}"), split)
            keys = [name[:-4] for name in members]
            assert keys == [name[:-4] for name in _members(packed(), split)]
            raw_names[split, part] = {name for name in members if name.endswith(".ppm")}
            assert len(raw_names[split, part]) == num
            jpegs = {name: data for name, data in members.items() if name.endswith(".jpg")}
            assert jpegs.items() <= _files().items()
    for split in ("train", "val"):
        assert raw_names[split, 0.25] < raw_names[split, 0.5] < raw_names[split, 0.6]
    words = ["--root", str(tmp_path), "--pixels", "mixed:0.50", "--split", "train"]
    assert main(["pack", str(archive), *words]) == 0
    before = packed("--pixels", "mixed:0.5")
    again = {name: data for name, data in all_bytes(tmp_path).items() if name[:5] == "train"}
    assert len(again) == 3
    assert again.items() <= all_bytes(before).items()
    assert main(["pack", str(archive), *words, "--seed", "1", "--force"]) == 0
    assert {n for n in _members(tmp_path) if n.endswith(".ppm")} != raw_names["train", 0.5]


@pytest.mark.parametrize("pixels", ["raw", "jpeg"])
def test_larger_pictures_are_shrunk_to_the_short_side(
    packed: Callable[..., Path], pixels: str
) -> None:
    root = packed("--pixels", pixels, "--resize_size", 100, "--quality", 97)
    files = _files()
    for name, data in _members(root).items():
        jpeg = files[f"{name[:-4]}.jpg"]
        image = Image.open(io.BytesIO(jpeg)).convert("RGB")
        if min(image.size) <= 100:
            assert data == jpeg or (
                pixels == "raw" and np.array_equal(_decoded(data), np.asarray(image))
            )
            continue
        expected = np.asarray(Resize(100)(image))
        if pixels == "raw":
            assert np.array_equal(_decoded(data), expected)
        else:
            assert _decoded(data).shape == expected.shape
            assert np.abs(_decoded(data).astype(int) - expected).mean() < 3
    fields = json.loads((root / "train.json").read_text())["packed_from"]
    assert fields["resize_size"] == 100
    assert fields.get("pixels", "jpeg") == pixels
    assert fields.get("quality") == (97 if pixels == "jpeg" else None)


def test_an_evaluation_at_the_stored_size_does_not_notice_that_pictures_were_shrunk(
    packed: Callable[..., Path],
) -> None:
    large, small = packed(), packed("--pixels", "raw", "--resize_size", 100)
    for split in ("train", "val"):
        expected, got = (
            [*places.data.open(root, split, 8, train=False, image_size=90, resize_size=100)]
            for root in (large, small)
        )
        assert all(torch.equal(a["image"], b["image"]) for a, b in zip(expected, got, strict=True))


@pytest.mark.parametrize("pixels", ["raw", "mixed:0.5"])
def test_verify_knows_raw_shards_and_makes_their_index_again(
    packed: Callable[..., Path], tmp_path: Path, pixels: str
) -> None:
    root = Path(shutil.copytree(packed("--pixels", pixels), tmp_path / "root"))
    before = all_bytes(root)
    assert main(["verify", str(root), "--decode"]) == 0
    (root / "train.index.npy").unlink()
    assert main(["verify", str(root), "--index"]) == 0
    assert all_bytes(root) == before


def test_verify_names_what_is_damaged_in_raw_shards(
    packed: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(shutil.copytree(packed("--pixels", "raw"), tmp_path / "root"))
    path, wrong_sum = root / "val-000000.tar", "its SHA-256 is not the one of the manifest"
    whole = path.read_bytes()
    index = load_index(load_manifest(root, "val"))
    offset, size_bytes = int(index["offset"][5]), int(index["size_bytes"][5])

    def told(data: bytes) -> list[str]:
        path.write_bytes(data)
        capsys.readouterr()
        assert main(["verify", str(root), "--split", "val"]) == 1
        lines = capsys.readouterr().out.splitlines()[1:]
        return [line.removeprefix(f"  {path.name}: ") for line in lines]

    pixel = offset + size_bytes - 7
    assert told(whole[:pixel] + b"~" + whole[pixel + 1 :]) == [wrong_sum]
    key, *others = told(whole[:offset] + b"XX" + whole[offset + 2 :])
    assert key.startswith("airfield/005: ")
    assert others == [wrong_sum]
    missing, beyond, *others = told(whole[:pixel])
    assert missing == f"{pixel:,} bytes, not {len(whole):,}"
    assert beyond == f"beyond its end: {NUM - 5} of {NUM} pictures"
    assert others == [wrong_sum]


def test_too_little_space_is_noticed_before_anything_is_written(
    archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    needed_bytes = sum(map(len, _members(packed_into(tmp_path / "a", archive)).values()))
    capsys.readouterr()
    free = SimpleNamespace(free=int(0.9 * needed_bytes))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    words = ["--root", str(tmp_path / "b"), "--split", "train", "--pixels", "raw"]
    assert main(["pack", str(archive), *words]) == 2
    assert "too little space in" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_shards_are_cut_where_they_are_full(archive: Path, tmp_path: Path) -> None:
    root = packed_into(tmp_path, archive, "--shard_size_mb", "1")
    manifest = load_manifest(root, "train")
    sizes = [path.stat().st_size for path in manifest.shard_paths]
    largest = 512 + 3 * 301 * 160 + 1536 + 10_240
    assert len(sizes) > 1
    assert max(sizes) <= 1 << 20
    assert min(sizes[:-1]) > (1 << 20) - largest - 10_240
    assert [shard.size_bytes for shard in manifest.shards] == sizes
    assert len(_members(root)) == NUM


def packed_into(root: Path, archive: Path, *words: str) -> Path:
    where = ["--root", str(root), "--split", "train", "--pixels", "raw"]
    assert main(["pack", str(archive), *where, *words]) == 0
    return root


def test_a_damaged_jpeg_stays_as_it_is_and_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = _files()
    damaged = files["airfield/007.jpg"] = files["airfield/007.jpg"][:-300]
    archive = write_tar(tmp_path / "a.tar", files)
    words = ["--root", str(tmp_path / "root"), "--split", "val", "--pixels", "raw"]
    assert main(["pack", str(archive), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == f"  raw: {NUM - 1} of {NUM} pictures"
    assert lines[2].startswith(
        "  kept as they are (cannot be decoded): airfield/007 (damaged JPEG: "
    )
    members = _members(tmp_path / "root", "val")
    assert members.pop("airfield/007.jpg") == damaged
    assert {name[-4:] for name in members} == {".ppm"}
    batches = places.data.open(
        tmp_path / "root", "val", 8, image_size=32, resize_size=32, bad_samples="skip"
    )
    errors = {
        key: error
        for batch in batches
        for key, error in zip(batch["key"], batch["error"], strict=True)
        if error
    }
    assert errors.keys() == {"airfield/007"}
    assert main(["verify", str(tmp_path / "root"), "--decode"]) == 1


def test_a_second_run_does_nothing_and_other_pixels_are_refused(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pack", str(archive), "--root", str(tmp_path / "root"), "--split", "train"]
    raw = ["--pixels", "raw", "--resize_size", "100"]
    assert main([*words, *raw]) == 0
    before = all_bytes(tmp_path / "root")
    assert main([*words, *raw]) == 0
    assert "already packed" in capsys.readouterr().out
    for other in ([], ["--pixels", "raw"], ["--pixels", "mixed:0.5", "--resize_size", "100"]):
        assert main([*words, *other]) == 2
        error = capsys.readouterr().err
        assert "holds other data for split 'train'" in error
        assert "pixels raw, resize_size 100" in error
    assert all_bytes(tmp_path / "root") == before
    assert main([*words, "--force"]) == 0
    assert load_manifest(tmp_path / "root", "train").formats == ("jpeg",)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pixels", "ppm"], "pixels must be jpeg, raw or mixed:PART, not 'ppm'"),
        (["--pixels", "mixed"], "not 'mixed'"),
        (["--pixels", "mixed:"], "not 'mixed:'"),
        (["--pixels", "mixed:1.5"], "not 'mixed:1.5'"),
        (["--pixels", "mixed:nan"], "not 'mixed:nan'"),
        (["--pixels", "raw:0.5"], "not 'raw:0.5'"),
        (["--resize_size", "0"], "resize_size must be 1 to 65535, not 0"),
        (["--quality", "101"], "quality must be 1 to 100, not 101"),
    ],
)
def test_what_cannot_be_is_refused(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    root = tmp_path / "root"
    assert main(["pack", str(archive), "--root", str(root), "--split", "val", *words]) == 2
    assert told in capsys.readouterr().err
    assert not root.exists()
