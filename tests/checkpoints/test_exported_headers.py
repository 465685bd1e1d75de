"""Files of safetensors that others wrote: what they say of a network is read as data."""

import json
from pathlib import Path
from typing import Any

import pytest

from places.checkpoints.exported import read_exported
from places.errors import CheckpointError

TOLD = {"version": 1, "net": {"class_path": "places.models.VGG"}, "num_classes": 7}


def _file(path: Path, header: object, size_bytes: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    size = len(text) if size_bytes is None else size_bytes
    path.write_bytes(size.to_bytes(8, "little") + text)
    return path


def _with(told: object) -> dict[str, Any]:
    text = told if isinstance(told, str) else json.dumps(told)
    return {"__metadata__": {"places": text}}


def test_what_a_file_says_of_its_network_is_read(tmp_path: Path) -> None:
    found = read_exported(_file(tmp_path / "net.safetensors", _with(TOLD)))
    assert found is not None
    assert (found.net, found.num_classes) == (TOLD["net"], 7)
    # A file of others says nothing.
    for header in ({}, {"__metadata__": {"format": "pt"}}, {"__metadata__": ["places"]}):
        assert read_exported(_file(tmp_path / "net.safetensors", header)) is None


@pytest.mark.parametrize(
    ("header", "size_bytes", "reason"),
    [
        (b"{}", 10**6, "its header is longer than the file, or absent"),
        (b"{}", 2**63, "its header is longer than the file, or absent"),
        (b"", 0, "its header is longer than the file, or absent"),
        (b"{]", None, "is no safetensors file"),
        (b"\xff\xfe{}", None, "is no safetensors file"),
        (b"[" * 100_000, None, "is no safetensors file"),
        ([1], None, "its header is no table"),
        (_with("x" * (2**20 + 1)), None, "no text, or a very long one"),
        ({"__metadata__": {"places": 3}}, None, "no text, or a very long one"),
        (_with("{"), None, "no JSON in it"),
        (_with([1]), None, "version None, this program reads 1"),
        (_with(TOLD | {"version": 99}), None, "version 99, this program reads 1"),
        (_with(TOLD | {"more": 1}), None, "unknown: more"),
        (_with({"version": 1}), None, "it names no network"),
        (_with(TOLD | {"num_classes": -3}), None, "num_classes"),
    ],
)
def test_what_is_odd_is_refused(
    tmp_path: Path, header: object, size_bytes: int | None, reason: str
) -> None:
    path = _file(tmp_path / "net.safetensors", header, size_bytes)
    with pytest.raises(CheckpointError) as caught:
        read_exported(path)
    assert reason in str(caught.value)
    assert str(path) in caught.value.message
    assert len(str(caught.value).splitlines()) <= 4
