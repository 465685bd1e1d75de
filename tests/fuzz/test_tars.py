"""Random tars, sound and damaged, through `pack` and `verify`: nothing is lost, nothing hangs."""

import gzip
import io
import random
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data.packing.official import jpeg, read_back
from tests.data.packing.unusual import Part, folder, hard_link, link, write_parts
from tests.fuzz.tool import run

from places.data.shards.tar_headers import is_header

NUM = 40

_FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
_FOLDERS = ("airfield", "bar", "church/outdoor", "./alley", "b/beach")
_ODD_NAMES = ("a.b.jpg", "ü.jpg", "n" * 70 + ".jpg", ".hidden.jpg", "notes.txt", "x.JPEG", "%.jpeg")
_FIELDS = {  # of a header: first byte and length
    "name": (0, 100), "mode": (100, 8), "size": (124, 12), "time": (136, 12), "sum": (148, 8),
    "type": (156, 1), "target": (157, 100), "magic": (257, 8), "device": (329, 16),
    "prefix": (345, 155), "map": (386, 126),
}  # fmt: skip
_VALUES = [
    *(b"-1", b"-00000000001", b"7" * 12, b"\xff" * 12, b"\x80" + bytes(11), b"\x80" + b"\xff" * 11),
    *(
        b"9",
        b" 12 ",
        b"\1" * 126,
        b"ustar  \0",
        b"../x.jpg",
        b"/x.jpg",
        b"airfield/1.jpg",
        b"x.tar",
    ),
    *(
        b"airfield",
        b"airfield/",
        b".",
        b"..",
        b"/etc/passwd",
        b"a\nb.jpg",
        b"\x1b[2J.jpg",
        b"\xff.jpg",
    ),
    *(bytes([kind]) for kind in b"\x00012356789LKxgXSDVMN"),
]


def one(rng: random.Random, folder: Path) -> str:
    """Make one random tar, run the tool on it, and assert the promise.

    Args:
        rng: All randomness.
        folder: An empty folder; it is empty again at the end.

    Returns:
        The kind of the tar.
    """
    kind = rng.choice([*_DAMAGES, "sound", "sound"])
    path = write_parts(folder / "val-000000.tar", _parts(rng), rng.choice(_FORMATS))
    if kind == "sound":
        _check_sound(path, folder)
    else:
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            path.write_bytes(_DAMAGES[kind](rng, path.read_bytes()))
        _check_damaged(path, folder)
    for inside in folder.iterdir():
        shutil.rmtree(inside) if inside.is_dir() else inside.unlink()
    return kind


def _parts(rng: random.Random) -> list[Part]:
    parts: list[Part] = []
    for number in range(rng.randint(1, 7)):
        name = rng.choice([f"{number}.jpg", f"{number}.jpg", rng.choice(_ODD_NAMES)])
        name = f"{rng.choice(_FOLDERS)}/{name}"
        parts.append(Part(name, jpeg(rng.randrange(99)) if rng.random() < 0.9 else b"\xff\xd8\xff"))
    for number in range(rng.choice((0, 0, 1, 3))):
        at = f"{rng.choice(_FOLDERS)}/link{number}{rng.choice(('', '.jpg'))}"
        other = rng.choice(parts).name
        target = rng.choice(
            [other.rpartition("/")[2], f"../{other}", "..", ".", "x/../.", "nothing"]
        )
        parts.append(rng.choice([link(at, target), hard_link(at, other)]))
    names = {part.name.removeprefix("./"): part for part in parts}
    return [*names.values(), *rng.choice([[], [folder("airfield"), folder("./x")]])]


def _blocks_of(rng: random.Random, data: bytes) -> int:
    """Return the position of a random header, or of any block if there is none."""
    starts = range(0, max(len(data) - 511, 1), 512)
    return rng.choice([at for at in starts if is_header(data[at : at + 512])] or [0])


def _with_field(rng: random.Random, data: bytes) -> bytes:
    at = _blocks_of(rng, data)
    header = bytearray(data[at : at + 512].ljust(512, b"\0"))
    name = rng.choice([*_FIELDS, "size", "size", "type", "type", "name"])
    start, length = _FIELDS[name]
    value = rng.choice([rng.choice(_VALUES), rng.randbytes(length)])
    header[start : start + length] = value[:length].ljust(length, b"\0")
    if name != "sum" and rng.random() < 0.95:
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    return data[:at] + header + data[at + 512 :]


def _with_flips(rng: random.Random, data: bytes) -> bytes:
    damaged = bytearray(data or b"x")
    for _ in range(rng.choice((1, 2, 20))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _with_words(rng: random.Random, data: bytes) -> bytes:
    """Write digits and the like over what is told in front of a header."""
    at = _blocks_of(rng, data) + 512
    place = at + rng.randrange(60)
    return data[:place] + rng.choice((b"9", b"-", b"\0", b"=", b"\n", b"99999")) + data[place + 1 :]


def _moved(rng: random.Random, data: bytes) -> bytes:
    start, length, target = (512 * rng.randrange(max(len(data) // 512, 1)) for _ in range(3))
    block = data[start : start + min(length, 4096) + 512]
    rest = rng.choice([data, data[:start] + data[start + len(block) :]])
    return rest[:target] + block + rest[target:]


def _behind(rng: random.Random, data: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=rng.choice(_FORMATS)) as tar:
        member = tarfile.TarInfo(rng.choice(("airfield/last.jpg", "inner.tar")))
        content = jpeg(7) if member.name.endswith("jpg") else data
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    other = file.getvalue()
    return rng.choice([data + other, data.rstrip(b"\0") + other, other, data + rng.randbytes(700)])


_DAMAGES: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "field": _with_field,
    "fields": _with_field,
    "flips": _with_flips,
    "words": _with_words,
    "moved": _moved,
    "behind": _behind,
    "cut": lambda rng, data: data[: rng.randint(0, len(data))],
    "zeros": lambda rng, data: data[: 512 * rng.randrange(40)] + bytes(512) + data,
    "gzip": lambda _, data: gzip.compress(data, mtime=0),
}


def _check_sound(path: Path, folder: Path) -> None:
    """Compare with the folder that `tarfile` unpacks."""
    with tarfile.open(path) as tar:
        tar.extractall(folder / "unpacked", filter="fully_trusted")
    outcomes: list[object] = []
    for source, root in ((path, folder / "a"), (folder / "unpacked", folder / "b")):
        status, lines = run("pack", source, "--root", root, "--split", "val")
        told = lines[0].rpartition(";")[2] if status == 0 else ""
        outcomes.append((status, told, read_back(root, "val") if status == 0 else ""))
        assert status != 0 or run("verify", root, "--decode")[0] in (0, 1), lines
    assert outcomes[0] == outcomes[1]


def _check_damaged(path: Path, folder: Path) -> None:
    root = folder / "root"
    status, lines = run("pack", path, "--root", root, "--split", "val", "--skip_other_files")
    if status == 0:
        found = Counter(picture for picture, _ in read_back(root, "val").values())
        problems = run("verify", root)[1][1:]
        assert all("no JPEG header" in line or line.startswith("  and ") for line in problems)
        assert not _pictures(path) - found, lines
    status, lines = run("verify", folder, "--index")
    if status == 0:
        assert run("verify", folder)[0] == 0


def _pictures(path: Path) -> Counter[bytes]:
    """Return what `tarfile` sees of pictures; nothing where it gives up."""
    try:
        with tarfile.open(path) as tar:
            files = [m for m in tar if m.isreg() and not m.issparse() and _is_picture(m.name)]
            return Counter(tar.extractfile(m).read() for m in files)  # type: ignore[union-attr]
    except (tarfile.TarError, ValueError, OverflowError, OSError, EOFError, MemoryError):
        return Counter()


def _is_picture(name: str) -> bool:
    parts = name.split("/")
    is_hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
    return not is_hidden and name.lower().endswith((".jpg", ".jpeg"))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(4))
def test_random_tars(tmp_path: Path, seed: int) -> None:
    (tmp_path / "work").mkdir()
    for number in range(NUM // 4):
        one(random.Random(1000 * seed + number), tmp_path / "work")
