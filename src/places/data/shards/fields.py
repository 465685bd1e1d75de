"""What the JSON of a manifest must be: the type, the range and the names of every field.

A manifest may come from anywhere. All that it names lies in its own folder afterwards, and all its
numbers are whole ones that fit into an index.
"""

import re
import reprlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from places.data.shards.picture_formats import FORMATS, in_order
from places.files import is_plain_name

VERSION = 1
MAX_SHARDS = 1 << 16  # the index has 16 bits for the shard
MAX_CATEGORIES = 1 << 15  # and 15 for the label


class _Rule(NamedTuple):
    is_right: Callable[[Any], bool]
    wanted: str  # in words
    is_needed: bool = True


def _whole(low: int, high: int) -> _Rule:
    return _Rule(lambda value: _is_whole(value, low, high), f"a whole number, {low} to {high}")


def _is_whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_text(value: object, max_length: int) -> bool:
    return isinstance(value, str) and len(value) <= max_length and value.isprintable()


def _or_null(rule: _Rule) -> _Rule:
    return _Rule(lambda value: value is None or rule.is_right(value), f"{rule.wanted}, or null")


def _one_of(*words: str) -> _Rule:
    return _Rule(lambda value: isinstance(value, str) and value in words, " or ".join(words))


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _are_categories(value: object) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= MAX_CATEGORIES
        and all(isinstance(name, str) and name and name.isprintable() for name in value)
        and len(set(value)) == len(value)
    )


def _are_formats(value: object) -> bool:
    # Compared as text: what is in the list may be anything.
    return isinstance(value, list) and bool(value) and value == [*in_order(map(str, value))]


_BOOL = _Rule(lambda value: isinstance(value, bool), "true or false")
_TEXT = _Rule(lambda value: isinstance(value, str), "a text")
_LIST = _Rule(lambda value: isinstance(value, list), "a list")
_SHA256 = _Rule(_is_sha256, "64 digits 0 to 9 and a to f")
_SEED = _whole(-(1 << 63), (1 << 64) - 1)
_COUNT = _whole(0, (1 << 63) - 1)

_MANIFEST = {
    "version": _whole(VERSION, VERSION),
    "split": _TEXT,
    "variant": _one_of("standard", "challenge", "folder"),
    "size": _one_of("256", "large", "original"),
    "synthetic": _BOOL,
    "seed": _SEED,
    "categories": _Rule(_are_categories, f"1 to {MAX_CATEGORIES:,} names, all of them different"),
    "labelled": _BOOL,
    "shards": _Rule(
        lambda value: isinstance(value, list) and 0 < len(value) <= MAX_SHARDS,
        f"a list of 1 to {MAX_SHARDS:,} shards",
    ),
    "index_sha256": _SHA256,
    "formats": _Rule(_are_formats, f"some of {', '.join(FORMATS)}, in this order", is_needed=False),
    "packed_from": _Rule(lambda value: isinstance(value, dict), "an object", is_needed=False),
}
_PACKED_FROM = {
    "sources": _LIST,
    "seed": _SEED,
    "shard_size_mb": _COUNT,
    "limit": _or_null(_COUNT),
    "md5_checked": _BOOL,
    "listing_sha256": _or_null(_SHA256),
    # Only where pictures were converted: what was packed before stays equal to what is asked for.
    "pixels": _Rule(lambda value: _is_text(value, 40), "a short text", is_needed=False),
    "resize_size": _Rule(lambda value: _is_whole(value, 1, 65_535), "1 to 65535", is_needed=False),
    "quality": _Rule(lambda value: _is_whole(value, 1, 100), "1 to 100", is_needed=False),
}
_SOURCE = {"name": _TEXT, "size_bytes": _or_null(_COUNT), "md5": _or_null(_TEXT)}


def checked(fields: object, split: str) -> dict[str, Any]:
    """Return the fields of the manifest of a split, if they are what they must be.

    Raises:
        ValueError: A field is missing, unknown, of another type or out of its range; or the names
            of the shards are not those of this split, each once. The message names it.
    """
    # First: what another version holds is not known.
    if isinstance(fields, dict) and not _MANIFEST["version"].is_right(fields.get("version")):
        found = reprlib.repr(fields.get("version"))
        raise ValueError(f"it has version {found}, this program reads version {VERSION}")
    checked_fields = _object("", fields, _MANIFEST)
    if checked_fields["split"] != split:
        raise ValueError(f"split is {reprlib.repr(checked_fields['split'])}, not {split!r}")
    _check_shards(checked_fields["shards"], split)
    if packed_from := checked_fields.get("packed_from"):
        _object("packed_from", packed_from, _PACKED_FROM)
        for position, source in enumerate(packed_from["sources"]):
            _object(f"packed_from.sources[{position}]", source, _SOURCE)
    return checked_fields


def _check_shards(shards: list[Any], split: str) -> None:
    rules = {
        "name": _Rule(lambda value: is_shard_name(value, split), f"the name of a {split}-*.tar"),
        "num_samples": _COUNT,
        "size_bytes": _COUNT,
        "sha256": _SHA256,
    }
    for position, shard in enumerate(shards):
        _object(f"shards[{position}]", shard, rules)
    [(name, num)] = Counter(shard["name"] for shard in shards).most_common(1)
    if num > 1:
        raise ValueError(f"{num} of its shards have the name {name}")
    if not any(shard["num_samples"] for shard in shards):
        raise ValueError("its shards have no pictures")


def is_shard_name(name: object, split: str) -> bool:
    """Tell whether a file may be a shard of a split: `<split>-ANYTHING.tar`, without a folder."""
    return is_plain_name(name) and re.fullmatch(f"{split}-.*[.]tar", str(name)) is not None


def _object(where: str, value: object, rules: Mapping[str, _Rule]) -> dict[str, Any]:
    """Return an object of JSON if it has the fields of the rules, and no others."""
    if not isinstance(value, dict):
        raise ValueError(f"{where or 'it'} is {reprlib.repr(value)}, not an object")
    dot = "." if where else ""
    for key, rule in rules.items():
        if key not in value:
            if rule.is_needed:
                raise ValueError(f"{where}{dot}{key} is missing")
        elif not rule.is_right(value[key]):
            raise ValueError(f"{where}{dot}{key} is {reprlib.repr(value[key])}, not {rule.wanted}")
    for key in value.keys() - rules.keys():
        raise ValueError(f"{where}{dot}{key[:80]!r} is no field of a manifest")
    return value
