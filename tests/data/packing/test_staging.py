import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from tests.data.packing.official import all_bytes, jpeg, write_tar
from tests.data.packing.unusual import Run
from tests.data.shards.splits import rows_of, write_split

from places.data.packing.staging import install, is_packed, staging_folder
from places.data.shards.manifest import save_manifest
from places.errors import DataError

RECORD: dict[str, Any] = {
    "sources": [{"name": "a.tar", "size_bytes": 1, "md5": None}],
    "seed": 0,
    "shard_size_mb": 256,
    "limit": None,
    "md5_checked": False,
    "listing_sha256": None,
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with staging_folder(tmp_path, "val") as folder:
        yield folder


def complete(folder: Path, text: str, num_shards: int = 3) -> None:
    """Write a complete split, as pack does, with files that contain `text`."""
    folder.mkdir(exist_ok=True, parents=True)
    names = [f"val-{i:06d}.tar" for i in range(num_shards)]
    manifest = write_split(folder, rows_of(num_shards))
    shards = tuple(replace(shard, size_bytes=len(text)) for shard in manifest.shards)
    fields = asdict(replace(manifest, shards=shards)) | {"packed_from": RECORD}
    del fields["root"]
    (folder / "val.json").write_text(json.dumps(fields))
    for name in [*names, "val.index.npy"]:
        (folder / name).write_text(text)


def texts(root: Path) -> dict[str, str]:
    return {
        path.name: path.read_text() for path in sorted(root.iterdir()) if path.suffix != ".json"
    }


def whole(text: str, num_shards: int = 3) -> dict[str, str]:
    names = [f"val-{i:06d}.tar" for i in range(num_shards)]
    return dict.fromkeys([*names, "val.index.npy"], text)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def stage(root: Path, text: str, then: Callable[[Path, str], object]) -> None:
    with staging_folder(root, "val") as folder:
        complete(folder, text)
        then(folder, "val")


def test_the_folder_is_removed_at_the_end(tmp_path: Path) -> None:
    root = tmp_path / "new"
    with staging_folder(root, "val") as folder:
        (folder / "val-000000.tar").touch()
        assert folder.parent == root
    assert not root.exists()


def test_the_folder_stays_only_if_all_is_in_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path, "text", lambda folder, *_: interrupt((folder / "val.json").unlink()))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path, "text", interrupt)
    assert [path.name for path in tmp_path.iterdir()] == [".val.packing"]


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with (
        staging_folder(tmp_path, "val"),
        staging_folder(tmp_path, "train"),
        pytest.raises(DataError, match="another process is packing 'val' into"),
        staging_folder(tmp_path, "val"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_install_replaces_what_was_there(tmp_path: Path) -> None:
    complete(tmp_path, "old", num_shards=5)
    (tmp_path / "train-000000.tar").write_text("other split")
    stage(tmp_path, "new", install)
    assert texts(tmp_path) == whole("new") | {"train-000000.tar": "other split"}


@pytest.mark.parametrize("moves", range(5))
@pytest.mark.parametrize("is_same_run", [True, False])
def test_an_install_that_was_killed_is_finished_or_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int, is_same_run: bool
) -> None:
    replace, done = Path.replace, list[Path]()

    def replace_until_killed(path: Path, target: Path) -> Path:
        if len(done) == moves:
            raise KeyboardInterrupt
        done.append(path)
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_until_killed)
        with pytest.raises(KeyboardInterrupt):
            stage(tmp_path, "new", install)
    assert not (tmp_path / "val.json").exists()

    record = RECORD if is_same_run else RECORD | {"seed": 1}
    with staging_folder(tmp_path, "val") as folder:
        assert is_packed(folder, "val", record, force=True) == is_same_run
        assert is_packed(folder, "val", record, force=False) == is_same_run
    assert texts(tmp_path) == (whole("new") if is_same_run else {})


def test_leftovers_of_a_killed_run_are_removed(folder: Path) -> None:
    (folder / "val-000000.tar").touch()
    assert not is_packed(folder, "val", RECORD, force=False)
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_a_killed_run_whose_removal_was_killed_too_is_packed_again(
    tmp_path: Path, folder: Path
) -> None:
    complete(folder, "text")
    (folder / "val-000001.tar").unlink()
    assert not is_packed(folder, "val", RECORD, force=False)
    assert not is_packed(folder, "val", RECORD, force=False)


def test_a_complete_split_of_the_same_sources_is_packed(tmp_path: Path, folder: Path) -> None:
    assert not is_packed(folder, "val", RECORD, force=False)
    complete(tmp_path, "text")
    assert is_packed(folder, "val", RECORD, force=False)
    assert is_packed(folder, "val", RECORD | {"md5_checked": True}, force=False)
    assert not is_packed(folder, "val", RECORD, force=True)
    (tmp_path / "val-000001.tar").write_text("cut")
    assert not is_packed(folder, "val", RECORD, force=False)
    (tmp_path / "val-000001.tar").unlink()
    assert not is_packed(folder, "val", RECORD, force=False)


def test_other_data_is_refused_with_what_to_type(tmp_path: Path, folder: Path) -> None:
    complete(tmp_path, "text")
    with pytest.raises(DataError) as error:
        is_packed(folder, "val", RECORD | {"seed": 1}, force=False)
    assert str(error.value).splitlines() == [
        f"{tmp_path} holds other data for split 'val'",
        "  found:       a.tar, seed 0, shard_size_mb 256, limit None",
        "  replace it:  add `force`",
        "  keep it:     choose another `root`",
    ]
    assert not is_packed(folder, "val", RECORD | {"seed": 1}, force=True)


def test_names_in_a_manifest_are_shown_as_text(tmp_path: Path, folder: Path) -> None:
    sources = [{"name": "\x1b[2J\n" * 99, "size_bytes": 1, "md5": None}] * 9
    save_manifest(write_split(tmp_path, rows_of(1)), RECORD | {"sources": sources})
    with pytest.raises(DataError) as error:
        is_packed(folder, "val", RECORD, force=False)
    lines = str(error.value).splitlines()
    assert len(lines) == 4
    assert all(line.isprintable() and len(line) < 1000 for line in lines)
    assert "and 6 more, seed 0" in lines[1]


def test_shards_from_elsewhere_are_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "val-a.tar").touch()
    with pytest.raises(DataError, match=r"val-\*\.tar, without a manifest"):
        is_packed(folder, "val", RECORD, force=False)
    save_manifest(write_split(tmp_path, rows_of(1)))
    with pytest.raises(DataError, match="shards from elsewhere"):
        is_packed(folder, "val", RECORD, force=False)


# Staging folders that somebody else left, for instance in a folder that came as an archive


@pytest.mark.parametrize(
    "name", ["../victim.txt", "/victim.txt", "../val-victim.tar", "victim.tar"]
)
@pytest.mark.parametrize("force", [False, True])
def test_a_manifest_that_somebody_left_removes_nothing_elsewhere(
    tmp_path: Path, run: Run, name: str, force: bool
) -> None:
    root = tmp_path / "root"
    victims = [tmp_path / "victim.txt", tmp_path / "val-victim.tar", root / "victim.tar"]
    complete(root / ".val.packing", "x")
    path = root / ".val.packing" / "val.json"
    fields = json.loads(path.read_text())
    fields["shards"][0]["name"] = f"{tmp_path}{name}" if name[0] == "/" else name
    path.write_text(json.dumps(fields))
    for victim in victims:
        victim.write_text("precious")
    source = write_tar(tmp_path / "a.tar", {"airfield/1.jpg": jpeg(1)})
    words = ["--root", root, "--split", "val", *(["--force"] if force else [])]
    assert run("pack", source, *words)[0] == 0
    assert [victim.read_text() for victim in victims] == ["precious"] * 3
    assert not (root / ".val.packing").exists()


def test_a_manifest_that_somebody_left_removes_no_shards_in_place(tmp_path: Path, run: Run) -> None:
    root = tmp_path / "root"
    source = write_tar(tmp_path / "a.tar", {"airfield/1.jpg": jpeg(1)})
    words = ["pack", source, "--root", root, "--split", "val"]
    assert run(*words)[0] == 0
    before = all_bytes(root)
    complete(root / ".val.packing", "x", num_shards=1)
    (root / ".val.packing" / "val-000000.tar").unlink()  # as if it had been moved already
    assert run(*words)[1][0].startswith("val: already packed")
    assert all_bytes(root) == before


def test_a_staging_folder_behind_a_link_is_refused(tmp_path: Path, run: Run) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    (elsewhere / "victim.txt").write_text("precious")
    (root / ".val.packing").symlink_to(elsewhere)
    source = write_tar(tmp_path / "a.tar", {"airfield/1.jpg": jpeg(1)})
    status, lines = run("pack", source, "--root", root, "--split", "val")
    assert (status, lines[0]) == (2, f"places: error: {root}/.val.packing is a link")
    assert [path.name for path in elsewhere.iterdir()] == ["victim.txt"]


@pytest.mark.timeout(60)
def test_a_lock_that_is_no_file_is_refused(tmp_path: Path, run: Run) -> None:
    lock = tmp_path / "root" / ".val.packing" / "lock"
    lock.parent.mkdir(parents=True)
    source = write_tar(tmp_path / "a.tar", {"airfield/1.jpg": jpeg(1)})
    (tmp_path / "victim.txt").write_text("precious")
    for target in ("victim.txt", "new.txt"):
        lock.symlink_to(tmp_path / target)
        status, lines = run("pack", source, "--root", tmp_path / "root", "--split", "val")
        assert (status, lines[0]) == (2, f"places: error: {lock} is a link")
        lock.unlink()
    assert (tmp_path / "victim.txt").read_text() == "precious"
    assert not (tmp_path / "new.txt").exists()
    os.mkfifo(lock)
    status, lines = run("pack", source, "--root", tmp_path / "root", "--split", "val")
    assert (status, lines[0]) == (2, f"places: error: {lock} is a named pipe")


def test_links_that_somebody_left_are_not_installed(tmp_path: Path, folder: Path) -> None:
    complete(folder, "text")
    (folder / "val-000001.tar").unlink()
    (tmp_path / "victim.txt").write_text("text")
    (folder / "val-000001.tar").symlink_to(tmp_path / "victim.txt")
    assert not is_packed(folder, "val", RECORD, force=False)
    assert not (tmp_path / "val.json").exists()
    assert (tmp_path / "victim.txt").read_text() == "text"


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "{}", "null", '{"version": 2}'])
def test_what_is_no_manifest_of_ours_is_removed_with_its_folder(
    tmp_path: Path, run: Run, text: str
) -> None:
    complete(tmp_path / "root" / ".val.packing", "x")
    (tmp_path / "root" / ".val.packing" / "val.json").write_text(text)
    source = write_tar(tmp_path / "a.tar", {"airfield/1.jpg": jpeg(1)})
    assert run("pack", source, "--root", tmp_path / "root", "--split", "val")[0] == 0
    assert not (tmp_path / "root" / ".val.packing").exists()
