"""The folders of the data and of the runs: what lies there, on which disk, with how much room."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from places.console import printable
from places.data.shards.manifest import load_manifest, manifest_path
from places.doctor.finding import Finding
from places.errors import PlacesError

_SPLITS = ("train", "val", "test")
_SLOW = ("nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "fuse.rclone")
_MIN_FREE_GB = 5  # checkpoints of ResNet-152 take 0.7 GB each
_MOUNTS = Path("/proc/self/mounts")


def data_findings(root: Path) -> Iterator[Finding]:
    """Tell which splits lie in the folder of the data, and whether their files are whole.

    Args:
        root: The folder that `data.root` names.
    """
    if not root.is_dir():
        typed = f"places sample --root {root}  draws a sample, places pack makes shards"
        yield Finding("data", f"no folder {printable(str(root))}", "nothing to train on", typed)
        return
    yield Finding("disk of the data", _disk(root))
    found = [split for split in _SPLITS if manifest_path(root, split).is_file()]
    if not found:
        typed = f"places pack ARCHIVES --root {root}, or --root of another folder"
        yield Finding("data", printable(str(root)), "no shards in it", typed)
    for split in found:
        yield _split_finding(root, split)


def _split_finding(root: Path, split: str) -> Finding:
    verify = f"places verify {root}"
    try:
        manifest = load_manifest(root, split)
    except PlacesError as error:
        return Finding(f"split {split}", printable(str(root)), str(error).splitlines()[0], verify)
    sizes = ((root / shard.name, shard.size_bytes) for shard in manifest.shards)
    wrong = [path.name for path, size in sizes if not path.is_file() or path.stat().st_size != size]
    problem = f"not as in the manifest: {wrong[0]}" if wrong else ""
    problem += f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return Finding(f"split {split}", manifest.summary, problem, verify if wrong else "")


def runs_findings(folder: Path) -> Iterator[Finding]:
    """Tell whether runs can be written, and how much room is left.

    Args:
        folder: Where runs are kept; it need not exist yet.
    """
    existing = next(
        path for path in (folder.absolute(), *folder.absolute().parents) if path.exists()
    )
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        typed = "--trainer.default_root_dir FOLDER, one that can be written to"
        yield Finding("runs", printable(str(existing)), "cannot be written to", typed)
        return
    free_gb = shutil.disk_usage(existing).free / 1e9
    problem = f"less than {_MIN_FREE_GB} GB are free" if free_gb < _MIN_FREE_GB else ""
    typed = "places runs  lists what takes room" if problem else ""
    yield Finding("disk of the runs", _disk(existing), problem, typed)


def _disk(folder: Path) -> str:
    usage = shutil.disk_usage(folder)
    kind = kind_of_disk(folder)
    remote = (
        ", over a network: --data.cache copies shards where they are read" if kind in _SLOW else ""
    )
    return f"{kind}, {usage.free / 1e9:,.0f} of {usage.total / 1e9:,.0f} GB free{remote}"


def kind_of_disk(folder: Path, mounts: Path = _MOUNTS) -> str:
    """Return the file system that a folder lies on, such as "ext4"; "unknown" if nothing tells.

    Args:
        folder: The folder.
        mounts: The system's table of file systems.
    """
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return "unknown"
    path = folder.resolve()
    best = ("", "unknown")
    for row in (row for line in lines if len(row := line.split()) > 2):
        point = row[1].replace("\\040", " ")
        if path.is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, printable(row[2]))
    return best[1]
