"""The label of a sample in a tar from elsewhere: from its `.cls`, or from a key of its `.json`."""

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from places.categories import load_categories, nearest
from places.console import printable
from places.data.packing.labels import MAX_LABEL_BYTES, read_label
from places.data.shards.index import NO_LABEL
from places.data.shards.tar_reader import Member, shown
from places.errors import DataError

if TYPE_CHECKING:
    from places.data.packing.tar_samples import Found, Sample

_MAX_JSON_BYTES = 1 << 20
_MAX_KEYS = 20  # that are shown
_SHOWN = 80  # characters of a value
_ABSENT = object()


def label_of_sample(file: int, sample: "Sample", found: "Found") -> int:
    """Return the label of a sample, `NO_LABEL` if nothing tells it.

    Args:
        file: The tar.
        sample: The sample.
        found: With the key of the label in a `.json`; is told of keys that may hold one.

    Raises:
        DataError: What should tell the label tells none, or `.cls` and `.json` tell different ones.
    """
    cls, described = sample.part(b"cls"), sample.part(b"json")
    label = NO_LABEL if cls is None else _from_cls(file, sample, cls)
    if cls is None and not found.other_labels:
        found.other_labels.extend(_other_labels(file, sample))
    if found.label_key is None:
        if cls is None and described is not None and not found.json_keys:
            found.json_keys.extend(_keys_of_labels(file, described))
        return label
    if described is None:
        return label
    told = _from_json(file, sample, described, found.label_key)
    if label not in (NO_LABEL, told):
        raise DataError(
            f"the labels of {sample} differ: {label} in its .cls, "
            f"{told} under {found.label_key!r} in its .json",
            "leave out `label_key` to take those of the .cls",
        )
    return told


def _from_cls(file: int, sample: "Sample", member: Member) -> int:
    text = os.pread(file, min(member.size_bytes, MAX_LABEL_BYTES + 1), member.offset)
    label = read_label(text)
    if label is None:
        raise _no_label(sample, text)
    return label


def _from_json(file: int, sample: "Sample", member: Member, key: str) -> int:
    fields = _read(file, member)
    if fields is None:
        raise DataError(f"the .json of {sample} cannot be read: no JSON of an object, or too large")
    value = _value_at(fields, key)
    if value is _ABSENT:
        keys = ", ".join(printable(name[:80]) for name in [*fields][:_MAX_KEYS])
        raise DataError(
            f"the .json of {sample} has no key {key!r}",
            f"its keys:  {keys or 'none'}",
            "name the one with the label:  `label_key` KEY, with dots for one inside another",
        )
    label = _label_of(value)
    if label is None:
        raise _no_label(sample, value)
    return label


def _no_label(sample: "Sample", value: object) -> DataError:
    """Return the error that a value is no label, with the nearest names of one that looks so."""
    if isinstance(value, bytes):
        with suppress(UnicodeDecodeError):
            value = value.decode()
    name = value.strip() if isinstance(value, str) else ""
    names = load_categories()
    allowed = f"not 0 to {len(names) - 1} or the name of a category"
    looks_so = name.isprintable() and any(c.isalpha() for c in name) and len(name) <= _SHOWN
    hints = [f"nearest:  {nearest(name.lower().replace(' ', '_'), names)}"] if looks_so else []
    text = repr(value.strip() if isinstance(value, (str, bytes)) else value)[:_SHOWN]
    return DataError(f"the label of {sample} is {printable(text)}, {allowed}", *hints)


def _other_labels(file: int, sample: "Sample") -> list[str]:
    """Return the endings of members that are not read, and hold what could be a label."""
    pairs = zip(sample.members, sample.suffixes, strict=True)
    small = [
        (m, ending)
        for m, ending in pairs
        if ending.rpartition(b".")[2] not in (b"cls", b"json")
        and 0 < m.size_bytes <= MAX_LABEL_BYTES
    ]
    return [
        shown(ending)
        for member, ending in small
        if read_label(os.pread(file, member.size_bytes, member.offset)) is not None
    ]


def _keys_of_labels(file: int, member: Member) -> list[str]:
    """Return the keys of a `.json` whose values may be labels."""
    fields = _read(file, member) or {}
    return [key for key, value in fields.items() if _label_of(value) is not None][:_MAX_KEYS]


def _read(file: int, member: Member) -> dict[str, Any] | None:
    """Return the object in a member, none if it holds something else."""
    if member.size_bytes > _MAX_JSON_BYTES:
        return None
    data = os.pread(file, member.size_bytes, member.offset)
    try:
        fields = json.loads(data)  # in UTF-8, UTF-16 or UTF-32, as WebDataset reads it
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _value_at(fields: dict[str, Any], key: str) -> object:
    """Return what is under a key; one with dots may lead into objects inside."""
    if key in fields:
        return fields[key]
    value: object = fields
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            return _ABSENT
        value = value[part]
    return value


def _label_of(value: object) -> int | None:
    """Return the label that a value of JSON means: a number, one in digits, or a name."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():  # as pandas writes columns with gaps
        value = int(value)
    if isinstance(value, int):
        return value if 0 <= value < len(load_categories()) else None
    return read_label(value.encode(errors="replace")) if isinstance(value, str) else None
