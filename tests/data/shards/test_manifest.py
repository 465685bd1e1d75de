import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from places.data.shards.manifest import Manifest, Shard, load_manifest, save_manifest
from places.errors import DataError

PACKED_FROM = {
    "sources": [{"name": "a.tar", "size_bytes": None, "md5": None}],
    "seed": 3,
    "shard_size_mb": 256,
    "limit": None,
    "md5_checked": True,
    "listing_sha256": None,
}


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
        shards=(
            Shard("val-000000.tar", 4, 10240, "a" * 64),
            Shard("val-000001.tar", 1, 20480, "b" * 64),
        ),
        index_sha256="c" * 64,
    )


def test_a_manifest_is_read_as_it_was_saved(manifest: Manifest) -> None:
    save_manifest(manifest, PACKED_FROM)
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
        replace(manifest, index_sha256="d" * 64).digest,
        replace(manifest, shards=manifest.shards[:1]).digest,
    }
    assert len(digests) == 4
    assert replace(manifest, root=Path("elsewhere")).digest == manifest.digest
    save_manifest(manifest, PACKED_FROM | {"seed": 5})
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


def test_a_pipe_is_no_manifest(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "val.json")
    with pytest.raises(DataError, match=r"val\.json is a named pipe, not a file"):
        load_manifest(tmp_path, "val")


def test_a_manifest_behind_a_link_is_read(manifest: Manifest, tmp_path: Path) -> None:
    save_manifest(manifest)
    (tmp_path / "val.json").rename(tmp_path / "elsewhere")
    (tmp_path / "val.json").symlink_to("elsewhere")
    assert load_manifest(tmp_path, "val") == manifest


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000, " " * (17 << 20)])
def test_a_manifest_that_is_made_to_do_damage_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "val.json").write_text(text)
    with pytest.raises(DataError, match=r"damaged manifest .*(too deep|more than 16,777,216)"):
        load_manifest(tmp_path, "val")


def test_formats_are_named_unless_all_are_jpegs(manifest: Manifest) -> None:
    save_manifest(manifest)
    file = manifest.root / "val.json"
    fields = json.loads(file.read_text())
    assert "formats" not in fields  # so that digests stay what they were
    assert manifest.digest == ("c224c9563f77432c78236d2e7ebaca435ffd14800e953642859bbde9c0373d8c")
    mixed = replace(manifest, formats=("jpeg", "png"))
    save_manifest(mixed)
    assert load_manifest(manifest.root, "val") == mixed
    assert mixed.digest != manifest.digest
    for odd in ([], ["png", "jpeg"], ["jpeg", "jpeg"], ["gif"], "jpeg", None, [1], [["jpeg"]]):
        file.write_text(json.dumps(fields | {"formats": odd}))
        with pytest.raises(DataError, match=r"formats is .*, not some of jpeg, png, ppm, webp"):
            load_manifest(manifest.root, "val")
