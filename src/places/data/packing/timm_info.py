"""`_info.json`: what timm's reader of WebDataset shards wants to know of them."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from places.console import put
from places.data.remote.listed import listed_urls
from places.data.shards.manifest import Manifest, load_manifest
from places.errors import DataError
from places.files import read_json, write_text

NAME = "_info.json"
_SPLITS = ("train", "val", "test")
_MAX_BYTES = 1 << 26


def write_info(root: Path) -> None:
    """Write or renew `_info.json` for the splits of a folder that have a manifest.

    What it says of other splits stays. Shards behind URLs are left out: timm looks in the folder.

    Raises:
        StorageError: It cannot be written.
    """
    splits = {split: fields for split in _SPLITS if (fields := _fields_of(root, split))}
    path = root / NAME
    info: Any = {}
    try:
        info = read_json(path, _MAX_BYTES)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, DataError):
        info = None
    others = info.get("splits", {}) if isinstance(info, dict) else None
    if not isinstance(others, dict):
        put(f"{path} is no file of timm's reader, and stays as it is: timm needs another folder")
        return
    renewed = {**info, "splits": {**others, **splits}}
    if splits and renewed != info:
        write_text(path, json.dumps(renewed, indent=2) + "\n")


def _fields_of(root: Path, split: str) -> dict[str, Any] | None:
    """Return what timm's `_parse_split_info` reads of a split, none if there is nothing to tell."""
    manifest: Manifest | None = None
    with suppress(DataError):
        manifest = load_manifest(root, split)
    if manifest is None or listed_urls(root, split):
        return None
    return {
        "name": split,
        "num_samples": manifest.num_samples,
        "filenames": [shard.name for shard in manifest.shards],
        "shard_lengths": [shard.num_samples for shard in manifest.shards],
    }
