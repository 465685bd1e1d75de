"""Random lists, of labels through `pack` and of pictures through `predict`."""

import csv
import os
import random
import shutil
from pathlib import Path

import pytest
from PIL import Image
from tests.data.packing.official import flat_files, list_files, read_back, val_label, write_tar
from tests.fuzz.mutations import damage_bytes
from tests.fuzz.tool import run

NUM = 12

_NAME = "places365_val.txt"
_PICTURES = ("a.png", "b c.jpg", "caf\udce9.png", "line\nbreak.png", "deep/1.png", "=x.png")
_ODD_LINES = [
    *(b"gone.png", b"deep", b".", b"/", b"~", b"-", b"@list.txt", b"*.png", b"{0..9}.png"),
    *(b"pipe:cat x", b"file:///etc/passwd", b"simplecache::http://127.0.0.1/x", b"odd://x/a.png"),
    *(b"x" * 900, b"\xff\xfe", b"\x1b[2J.png", b"a.png ", b" a.png", b"\t", b"#a.png", b"a.tar"),
    *(b"a.tar::x.png", b"::", b"http://[", b"s3:///", b"../../../../etc/passwd", b"/dev/zero"),
]
_TOOL = ("--random_weights", "--model.net=tests.networks.Tiny", "--data.image_size=32")
_QUIET = ("--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu")


def one(rng: random.Random, folder: Path) -> str:
    """Make one random list, run the tool on it, and assert the promise.

    Args:
        rng: All randomness.
        folder: An empty folder; it is empty again at the end.

    Returns:
        The kind of the list.
    """
    before = Path.cwd()
    os.chdir(folder)
    try:
        return rng.choice([_labels, _labels, _labels, _pictures])(rng)
    finally:
        os.chdir(before)
        for inside in folder.iterdir():
            shutil.rmtree(inside) if inside.is_dir() else inside.unlink()


def _labels(rng: random.Random) -> str:
    """Check that no damage gives a picture another label without a word, where it can be told."""
    write_tar(Path("pictures.tar"), flat_files("val", NUM))
    data = list_files(NUM)[_NAME]
    kind, damaged = rng.choice([damage_bytes, _damage_lines])(rng, data)
    Path(_NAME).write_bytes(damaged)
    words = ("pack", "pictures.tar", _NAME, "--root", "root", "--split", "val", "--no-md5")
    status, lines = run(*words)
    assert status in (0, 2), lines
    if status == 0:
        labels = [int(label or b"-1") for _, label in read_back(Path("root"), "val").values()]
        assert len(labels) == NUM
        assert set(labels) <= set(range(365))
    if damaged == data:
        assert sorted(labels) == sorted(val_label(number) for number in range(1, NUM + 1)), lines
    return f"labels, {kind}"


def _damage_lines(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    lines = data.splitlines(keepends=True)
    place, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.choice(["none", "twice", "missing", "swapped", "odd", "endings", "bom"])
    if kind == "twice":
        lines.insert(place, lines[other])
    elif kind == "missing":
        del lines[place]
    elif kind == "swapped":
        lines[place], lines[other] = lines[other], lines[place]
    elif kind == "odd":
        number = rng.choice([b"-1", b"365", b"9" * 400, b"1.0", b"", b"\xd9\xa3", b"0x1", b"1 2"])
        lines[place] = lines[place].split(b" ")[0] + b" " + number + b"\n"
    joined = b"".join(lines)
    if kind == "endings":
        joined = joined.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n", b"\0"]))
    return kind, b"\xef\xbb\xbf" + joined if kind == "bom" else joined


def _pictures(rng: random.Random) -> str:
    """Check that each line has its row, in the order of the list."""
    for number, name in enumerate(_PICTURES):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40), (number * 30, 0, 0)).save(os.fsencode(name).decode("latin-1"))
        Path(os.fsencode(name).decode("latin-1")).rename(name)
    null = rng.random() < 0.3
    names = [os.fsencode(name) for name in _PICTURES if null or "\n" not in name]
    lines = [rng.choice([*names, *_ODD_LINES]) for _ in range(rng.randint(1, 12))]
    data = (b"\0" if null else rng.choice([b"\n", b"\r\n"])).join(lines)
    kind = "as it is"
    if rng.random() < 0.3:
        kind, data = damage_bytes(rng, data)
    Path("list.txt").write_bytes(data)
    words = ("@list.txt", *_TOOL, *_QUIET, f"--data.null={str(null).lower()}")
    status, said = run("predict", *words, limit_s=30.0)
    if kind == "as it is":
        assert status in (0, 1), said
        (file,) = Path("runs").rglob("predictions.csv")
        with file.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
        assert len(rows) == len({_plain(line) for line in lines}), said
        assert all(bool(row["error"]) != bool(row["category_1"]) for row in rows)
        assert status == int(any(row["error"] for row in rows))
    return f"pictures, {kind}"


def _plain(line: bytes) -> bytes:
    is_url = b"::" in line or b"://" in line or line.startswith(b"pipe:")
    return line if is_url else os.fsencode(Path(os.fsdecode(line)))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(6))
def test_random_lists(tmp_path: Path, seed: int) -> None:
    (tmp_path / "work").mkdir()
    one(random.Random(seed), tmp_path / "work")
