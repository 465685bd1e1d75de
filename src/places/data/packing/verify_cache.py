"""`places verify` of a cache of shards from URLs, against the manifests that are kept in it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from places.console import counted, first_few, progress, put
from places.data.remote.checks import sha256_of
from places.data.shards.manifest import Manifest, index_path, load_manifest, manifest_path
from places.errors import DataError
from places.files import storage_error

_FOLDER = re.compile(r"[0-9a-f]{16}-([0-9a-f]{16})")  # of one state of the data, by its digest
_MAX_LINES = 20


def is_cache(root: Path) -> bool:
    """Tell whether a folder is a cache, or that of one split in it."""
    return bool(_folders(root))


def verify_cache(root: Path, splits: list[str]) -> int:
    """Compare what is in a cache with the manifests there, and say what is wrong and what to type.

    Whatever has its SHA-256 is as `places pack` wrote it, so no picture is looked at.

    Args:
        root: The cache, or the folder of one split in it.
        splits: Those to check.

    Returns:
        The exit status: 0 if all is well, 1 if not.

    Raises:
        StorageError: A file cannot be read.
    """
    status = 0
    for folder in _folders(root):
        found = [split for split in splits if manifest_path(folder, split).exists()]
        for split in found:
            lines, bad = _verdict(folder, split)
            put(f"{folder}: {split}: " + "\n  ".join(lines))
            if bad:
                files = "-r " + str(folder) if len(bad) > _MAX_LINES else " ".join(bad)
                put(f"  remove it, and the next run fetches it again:  rm {files}")
                status = 1
        if not found and list(folder.glob("*.tar")):
            put(f"{folder}: shards of data that were replaced; they go when room is needed")
    return status


def _folders(root: Path) -> list[Path]:
    names = [root, *sorted(root.glob("*"))] if root.is_dir() else []
    return [path for path in names if _FOLDER.fullmatch(path.name) and (path / "lock").exists()]


def _verdict(folder: Path, split: str) -> tuple[list[str], list[str]]:
    """Return what is said of a split, and the files that are bad."""
    manifest_file = manifest_path(folder, split)
    digest = _FOLDER.fullmatch(folder.name)
    assert digest is not None
    try:
        manifest = load_manifest(folder, split)
        if manifest.digest[:16] != digest[1]:
            raise DataError(f"{manifest_file.name}: not the one that was fetched")
    except DataError as error:
        return ["problems: 1", error.message], [str(manifest_file)]
    cached = [shard for shard in manifest.shards if (folder / shard.name).exists()]
    bad: list[str] = []
    problems = first_few(_faults(manifest, {shard.name for shard in cached}, bad), _MAX_LINES)
    counts = f"{len(cached):,} of {counted(len(manifest.shards), 'shard')} here"
    verdict = f"problems: {problems.count:,}" if problems.count else "all is well"
    return [f"{counts}, {verdict}", *problems.shown, *filter(None, [problems.more])], bad


def _faults(manifest: Manifest, cached: set[str], bad: list[str]) -> Iterator[str]:
    """Yield what is wrong, and add the paths of the files to `bad`."""
    index = index_path(manifest.root, manifest.split)
    sums = {shard.name: shard.sha256 for shard in manifest.shards if shard.name in cached}
    files = {index: manifest.index_sha256, **{manifest.root / name: sums[name] for name in sums}}
    total_bytes = sum(path.stat().st_size for path in files if path.exists())
    with progress(f"verify {manifest.split}", total_bytes) as counter:
        for path, expected in files.items():
            try:
                # A pipe in place of a file must not wait.
                with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                    size_bytes, found = path.stat().st_size, sha256_of(file.fileno())
            except FileNotFoundError:  # a run made room meanwhile
                continue
            except OSError as error:
                raise storage_error(f"cannot read {path}", error) from error
            counter.advance(size_bytes)
            if found != expected:
                bad.append(str(path))
                yield f"{path.name}: its SHA-256 is not the one of the manifest"
