import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from places.data.shards.manifest import (
    SAMPLE,
    Manifest,
    Shard,
    index_path,
    load_index,
    load_manifest,
    save_manifest,
)
from places.errors import DataError


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest(
        root=tmp_path,
        split="val",
        variant="standard",
        size="256",
        synthetic=True,
        seed=3,
        categories=("airfield", "church/outdoor"),
        labelled=True,
        shards=(Shard("val-000000.tar", 4, 10240, "aa"), Shard("val-000001.tar", 1, 20480, "bb")),
        index_sha256="cc",
    )


def test_a_manifest_is_read_as_it_was_saved(manifest: Manifest) -> None:
    save_manifest(manifest, packed_from={"seed": 3})
    assert load_manifest(manifest.root, "val") == manifest
    assert load_manifest(str(manifest.root), "val") == manifest
    assert manifest.num_samples == 5
    assert manifest.summary == "5 pictures in 2 shards"
    assert manifest.shard_paths[1] == manifest.root / "val-000001.tar"
    assert [path.name for path in manifest.root.iterdir()] == ["val.json"]


def test_digest_depends_on_all_but_the_place_and_the_sources(manifest: Manifest) -> None:
    digests = {
        manifest.digest,
        replace(manifest, seed=4).digest,
        replace(manifest, index_sha256="dd").digest,
        replace(manifest, shards=manifest.shards[:1]).digest,
    }
    assert len(digests) == 4
    assert replace(manifest, root=Path("elsewhere")).digest == manifest.digest
    save_manifest(manifest, packed_from={"seed": 5})
    assert load_manifest(manifest.root, "val").digest == manifest.digest


def test_a_missing_split_says_where_it_looked_and_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "train.json").touch()
    with pytest.raises(DataError) as error:
        load_manifest(tmp_path, "val")
    assert str(error.value) == (
        f"no shards for split 'val' in {tmp_path}\n"
        f"  looked for: {tmp_path}/val.json      found: train.json\n"
        f"  make them:  places pack val_256.tar --root {tmp_path}"
    )


def test_shards_without_a_manifest_can_be_indexed(tmp_path: Path) -> None:
    (tmp_path / "val-000000.tar").touch()
    with pytest.raises(DataError, match=f"places verify {tmp_path} --split val --index"):
        load_manifest(tmp_path, "val")


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1}', '{"version": 1, "shards": [1]}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "val.json").write_text(text)
    with pytest.raises(DataError, match=f"damaged manifest {tmp_path}/val.json: "):
        load_manifest(tmp_path, "val")


def test_bytes_that_are_no_text_are_a_damaged_manifest(tmp_path: Path) -> None:
    (tmp_path / "val.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="damaged manifest"):
        load_manifest(tmp_path, "val")


def test_another_version_is_refused(manifest: Manifest) -> None:
    save_manifest(manifest)
    path = manifest.root / "val.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 2}))
    with pytest.raises(DataError, match=re.escape("has version 2, this program reads version 1")):
        load_manifest(manifest.root, "val")


def test_the_index_is_mapped_not_read(manifest: Manifest) -> None:
    rows = np.zeros(5, SAMPLE)
    rows["offset"] = np.arange(5) + (1 << 40)
    np.save(index_path(manifest.root, "val"), rows)
    index = load_index(manifest)
    assert isinstance(index, np.memmap)
    assert index.tolist() == rows.tolist()
    assert SAMPLE.itemsize == 16
    with pytest.raises(ValueError, match="read-only"):
        index["label"] = 1


def test_a_missing_index_says_how_to_make_it(manifest: Manifest) -> None:
    with pytest.raises(DataError, match=r"no index .*val\.index\.npy\n  make it:  places verify"):
        load_index(manifest)


@pytest.mark.parametrize("rows", [np.zeros(4, SAMPLE), np.zeros(5, "<u8")])
def test_an_index_of_another_shape_or_type_is_refused(manifest: Manifest, rows: np.ndarray) -> None:
    np.save(index_path(manifest.root, "val"), rows)
    with pytest.raises(DataError, match="does not fit its manifest"):
        load_index(manifest)


@pytest.mark.parametrize("data", [b"", b"no array", b"\x93NUMPY\x01\x00v\x00{'descr'"])
def test_a_damaged_index_is_named(manifest: Manifest, data: bytes) -> None:
    index_path(manifest.root, "val").write_bytes(data)
    with pytest.raises(DataError, match=r"damaged index .*val\.index\.npy"):
        load_index(manifest)


@pytest.mark.parametrize("value", [0, ord("("), 0xFF])
def test_damage_anywhere_in_the_header_of_an_index_is_named(manifest: Manifest, value: int) -> None:
    path = index_path(manifest.root, "val")
    np.save(path, np.zeros(5, SAMPLE))
    whole = path.read_bytes()
    num_refused = 0
    for place in range(whole.index(b"\n")):
        path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
        try:
            load_index(manifest)  # padding of the header may be anything
        except DataError:
            num_refused += 1
    assert num_refused > 50
