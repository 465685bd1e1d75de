"""Reads what Weights & Biases wrote without a network, with the messages that it reads itself.

Until release 0.30 its package had a reader of these files, `wandb.sdk.internal.datastore`. Now only
its program has one. The frames are those of LevelDB's log: in blocks of 32 KiB a checksum, a length
and a kind before each part of a record. What is in them is parsed by the protocol of the package.
"""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_BLOCK = 32 * 1024
_FULL, _LAST = 1, 4


@dataclass
class OfflineRun:
    """What the file of one run says."""

    folder: Path
    run: Any = None  # the record of the run: id, name, group, tags
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    artifacts: list[Any] = field(default_factory=list)
    exit_code: int | None = None

    def values(self, name: str) -> list[tuple[int, float]]:
        """Return the (step, value) pairs of a metric."""
        return [(row["trainer/global_step"], row[name]) for row in self.history if name in row]

    def table(self, name: str) -> tuple[list[str], list[list[Any]]]:
        """Return the columns and rows of the last table of a name."""
        *_, (_, value) = self.values(name)
        content = json.loads((self.folder / "files" / value["path"]).read_text(encoding="utf-8"))  # type: ignore[index]
        return content["columns"], content["data"]


def read_offline_run(folder: Path) -> OfflineRun:
    """Read the only run in a folder of the name offline-run-*."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob("run-*.wandb")
    found = OfflineRun(folder)
    for data in _records(path.read_bytes()):
        record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]  # protobuf makes it
        record.ParseFromString(data)
        _take(found, record)
    return found


def _take(found: OfflineRun, record: Any) -> None:  # noqa: ANN401  # a message of protobuf
    kind = record.WhichOneof("record_type")
    if kind == "run":
        found.run = record.run
        _update(found.config, record.run.config.update)
    elif kind == "config":
        _update(found.config, record.config.update)
    elif kind == "history":
        row: dict[str, Any] = {}
        _update(row, record.history.item)
        found.history.append(row)
    elif kind == "summary":
        _update(found.summary, record.summary.update)
    elif kind == "artifact":
        found.artifacts.append(record.artifact)
    elif kind == "exit":
        found.exit_code = record.exit.exit_code


def _update(table: dict[str, Any], items: Any) -> None:  # noqa: ANN401  # likewise
    for item in items:
        way = list(item.nested_key) or [item.key]
        inner = table
        for key in way[:-1]:
            inner = inner.setdefault(key, {})
        inner[way[-1]] = json.loads(item.value_json)


def _records(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B"
    place, parts = 7, []
    while place + 7 <= len(data):
        if _BLOCK - place % _BLOCK < 7:  # too little for a header: filled with zeros
            place += _BLOCK - place % _BLOCK
            continue
        checksum, length, kind = struct.unpack("<IHB", data[place : place + 7])
        if kind == 0:
            break
        part = data[place + 7 : place + 7 + length]
        assert len(part) == length
        assert checksum == zlib.crc32(part, zlib.crc32(bytes([kind])))
        place += 7 + length
        parts.append(part)
        if kind in (_FULL, _LAST):
            yield b"".join(parts)
            parts = []
