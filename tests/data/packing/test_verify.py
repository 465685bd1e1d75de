import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.data.packing.official import flat_files, list_files, read_back, train_files, write_tar

from places.cli.main import main as places
from places.data.packing.pack import pack
from places.data.packing.verify import verify
from places.data.shards.index import load_index
from places.data.shards.manifest import load_manifest, save_manifest
from places.errors import DataError

Check = Callable[..., tuple[int, list[str]]]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    train = write_tar(folder / "train.tar", train_files(60, side=200))
    val = write_tar(folder / "val.tar", flat_files("val", 6))
    write_tar(folder / "filelist_places365-standard.tar", list_files(6))
    pack([train], folder / "root", split="train", shard_size_mb=1)
    pack([val], folder / "root", split="val", md5=False)
    return folder / "root"


@pytest.fixture
def root(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "root"))


@pytest.fixture
def check(root: Path, capsys: pytest.CaptureFixture[str]) -> Check:
    """Verifies the train split and returns the exit status and what was printed."""

    def run(*flags: str) -> tuple[int, list[str]]:
        status = places(["verify", str(root), "--split", "train", *flags])
        return status, capsys.readouterr().out.splitlines()

    return run


def change_byte(path: Path, position: int) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0xFF]))


def picture(root: Path, row: int) -> tuple[Path, str, int, int]:
    """Shard, key, position and size of a picture."""
    manifest = load_manifest(root, "train")
    offset, size_bytes, shard, _ = load_index(manifest)[row].tolist()
    return manifest.shard_paths[shard], list(read_back(root, "train"))[row], offset, size_bytes


@pytest.mark.parametrize("flags", [[], ["--decode"]])
def test_packed_shards_are_well(
    root: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    assert places(["verify", str(root), *flags]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "train: 60 pictures in 3 shards, all is well",
        "val: 6 pictures in 1 shard, all is well",
    ]


def test_a_changed_byte_in_a_jpeg_is_found_by_checksum_and_named(root: Path, check: Check) -> None:
    path, key, offset, size_bytes = picture(root, 30)
    # The end of the file becomes no marker: a decoder warns.
    change_byte(path, offset + size_bytes - 1)
    change_byte(path, offset + size_bytes - 2)
    status, lines = check()
    assert status == 1
    assert lines[0] == "train: 60 pictures in 3 shards, problems: 2"
    assert lines[1] == f"  {path.name}: its SHA-256 is not the one of the manifest"
    assert lines[2].startswith(f"  {path.name}: {key}: damaged JPEG")


def test_a_changed_byte_that_decodes_names_the_shard(root: Path, check: Check) -> None:
    path, _, offset, _ = picture(root, 3)
    change_byte(path, offset + 6)  # in the comment
    assert check() == (
        1,
        [
            "train: 60 pictures in 3 shards, problems: 1",
            f"  {path.name}: its SHA-256 is not the one of the manifest",
        ],
    )


def test_a_damaged_jpeg_header_is_named(root: Path, check: Check) -> None:
    path, key, offset, _ = picture(root, 3)
    change_byte(path, offset)
    status, lines = check()
    assert status == 1
    assert lines[1].startswith(f"  {path.name}: {key}: no JPEG header (")


def test_damage_that_was_packed_is_found_by_decoding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = train_files(5, side=64)
    name = list(files)[2]
    files[name] = files[name][:-600]
    pack([write_tar(tmp_path / "a.tar", files)], tmp_path / "root", split="train")
    assert verify(tmp_path / "root") == 0
    assert verify(tmp_path / "root", decode=True) == 1
    key = name.removeprefix("data_256/").removesuffix(".jpg")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"  train-000000.tar: {key}: damaged JPEG")


def test_a_truncated_tar_is_named_with_what_is_missing(root: Path, check: Check) -> None:
    path, _, offset, _ = picture(root, 40)
    os.truncate(path, offset + 100)
    manifest = load_manifest(root, "train")
    first = int(np.flatnonzero(load_index(manifest)["shard"] == 1)[0])
    num = manifest.shards[1].num_samples
    status, lines = check()
    assert status == 1
    assert lines[1:] == [
        f"  {path.name}: {offset + 100:,} bytes, not {manifest.shards[1].size_bytes:,}",
        f"  {path.name}: beyond its end: {num - (40 - first)} of {num} pictures",
        f"  {path.name}: its SHA-256 is not the one of the manifest",
    ]
    path.write_bytes(b"")
    assert check()[1][1:] == [f"  {path.name}: empty"]


def test_a_missing_shard_is_named(root: Path, check: Check) -> None:
    (root / "train-000001.tar").unlink()
    assert check() == (
        1,
        ["train: 60 pictures in 3 shards, problems: 1", "  train-000001.tar: missing"],
    )


def test_a_tar_that_no_manifest_names_is_found(root: Path, check: Check) -> None:
    shutil.copy(root / "train-000001.tar", root / "train-000007.tar")
    assert check() == (
        1,
        [
            "train: 60 pictures in 3 shards, problems: 1",
            "  train-000007.tar: not in the manifest; readers of train-*.tar would take it",
        ],
    )


def test_a_split_without_its_manifest_is_named_beside_the_others(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "val.json").unlink()
    assert places(["verify", str(root)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "train: 60 pictures in 3 shards, all is well",
        "val: problems: 1",
        f"  no manifest for the shards of split 'val' in {root}",
        f"  looked for: {root}/val.json      found: val-*.tar, train.json",
        f"  make it:    places verify {root} --split val --index",
    ]


@pytest.mark.parametrize("text", ["{}", "no json", '{"version": 1, "shards": 3}'])
def test_a_damaged_manifest_is_named_and_the_others_are_checked(
    root: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (root / "train.json").write_text(text)
    assert places(["verify", str(root)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "train: problems: 1"
    assert f"{root}/train.json" in lines[1]
    assert lines[-1] == "val: 6 pictures in 1 shard, all is well"


def test_a_renamed_category_is_named(root: Path, check: Check) -> None:
    fields = json.loads((root / "train.json").read_text())
    fields["categories"][2] = "airport"
    (root / "train.json").write_text(json.dumps(fields))
    assert check() == (
        1,
        [
            "train: 60 pictures in 3 shards, problems: 1",
            "  train.json: category 2 is 'airport', officially 'airport_terminal'",
        ],
    )


def test_wrong_counts_in_the_manifest_are_named(root: Path, check: Check) -> None:
    path = root / "train.json"
    fields = json.loads(path.read_text())
    counts = [shard["num_samples"] for shard in fields["shards"]]
    fields["shards"][0]["num_samples"] += 1
    path.write_text(json.dumps(fields))
    status, lines = check()
    assert status == 1
    assert "train.index.npy does not fit its manifest: it has shape (60,), not (61,)" in lines[1]
    fields["shards"][1]["num_samples"] -= 1
    path.write_text(json.dumps(fields))
    assert check()[1][1:] == [
        "  train.index.npy: "
        f"{counts[0]} pictures in train-000000.tar, {counts[0] + 1} in the manifest",
        "  train.index.npy: "
        f"{counts[1]} pictures in train-000001.tar, {counts[1] - 1} in the manifest",
    ]
    fields["shards"] = fields["shards"][:1]
    fields["shards"][0]["num_samples"] = 60
    path.write_text(json.dumps(fields))
    assert "  train.index.npy: its rows are not in the order of the shards" in check()[1]


def test_a_replaced_index_is_found_and_its_rows_named(root: Path, check: Check) -> None:
    path = root / "train.index.npy"
    _, key, _, _ = picture(root, 7)
    index = np.load(path)
    index["offset"][5] += 512
    index["label"][7] = (index["label"][7] + 1) % 365
    np.save(path, index)
    status, lines = check()
    assert status == 1
    assert lines[1] == "  train.index.npy: its SHA-256 is not the one of the manifest"
    size_bytes, offset = int(index["size_bytes"][5]), int(index["offset"][5])
    assert lines[2] == (
        f"  train-000000.tar: no picture of {size_bytes:,} bytes at byte {offset:,}, "
        "where the index has one"
    )
    right, wrong = (index["label"][7] - 1) % 365, index["label"][7]
    assert lines[3] == f"  train-000000.tar: {key}: label {right} in the tar, {wrong} in the index"
    assert len(lines) == 4
    index["label"] = -1
    np.save(path, index)
    assert any("says labelled True" in line for line in check()[1])
    np.save(path, index[::-1])
    assert "  train.index.npy: its rows are not in the order of the shards" in check()[1]


def test_an_offset_outside_of_every_tar_is_named(root: Path, check: Check) -> None:
    index = np.load(root / "train.index.npy")
    index["offset"][:3] = 3, 512, (1 << 62)
    np.save(root / "train.index.npy", index)
    status, lines = check()
    assert status == 1
    assert "4 of its pictures lie outside" in lines.pop(2)
    assert "1 of " in lines[2]
    assert "beyond its end: " in lines[2]
    assert len([line for line in lines if "where the index has one" in line]) == 2


def test_long_lists_of_problems_are_cut(root: Path, check: Check) -> None:
    index = np.load(root / "train.index.npy")
    index["size_bytes"] += 1
    np.save(root / "train.index.npy", index)
    _, lines = check()
    assert lines[0] == "train: 60 pictures in 3 shards, problems: 61"
    assert len(lines) == 22
    assert lines[-1] == "  and 41 more"


def test_a_missing_index_is_a_problem_that_index_solves(root: Path, check: Check) -> None:
    (root / "train.index.npy").unlink()
    status, lines = check()
    assert (status, lines[1:]) == (1, [f"  no index {root}/train.index.npy"])
    assert check("--index") == (0, ["train: 60 pictures in 3 shards, all is well"])
    assert check() == (0, ["train: 60 pictures in 3 shards, all is well"])


def test_shards_from_elsewhere_are_indexed_and_checked(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train", "val"):
        (root / f"{name}.json").unlink()
        (root / f"{name}.index.npy").unlink()
    with pytest.raises(DataError) as error:
        verify(root)
    assert str(error.value).splitlines() == [
        f"no shards with a manifest in {root}",
        f"  make them:       places pack ARCHIVE --root {root}",
        f"  from elsewhere:  places verify {root} --index",
    ]
    assert verify(root, index=True) == 0
    assert capsys.readouterr().out.splitlines() == [
        "train: 60 pictures in 3 shards, all is well",
        "val: 6 pictures in 1 shard, all is well",
    ]


def test_other_members_between_the_samples_are_no_problem(tmp_path: Path) -> None:
    files = train_files(3, top="")
    data = list(files.values())
    members = {
        "a.cls": b"1", "a.jpg": data[0], "a.json": b"{}",
        "b.jpg": data[1], "b.txt": b"x", "b.cls": b"2",
    }  # fmt: skip
    write_tar(tmp_path / "val-0.tar", members)
    assert verify(tmp_path, "val", decode=True, index=True) == 0


def test_a_missing_split_is_an_error(root: Path) -> None:
    with pytest.raises(DataError, match="no shards for split 'test'"):
        verify(root, "test")


def test_labels_that_are_only_in_the_tar_are_named(root: Path, check: Check) -> None:
    manifest = load_manifest(root, "train")
    index = np.load(root / "train.index.npy")
    index["label"] = -1
    np.save(root / "train.index.npy", index)
    sha256 = hashlib.sha256((root / "train.index.npy").read_bytes()).hexdigest()
    save_manifest(replace(manifest, labelled=False, index_sha256=sha256))
    status, lines = check()
    assert (status, lines[0]) == (1, "train: 60 pictures in 3 shards, problems: 60")
    assert lines[1].endswith(" in the tar, none in the index")


def test_what_comes_from_the_files_is_shown_as_text(root: Path, check: Check) -> None:
    (root / "train-\x1b[2J\n.tar").touch()
    status, lines = check()
    assert (status, len(lines)) == (1, 2)
    assert lines[1].startswith("  train-\\x1b[2J\\n.tar: not in the manifest")


def test_a_shard_that_the_system_does_not_open_is_named(root: Path, check: Check) -> None:
    shard = load_manifest(root, "train").shard_paths[0]
    shard.unlink()
    shard.symlink_to(shard.name)  # leads to itself
    status, lines = check()
    assert status == 1
    assert any(f"{shard.name}: cannot be read: Too many levels of" in line for line in lines)


def test_tars_without_a_manifest_are_named_with_what_makes_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.tar").write_bytes(b"")
    assert places(["verify", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"places: error: no shards with a manifest in {tmp_path}"
    assert lines[1].split() == ["found:", "a.tar"]
    assert lines[3].strip() == f"from elsewhere:  places index {tmp_path} --split train"
