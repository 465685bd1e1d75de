"""Files written whole or not at all, and what is said when the system refuses."""

import contextlib
import errno
import io
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from places.errors import StorageError

_REMEDIES = {
    errno.EMFILE: "raise the limit of open files:  ulimit -n 65536",
    errno.ENFILE: "the system's limit of open files is reached: end other programs",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EACCES: "see who may read and write there",
    errno.EPERM: "see who may read and write there",
    errno.EROFS: "it is mounted for reading only: name another folder",
    errno.ENOENT: "it is gone, or its folder is",
    errno.ENOTDIR: "a file is in the place of a folder",
    errno.EISDIR: "a folder is in the place of a file",
}

_MAX_NAME_BYTES = 255

_unfinished: set[Path] = set()  # temporary names of files that are being written


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield the temporary name under which to write a file; at the end it gets its own name.

    So under its own name there is always a whole file: the temporary one lies in the same folder,
    is brought to the disk and then renamed. It is removed if the block ends with an error.

    Raises:
        StorageError: The system refuses to write.
    """
    partial = partial_path(path)
    _unfinished.add(partial)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        sync(partial)
        partial.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        reason = _refusal(error)
        # What was read meanwhile may have failed too; its error names it.
        if reason and reason.filename in (None, str(partial), str(path), str(path.parent)):
            raise storage_error(f"cannot write {path}", reason) from error
        raise
    finally:
        _unfinished.discard(partial)
    # Without it the new name itself may be lost with the power. Some network file systems refuse;
    # the rename is ordered there anyway.
    with contextlib.suppress(OSError):
        sync(path.parent)


def remove_unfinished() -> None:
    """Remove what was begun, in any thread: the process ends at once."""
    for path in list(_unfinished):
        with contextlib.suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)


def is_for_use(folder: Path) -> None:
    """Have `remove_unfinished` remove a new folder, too, should it still be empty."""
    _unfinished.add(folder)


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8 as a whole file or not at all."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")


def append(file: io.FileIO, data: bytes) -> None:
    """Add bytes to a file as a whole or not at all.

    Raises:
        StorageError: The system refuses to write.
    """
    start, rest = file.tell(), memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        with contextlib.suppress(OSError):
            file.truncate(start)
        raise storage_error(f"cannot write {file.name}", error) from error


def keep_as(source: Path, path: Path) -> None:
    """Give a file a second name, under which there is always a whole file too.

    A file system without hard links gets a copy.
    """
    with written_whole(path) as partial:
        partial.unlink(missing_ok=True)
        try:
            os.link(source, partial)
        except OSError:
            shutil.copy2(source, partial)


def partial_path(path: Path) -> Path:
    """Return the temporary name of a file, which tells the machine and the process that writes."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_plain_name(name: object) -> bool:
    """Tell whether a name that was read from a file may be joined to a folder.

    It may if it stays in the folder and can be shown: a text of printable characters without
    separators, which is not hidden and not longer than file systems allow.
    """
    return (
        isinstance(name, str)
        and name.isprintable()
        and not name.startswith(".")
        and not set(name) & set("/\\:")
        and 0 < len(name.encode()) <= _MAX_NAME_BYTES
    )


def storage_error(what: str, error: OSError) -> StorageError:
    """Return how to report an error of the system, which says nothing about the data.

    Args:
        what: What could not be done, such as "cannot read /data/train-000000.tar".
        error: Why.
    """
    remedy = _REMEDIES.get(error.errno or 0, "check the disk or the network behind it")
    place = str(error.filename or "")
    where = f": {place}" if place and place not in what else ""
    return StorageError(f"{what}: {error.strerror or error}{where}", remedy)


def _refusal(error: BaseException) -> OSError | None:
    """Return the error of the system behind an error.

    `torch.save` may end with a `RuntimeError` of its own when the system refuses to write.
    """
    if isinstance(error, OSError):
        return error
    behind = error.__context__ if isinstance(error, RuntimeError) else None
    return _refusal(behind) if behind else None
