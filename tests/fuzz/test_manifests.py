"""Random damage of manifests, indexes and mixed shards: refused, or read as it was before."""

import copy
import hashlib
import io
import json
import random
import shutil
import tarfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from tests.data.packing.official import jpeg, write_tar
from tests.fuzz.tool import in_time, run

from places.data.shards.index import SAMPLE
from places.data.streaming.samples import open_samples
from places.errors import PlacesError

NUM = 60
NUM_PICTURES = 9

_VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 255, 512, 1 << 16, 1 << 32, (1 << 63) - 1, 1 << 64, 10**4000),
    *(
        0.5,
        1e300,
        float("nan"),
        float("inf"),
        "",
        "x",
        "..",
        "../x.tar",
        "val-000000.tar",
        "val-\0.tar",
    ),
    *("\x1b[2J", "\ud800", "a" * 300, "0" * 64, [], {}, [[]], {"x": []}, [None], ["a"] * 400),
]


def one(rng: random.Random, folder: Path) -> str:
    """Damage one sound split at random, run the tool on it, and assert the promise.

    Args:
        rng: All randomness.
        folder: An empty folder; it is empty again at the end.

    Returns:
        What was damaged.
    """
    root = folder / "root"
    root.mkdir()
    for name, data in _sound().items():
        (root / name).write_bytes(data)
    kind = rng.choice([*_DAMAGES, "values", "values"])
    _DAMAGES[kind](rng, root)
    _check(root)
    shutil.rmtree(root)
    return kind


@cache
def _sound() -> dict[str, bytes]:
    """The files of a split of two shards, in which each other picture is raw."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        files = {f"airfield/{i}.jpg": jpeg(i, 320) for i in range(NUM_PICTURES)}
        source = write_tar(folder / "a.tar", files)
        words = ["--root", folder / "root", "--split", "val", "--shard_size_mb", 1]
        words += ["--pixels", "mixed:0.5"]
        assert run("pack", source, *words)[0] == 0
        return {path.name: path.read_bytes() for path in (folder / "root").iterdir()}


@cache
def _samples() -> list[tuple[str, bytes, int]]:
    """What tarfile reads of them: key, picture and label."""
    found = []
    for name in ("val-000000.tar", "val-000001.tar"):
        with tarfile.open(fileobj=io.BytesIO(_sound()[name])) as tar:
            for member in tar:
                if not member.name.endswith(".cls"):
                    file = tar.extractfile(member)
                    assert file is not None
                    found.append((member.name[:-4], file.read(), 0))
    assert {picture[:2] for _, picture, _ in found} == {b"P6", b"\xff\xd8"}
    return found


def _check(root: Path) -> None:
    status, _ = run("verify", root)
    run("verify", root, "--index", "--decode")
    found = _read(root)
    if isinstance(found, str):
        assert status == 1, found
        assert len(found.splitlines()) <= 4
        assert all(line.isprintable() for line in found.splitlines()), found
    elif status == 0:
        assert found == _samples()


def _read(root: Path) -> list[tuple[str, bytes, int]] | str:
    """Return all samples as a run would read them, or why it would not."""
    try:
        with in_time(), closing(open_samples(root, "val")) as source:
            entries = source.entries(np.arange(source.manifest.num_samples))
            return [(*source.read(entry), entry[3]) for entry in entries]
    except PlacesError as error:
        return str(error)


def _paths_in(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    inside = [found for key, item in pairs for found in _paths_in(item, (*path, key))]
    return [path, *inside[:40]]  # not one of each category


def _with_values(rng: random.Random, root: Path) -> None:
    """Put other values at places of the manifest, take them away, or add some."""
    path = root / "val.json"
    fields = json.loads(path.read_text())
    for _ in range(rng.choice((1, 1, 2))):
        *outer, last = rng.choice(_paths_in(fields)[1:])
        inside = fields
        for key in outer:
            inside = inside[key]
        value = copy.deepcopy(rng.choice(_VALUES))
        action = rng.random()
        if action < 0.7:
            inside[last] = value
        elif action < 0.8:
            del inside[last]
        elif isinstance(inside, dict):
            inside[rng.choice(("x", "name", "root", "\x1b"))] = value
        else:
            inside.append(copy.deepcopy(rng.choice([value, inside[last]])))
    path.write_text(json.dumps(fields))


def _flipped(rng: random.Random, path: Path) -> None:
    data = bytearray(path.read_bytes())
    start = rng.choice((0, 0, len(data) - 200))
    for _ in range(rng.choice((1, 1, 3))):
        place = start + rng.randrange(rng.choice((200, len(data) - start)))
        data[place] = rng.choice((data[place] ^ 1 << rng.randrange(8), 0, 0xFF, ord("9"), ord("[")))
    path.write_bytes(rng.choice([data, data, data[: rng.randrange(len(data))], data + b"]"]))


def _with_rows(rng: random.Random, root: Path) -> None:
    """Change rows of the index and the SHA-256 in the manifest with them."""
    path = root / "val.index.npy"
    index = np.load(path)
    column = rng.choice(SAMPLE.names or ())
    row = rng.randrange(len(index))
    limits = np.iinfo(SAMPLE[column])
    around = int(index[column][row]) + rng.choice((-1024, -512, -1, 1, 512, 1024))
    value = rng.choice([limits.min, limits.max, around, int(rng.choice(index[column]))])
    index[column][row] = min(max(value, limits.min), limits.max)
    if rng.random() < 0.2:
        index = rng.choice([index[::-1], index[[*range(len(index)), row]], np.delete(index, row)])
    np.save(path, index)
    fields = json.loads((root / "val.json").read_text())
    fields["index_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (root / "val.json").write_text(json.dumps(fields))


_DAMAGES: dict[str, Callable[[random.Random, Path], None]] = {
    "values": _with_values,
    "text": lambda rng, root: _flipped(rng, root / "val.json"),
    "index": lambda rng, root: _flipped(rng, root / "val.index.npy"),
    "rows": _with_rows,
    "shard": lambda rng, root: _flipped(
        rng, root / rng.choice(("val-000000.tar", "val-000001.tar"))
    ),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("seed", range(4))
def test_random_damage_of_a_split(tmp_path: Path, seed: int) -> None:
    (tmp_path / "work").mkdir()
    for number in range(NUM // 4):
        one(random.Random(1000 * seed + number), tmp_path / "work")
