"""Files written whole or not at all, and what is said when the system refuses."""

import contextlib
import errno
import io
import json
import os
import shutil
import socket
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from places.errors import DataError, StorageError

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
    errno.EEXIST: "a file or a link of that name is in the way: choose another",
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


def is_unfinished(path: Path) -> bool:
    """Tell whether this process is writing a file under this name, see `written_whole`."""
    return path in _unfinished


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be written, before the work whose result it is to hold.

    Raises:
        StorageError: It is a folder, or the system refuses.
    """
    if path.is_dir():
        raise StorageError(f"{path} is a folder, not a file to write", "name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_path(path)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise storage_error(f"cannot write {path}", error) from error


def picture_beside(file: Path) -> Path:
    """Return the name of the picture that is written beside a JSON file.

    Raises:
        StorageError: The file has that name itself.
    """
    picture = file.parent / f"{file.stem}.png"
    if picture == file:
        raise StorageError(f"{file} is to hold JSON, with a picture beside it", "name it .json")
    return picture


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
    except BaseException as error:  # a signal too
        with contextlib.suppress(OSError):
            file.truncate(start)
            file.seek(start)
        if isinstance(error, OSError):
            raise storage_error(f"cannot write {file.name}", error) from error
        raise


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


def open_regular(path: Path | bytes) -> int:
    """Open a file for reading, return its descriptor, and refuse what is no regular file.

    A named pipe would be waited for without end, and a device may be anything.

    Raises:
        DataError: It is a pipe, a device, a socket or a folder.
        OSError: It cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:  # what the system says of a socket
            raise
        mode = stat.S_IFSOCK
    else:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            return descriptor
        os.close(descriptor)
    raise DataError(f"{os.fsdecode(path)} is {kind_of(mode)}, not a file")


def kind_of(mode: int) -> str:
    """Return in words what something in a folder is, from its mode in `os.stat`."""
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFLNK: "a link",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def read_json(path: Path, limit_bytes: int) -> Any:  # noqa: ANN401 - JSON may be anything
    """Read a file of JSON that may be damaged or made to do damage.

    Raises:
        ValueError: It is no JSON, larger than the limit, names something twice in one object, or
            holds numbers that are none.
        DataError: It is no regular file.
        OSError: It cannot be read.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ValueError(f"it has more than {limit_bytes:,} bytes")
    try:
        return json.loads(data.decode(), parse_constant=_no_number, object_pairs_hook=_no_twins)
    except RecursionError as error:
        raise ValueError("its brackets are nested too deep") from error


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twins = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twins[0][0][:80]!r} is there twice")
    return fields


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


def name_as_text(name: str) -> str:
    """Return a file name that YAML can hold: bytes that are no UTF-8 become private characters.

    Byte 0x80 becomes U+EF80 and so on, as the text encoding of MirBSD has it. See `text_as_name`.
    """
    return "".join(chr(ord(c) - 0xDC00 + 0xEF00) if "\udc80" <= c <= "\udcff" else c for c in name)


def text_as_name(text: str) -> str:
    """Return the file name that `name_as_text` wrote; the text itself if a file has that name."""
    if os.path.lexists(text):
        return text
    return "".join(chr(ord(c) - 0xEF00 + 0xDC00) if "\uef80" <= c <= "\uefff" else c for c in text)


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
