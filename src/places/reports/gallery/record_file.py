"""Records one after the other in a file that grows: those before are kept whatever happens."""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO, NamedTuple

from places.files import append, storage_error

_HEAD = Struct("<4sIII")  # mark, bytes of text, bytes after it, CRC-32 of both
_MARK = b"row\n"
_MAX_BYTES = 1 << 24  # of a part of a record; more is damage


class Record(NamedTuple):
    """One record: what JSON can hold, and bytes."""

    fields: dict[str, Any]
    data: bytes = b""


class RecordFile:
    """A file of records, for one process; it is open only while it is read or written.

    Args:
        path: The file. It is not made before `cut`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def cut(self, num: int) -> int:
        """Keep the first records only, as many as are whole, and make the file if need be.

        Returns:
            How many are left: `num`, or fewer.

        Raises:
            StorageError: The system refuses to read or to write.
        """
        num_kept = end = 0
        for _, record_end in _read(self.path) if num else ():
            num_kept, end = num_kept + 1, record_end
            if num_kept == num:
                break
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab", buffering=0) as file:
                file.truncate(end)
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error
        return num_kept

    def add(self, records: Sequence[Record]) -> None:
        """Add records, all or none.

        Raises:
            StorageError: The system refuses to write.
        """
        try:
            with self.path.open("ab", buffering=0) as file:
                append(file, b"".join(map(_packed, records)))
        except OSError as error:
            raise storage_error(f"cannot write {self.path}", error) from error

    def __iter__(self) -> Iterator[Record]:
        """Read the records from the first to the last that is whole."""
        return (record for record, _ in _read(self.path))


def _packed(record: Record) -> bytes:
    text = json.dumps(record.fields, separators=(",", ":")).encode()
    crc = zlib.crc32(record.data, zlib.crc32(text))
    return _HEAD.pack(_MARK, len(text), len(record.data), crc) + text + record.data


def _read(path: Path) -> Iterator[tuple[Record, int]]:
    """Yield each record that is whole, and where it ends; stop at the first that is not."""
    try:
        with path.open("rb", buffering=1 << 20) as file:
            end = 0
            while (record := _next(file)) is not None:
                fields, data, num_bytes = record
                end += num_bytes
                yield Record(fields, data), end
    except FileNotFoundError:
        return
    except OSError as error:
        raise storage_error(f"cannot read {path}", error) from error


def _next(file: BinaryIO) -> tuple[dict[str, Any], bytes, int] | None:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    mark, text_bytes, data_bytes, crc = _HEAD.unpack(head)
    if mark != _MARK or max(text_bytes, data_bytes) > _MAX_BYTES:
        return None
    text, data = file.read(text_bytes), file.read(data_bytes)
    is_whole = len(text) == text_bytes and len(data) == data_bytes
    if not is_whole or zlib.crc32(data, zlib.crc32(text)) != crc:
        return None
    return json.loads(text), data, _HEAD.size + text_bytes + data_bytes
