"""Shards with raw pictures that are damaged: named, or read as Pillow reads them."""

import io
import random
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageFile
from tests.data.packing.official import jpeg, write_tar
from tests.fuzz.mutations import damage_bytes
from tests.fuzz.tool import in_time, run

import places.data
from places.data.streaming.any_format import decode_picture
from places.data.streaming.samples import SplitSamples, open_samples
from places.errors import DataError

NUM = 60

_GAPS = (b" ", b"\n", b"\t", b"\r\n", b"  ", b" # made by hand\n", b"\n#\n# 3 4\n")
_NUMBERS = (
    b"0",
    b"1",
    b"-1",
    b"7",
    b"255",
    b"256",
    b"65535",
    b"99999",
    b"060",
    b"",
    b"x",
    b"1" * 12,
)


def one(rng: random.Random, folder: Path) -> str:
    """Damage the pictures of a shard, read it in every way, and assert the promise.

    Args:
        rng: All randomness.
        folder: An empty folder; it is empty again at the end.

    Returns:
        The kind of damage.
    """
    pictures = [_picture(rng) for _ in range(rng.randint(1, 6))]
    files: dict[str, bytes] = {}
    for number, (ending, picture) in enumerate(pictures):
        files |= {f"{number}.{ending}": picture, f"{number}.cls": b"%d" % number}
    for split in ("train", "val"):
        write_tar(folder / f"{split}-0.tar", files)
        status, lines = run("index", folder, "--root", folder, "--split", split)
        assert status == 0, lines
    kind = _damage(rng, folder)
    _check_pictures(folder)
    for split in ("train", "val"):
        _check_loader(folder, split, len(pictures))
        assert run("verify", folder, "--split", split, "--decode")[0] in (0, 1)
    for path in folder.iterdir():
        path.unlink()
    return kind


def _picture(rng: random.Random) -> tuple[str, bytes]:
    if rng.random() < 0.2:
        return "jpg", jpeg(rng.randrange(99), rng.choice((16, 180)))
    # Of those with more than 64 KiB the loader reads the header first.
    width, height = rng.choice(((1, 1), (5, 3), (40, 40), (149, 147), (300, 90), (1, 400)))
    gaps = [rng.choice(_GAPS) if rng.random() < 0.3 else b"\n" for _ in range(3)]
    numbers = b"%d%s%d%s255\n" % (width, gaps[1], height, gaps[2])
    more = rng.randbytes(rng.choice((0, 0, 0, 1, 700)))
    return "ppm", b"P6" + gaps[0] + numbers + rng.randbytes(3 * width * height) + more


def _damage(rng: random.Random, folder: Path) -> str:
    """Change both shards alike, where a picture, its tar header or anything lies."""
    index = np.load(folder / "val.index.npy")
    row = rng.randrange(len(index))
    offset, size_bytes = int(index["offset"][row]), int(index["size_bytes"][row])
    data = (folder / "val-0.tar").read_bytes()
    kind = rng.choice(("header", "header", "number", "pixels", "tar header", "anything", "cut"))
    if kind == "header":
        head = data[offset : offset + min(size_bytes, 24)]
        found, head = damage_bytes(rng, head)
        kind, changed = f"{kind}, {found}", head
        data = data[:offset] + changed + data[offset + len(changed) :]
    elif kind == "number":
        text = b"P6\n%s %s\n%s\n" % tuple(rng.choice(_NUMBERS) for _ in range(3))
        data = data[:offset] + text[:size_bytes] + data[offset + len(text[:size_bytes]) :]
    elif kind == "pixels":
        at = offset + rng.randrange(size_bytes)
        data = data[:at] + rng.randbytes(1) + data[at + 1 :]
    elif kind == "tar header":
        at = offset - 1 - rng.randrange(512)
        data = data[:at] + rng.randbytes(1) + data[at + 1 :]
    elif kind == "cut":
        data = data[: rng.randrange(len(data))]
    else:
        found, data = damage_bytes(rng, data)
        kind = f"{kind}, {found}"
    for split in ("train", "val"):
        (folder / f"{split}-0.tar").write_bytes(data)
    return kind


def _check_pictures(folder: Path) -> None:
    """Each raw picture has the pixels that Pillow finds at its place, or is refused."""
    data = (folder / "val-0.tar").read_bytes()
    with in_time(), closing(open_samples(folder, "val")) as source:
        for entry in source.entries(np.arange(source.manifest.num_samples)):
            pixels = _decoded(source, entry)
            picture = data[entry[0] : entry[0] + entry[1]]
            if pixels is not None and picture.startswith(b"P6"):
                expected = _by_pillow(picture)
                assert expected is not None
                assert np.array_equal(pixels, expected)


def _decoded(
    source: SplitSamples, entry: tuple[int, int, int, int]
) -> npt.NDArray[np.uint8] | None:
    try:
        return decode_picture(source.find(entry)[1]).copy()
    except DataError as error:
        lines = str(error).splitlines()
        assert len(lines) <= 4
        assert all(line.isprintable() for line in lines)
        return None


def _by_pillow(picture: bytes) -> npt.NDArray[np.uint8] | None:
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        with Image.open(io.BytesIO(picture)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError):
        return None


def _check_loader(folder: Path, split: str, num_samples: int) -> None:
    """A run goes on without what cannot be read, and names it; or stops and names it."""
    keys, errors = [], []
    with in_time():
        for batch in places.data.open(
            folder,
            split,
            1,
            image_size=16,
            resize_size=16,
            num_threads=2,
            bad_samples="skip",
            max_bad_samples=num_samples,
        ):
            keys += batch["key"]
            errors += batch["error"]
            assert not (batch["error"][0] and batch["image"].any())
    assert len(keys) == num_samples
    assert all(error.isprintable() for error in errors)
    if any(errors):
        with pytest.raises(DataError), in_time():
            list(places.data.open(folder, split, 1, image_size=16, resize_size=16))


@pytest.mark.no_cover
@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(4))
def test_damaged_raw_shards(tmp_path: Path, seed: int) -> None:
    (tmp_path / "work").mkdir()
    for number in range(NUM // 4):
        one(random.Random(1000 * seed + number), tmp_path / "work")
