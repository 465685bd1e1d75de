"""How finished shards get their final names, so that packing may be killed at any moment.

All is written into the hidden folder `.<split>.packing`. The manifest is its last file; from then
on the pack counts as done, and a later run only moves what is left to move.
"""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from places.console import first_few, printable
from places.data.shards.manifest import index_path, manifest_path, read_fields
from places.endings import signals
from places.errors import DataError, StorageError
from places.files import kind_of, sync

_SETTINGS = ("seed", "shard_size_mb", "limit", "pixels", "resize_size", "quality")


@contextmanager
def staging_folder(root: Path, split: str) -> Iterator[Path]:
    """Make the folder in which a split is written, and remove it at the end.

    After an error the folder is removed as well, unless all of the split is in it.

    Raises:
        DataError: Another process is packing the same split into the same folder.
    """
    folder = root / f".{split}.packing"
    is_new = not root.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_symlink():  # all in it is removed, wherever it is
        raise DataError(f"{folder} is a link", "remove it, and pack again")
    with os.fdopen(_open_lock(folder), "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"another process is packing {split!r} into {root}") from error
        signals.advise(f"{folder} is left; pack again, or remove it")
        try:
            yield folder
        finally:
            if not manifest_path(folder, split).exists():
                shutil.rmtree(folder)
                signals.advise("")
            if is_new:
                with suppress(OSError):  # only an empty folder can be removed
                    root.rmdir()


def _open_lock(folder: Path) -> int:
    """Return a descriptor of the lock of a staging folder, which is made if need be."""
    path, flags = folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    found = path.lstat() if os.path.lexists(path) else None
    if found and not stat.S_ISREG(found.st_mode):  # a link would make a file elsewhere
        raise DataError(f"{path} is {kind_of(found.st_mode)}", f"remove it:  rm -r {folder}")
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def is_packed(folder: Path, split: str, packed_from: Mapping[str, Any], force: bool) -> bool:
    """Tell whether a split is in place, packed from the same sources with the same settings.

    What a killed run left is finished if it had written all of that, or else removed.

    Args:
        folder: The staging folder, inside of the folder of the shards.
        split: The split.
        packed_from: Sources and settings of this run.
        force: Whether what is in place is replaced anyhow; then only a finished run counts.

    Raises:
        DataError: There is something else in place.
    """
    root = folder.parent
    if _is_resumed(folder, split, packed_from):
        return True
    if force:
        return False
    if manifest_path(root, split).exists():
        fields = read_fields(root, split)
        if _is_same(fields, packed_from):
            return _is_complete(root, split, fields)
        found = "shards from elsewhere"
        if known := fields.get("packed_from"):
            names = str(first_few(printable(source["name"][:80]) for source in known["sources"]))
            settings = (f"{key} {known[key]}" for key in _SETTINGS if key in known)
            found = ", ".join([names, *settings])
    elif any(root.glob(f"{split}-*.tar")):
        found = f"{split}-*.tar, without a manifest"
    else:
        return False
    raise DataError(
        f"{root} holds other data for split {split!r}",
        f"found:       {found}",
        "replace it:  add `force`",
        "keep it:     choose another `root`",
    )


def install(folder: Path, split: str) -> None:
    """Move a complete split out of its staging folder, replacing what is there."""
    root, names = folder.parent, _names(read_fields(folder, split), split)
    manifest_path(root, split).unlink(missing_ok=True)
    for path in root.glob(f"{split}-*.tar"):
        if path.name not in names:
            path.unlink()
    for name in names:
        if (folder / name).exists():
            (folder / name).replace(root / name)
    sync(root)
    manifest_path(folder, split).replace(manifest_path(root, split))
    sync(root)


def sync_files(folder: Path) -> None:
    """Wait until all files of a folder are on the disk."""
    for path in folder.iterdir():
        sync(path)
    sync(folder)


def _is_resumed(folder: Path, split: str, packed_from: Mapping[str, Any]) -> bool:
    fields = _staged_fields(folder, split)
    if fields and _is_same(fields, packed_from):
        install(folder, split)
        return _is_complete(folder.parent, split, fields)
    # `install` removes the manifest in place first: where there is one, nothing was moved yet.
    if fields and not manifest_path(folder.parent, split).exists():
        for name in _names(fields, split):
            if not (folder / name).exists():  # it was moved already
                (folder.parent / name).unlink(missing_ok=True)
    for path in folder.iterdir():
        if path.name != "lock":
            path.unlink()
    return False


def _staged_fields(folder: Path, split: str) -> dict[str, Any] | None:
    """Return the manifest of what a killed run left, if it had written all, as this program does.

    A folder that somebody else left may hold links, or a manifest of anything.
    """
    if any(path.is_symlink() for path in folder.iterdir()):
        return None
    try:
        return read_fields(folder, split)
    except StorageError:
        raise
    except DataError:  # none, or none of ours
        return None


def _names(fields: Mapping[str, Any], split: str) -> list[str]:
    return [*(shard["name"] for shard in fields["shards"]), f"{split}.index.npy"]


def _is_same(fields: Mapping[str, Any], packed_from: Mapping[str, Any]) -> bool:
    """Compare sources and settings, whether their MD5 was checked aside."""
    found = fields.get("packed_from") or {}
    return {**found, "md5_checked": None} == {**packed_from, "md5_checked": None}


def _is_complete(root: Path, split: str, fields: Mapping[str, Any]) -> bool:
    sizes = {root / shard["name"]: shard["size_bytes"] for shard in fields["shards"]}
    return index_path(root, split).exists() and all(
        path.exists() and path.stat().st_size == size_bytes for path, size_bytes in sizes.items()
    )
