"""The index is what its manifest says, down to every row, or it is refused by name."""

import io
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.shards.splits import manifest_of, rows_of, write_split

import places.data
from places.cli.main import main as places_main
from places.data.shards import index as index_module
from places.data.shards.index import SAMPLE, load_index
from places.data.shards.manifest import Manifest, index_path, load_manifest
from places.errors import DataError, PlacesError


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return write_split(tmp_path, rows_of(2, 3))


def test_the_index_is_mapped_not_read(tmp_path: Path) -> None:
    rows = rows_of(1, 5)
    rows["offset"] += 1 << 40
    manifest = write_split(tmp_path, rows)
    shard = replace(manifest.shards[0], size_bytes=1 << 41)
    index = load_index(replace(manifest, shards=(shard,)))
    assert isinstance(index, np.memmap)
    assert index.tolist() == rows.tolist()
    assert SAMPLE.itemsize == 16
    with pytest.raises(ValueError, match="read-only"):
        index["label"] = 1


def test_a_missing_index_says_how_to_make_it(manifest: Manifest) -> None:
    index_path(manifest.root, "val").unlink()
    with pytest.raises(DataError, match=r"no index .*val\.index\.npy\n  make it:  places verify"):
        load_index(manifest)


@pytest.mark.parametrize(
    "rows", [np.zeros(4, SAMPLE), np.zeros(6, "<u8"), np.zeros((6, 1), SAMPLE)]
)
def test_an_index_of_another_shape_or_type_is_refused(manifest: Manifest, rows: np.ndarray) -> None:
    np.save(index_path(manifest.root, "val"), rows)
    with pytest.raises(DataError, match="does not fit its manifest"):
        load_index(manifest)


def header(**changes: object) -> bytes:
    """An index of six rows whose header says something else."""
    fields = {"descr": SAMPLE.descr, "fortran_order": False, "shape": (6,)} | changes
    file = io.BytesIO()
    text = str(fields).encode().ljust(117) + b"\n"
    file.write(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    return file.getvalue() + bytes(96)


HEADERS: dict[str, Callable[[], bytes]] = {
    "fortran": lambda: header(fortran_order=True),
    "huge": lambda: header(shape=(1 << 60,)),
    "negative": lambda: header(shape=(-6,)),
    "object": lambda: header(descr="|O"),
    "an object inside": lambda: header(descr=[("offset", "<u8"), ("x", "|O")]),
    "other order": lambda: header(descr=SAMPLE.newbyteorder(">").descr),
    "more keys": lambda: header(more=1),
    "code": lambda: header().replace(b"False", b"f()  "),
    "brackets": lambda: b"\x93NUMPY\x01\x00\xe8\x03" + b"(" * 1000,
    "signs": lambda: b"\x93NUMPY\x01\x00\xff\xff" + b"-" * 65535,
    "version 3": lambda: header().replace(b"\x01\x00", b"\x03\x00", 1),
    "pickle": lambda: pickle.dumps(np.zeros(6, SAMPLE)),
    "zip": lambda: b"PK\x03\x04" + bytes(200),
    "cut": lambda: header()[:-1],
    "longer": lambda: header() + b"\0",
    "empty": lambda: b"",
    "text": lambda: b"no array",
    "half a header": lambda: b"\x93NUMPY\x01\x00v\x00{'descr'",
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_are_made_to_do_damage_are_refused(manifest: Manifest, name: str) -> None:
    path = index_path(manifest.root, "val")
    path.write_bytes(HEADERS[name]())
    with pytest.raises(DataError, match=r"val\.index\.npy") as error:
        load_index(
            replace(manifest, index_sha256=manifest_of(manifest.root, rows_of(2, 3)).index_sha256)
        )
    assert "places verify" in str(error.value)
    assert len(str(error.value).splitlines()) <= 4


def test_a_pickle_in_an_index_does_not_run(manifest: Manifest) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, ("ran",)

    array = np.empty(6, object)
    array[:] = Bomb()
    np.save(index_path(manifest.root, "val"), array, allow_pickle=True)
    with pytest.raises(DataError):
        load_index(manifest)
    assert not Path("ran").exists()


@pytest.mark.parametrize("value", [0, ord("("), 0xFF])
def test_damage_anywhere_in_an_index_is_named(manifest: Manifest, value: int) -> None:
    path = index_path(manifest.root, "val")
    whole = path.read_bytes()
    for place in range(len(whole)):
        if whole[place] == value:
            continue
        path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"val\.index\.npy"):
            load_index(manifest)
    path.write_bytes(whole)
    load_index(manifest)


@pytest.mark.parametrize("rows_per_part", [1, 2, 5, 1 << 20])
@pytest.mark.parametrize(
    ("column", "row", "value", "fault"),
    [
        ("label", 0, 365, "1 of its labels are not -1 to 364"),
        ("label", 5, -2, "1 of its labels are not -1 to 364"),
        ("label", 3, -1, "the manifest says labelled True, it does not"),
        ("shard", 5, 2, "its rows are not in the order of the shards"),
        ("shard", 0, 1, "its rows are not in the order of the shards"),
        ("shard", 3, 0, "4 pictures in val-000000.tar, 3 in the manifest"),
        ("offset", 0, 0, "1 of its pictures lie outside of their shard"),
        ("offset", 1, 512, "of its pictures lie outside of their shard or in another picture"),
        ("offset", 1, 3073, "1 of its pictures lie outside"),
        ("offset", 1, 512 + 1024, "1 of its pictures lie outside"),
        ("offset", 5, 1 << 63, "1 of its pictures lie outside"),
        ("offset", 5, (1 << 64) - 512, "1 of its pictures lie outside"),
        ("size_bytes", 5, 2561, "1 of its pictures lie outside"),
        ("size_bytes", 2, (1 << 32) - 1, "1 of its pictures lie outside"),
        ("size_bytes", 0, 2049, "1 of its pictures lie outside"),
    ],
)
def test_rows_outside_are_refused_even_if_the_sum_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: Manifest,
    column: str, row: int, value: int, fault: str, rows_per_part: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(index_module, "_ROWS_PER_PART", rows_per_part)
    load_index(manifest)
    index = rows_of(2, 3)
    index[column][row] = value
    sha256 = write_split(tmp_path, index).index_sha256
    with pytest.raises(DataError) as error:
        load_index(replace(manifest, index_sha256=sha256))
    assert fault in str(error.value)
    assert f"make it:  places verify {tmp_path} --split val --index" in str(error.value)


def test_an_index_that_is_a_pipe_is_refused(manifest: Manifest) -> None:
    index_path(manifest.root, "val").unlink()
    os.mkfifo(index_path(manifest.root, "val"))
    with pytest.raises(DataError, match=r"val\.index\.npy is a named pipe, not a file"):
        load_index(manifest)


def test_changed_labels_are_refused_by_all_who_read_and_made_anew(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for path in sample.glob("val*"):
        (root / path.name).write_bytes(path.read_bytes())
    manifest = load_manifest(root, "val")
    path = index_path(root, "val")
    sound = path.read_bytes()
    index = np.load(path)
    index["label"][:10] = (index["label"][:10] + 1) % 365
    np.save(path, index)
    with pytest.raises(PlacesError, match="its SHA-256 is not the one of the manifest") as error:
        places.data.open(root, "val", 4)
    words = str(error.value).partition("make it:  places ")[2].split()
    assert places_main(["verify", str(root)]) == 1
    assert "its SHA-256 is not the one of the manifest" in capsys.readouterr().out
    assert places_main(words) == 0
    assert path.read_bytes() == sound
    assert load_manifest(root, "val").digest == manifest.digest
