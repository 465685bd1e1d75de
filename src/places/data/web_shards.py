"""Which shards `WebDataset` reads for a split, and how many pictures are known to be in them."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from places.categories import load_categories
from places.config.ranges import check_range
from places.config.secrets import without_credentials
from places.console import counted
from places.data.remote.download import read_file
from places.data.remote.failures import MissingFileError
from places.data.remote.fetch import MOST_MANIFEST_BYTES, read_manifest
from places.data.remote.listed import listed_urls
from places.data.remote.urls import is_url, open_url
from places.data.sequential.samples import pictures_of
from places.data.sequential.shards import SequentialShard
from places.data.shard_words import places_of
from places.data.shards.fields import MAX_SHARDS
from places.data.shards.manifest import Manifest, Shard, load_manifest, manifest_path
from places.errors import ConfigError, DataError
from places.files import is_plain_name, read_json, storage_error

_INFO = "_info.json"  # as timm and `places pack` write it
_MOST_SAMPLES = 1 << 40


@dataclass(frozen=True)
class SequentialSplit:
    """A split that is read in sequence."""

    manifest: Manifest  # where there is none, one made of what is known
    shards: tuple[SequentialShard, ...]


def split_of_words(
    words: str | Sequence[str], split: str, num_samples: int | None, timeout_s: float
) -> SequentialSplit:
    """Return a split of shards that were named one by one.

    Args:
        words: Files, patterns, folders and URLs, see `places.data.shard_words.places_of`.
        split: What they are: "train", "val" or "test".
        num_samples: How many pictures they hold together.
        timeout_s: See `Patience`.

    Raises:
        DataError: There are no such shards, or there is no picture in them.
        ConfigError: Nothing tells how many pictures there are, or a URL cannot be read.
    """
    option = f"`{split}_shards`"
    words = [words] if isinstance(words, str) else [*words]
    if not words:
        raise ConfigError(f"{option} names no shard", f"type:  {option} 'FOLDER/{split}-*.tar'")
    places = places_of(words, split)
    if num_samples is None:
        raise ConfigError(
            f"nothing tells how many pictures are in {option}, {counted(len(places), 'shard')}",
            f"type it:         `num_{split}_samples` NUMBER",
            f"or count them:   places index SHARDS --root FOLDER --split {split}",
            "and give that:   `root` FOLDER",
        )
    check_range(f"`num_{split}_samples`", num_samples, 1, _MOST_SAMPLES)
    found = [(place.text, None) for place in places]
    return _without_manifest(split, found, num_samples, timeout_s)


def split_in(root: str, split: str, num_samples: int | None, timeout_s: float) -> SequentialSplit:
    """Return a split of a folder or URL with a manifest, or with the `_info.json` of timm.

    Args:
        root: The folder or URL.
        split: "train", "val" or "test".
        num_samples: How many pictures there are, if somebody says so.
        timeout_s: See `Patience`.

    Raises:
        DataError: There is no such split, or what tells of it is damaged.
        ConfigError: It has another number of pictures.
        StorageError: It cannot be read.
    """
    try:
        found = _with_manifest(root, split, timeout_s)
    except DataError as error:
        told = _told_by_timm(root, split, timeout_s) if _is_missing(root, split, error) else None
        if told is None:
            raise
        names, nums = told
        places = [_joined(root, name) for name in names]
        counts: list[int | None] = [*nums] if nums else [None] * len(names)
        pairs = [*zip(places, counts, strict=True)]
        num_told = sum(nums) if nums else num_samples
        if num_told is None:
            raise ConfigError(
                f"{_INFO} in {without_credentials(root)} has no numbers of pictures for {split!r}",
                f"type it:  `num_{split}_samples` NUMBER",
            ) from error
        found = _without_manifest(split, pairs, num_told, timeout_s)
    if num_samples not in (None, found.manifest.num_samples):
        raise ConfigError(
            f"`num_{split}_samples` is {num_samples:,}, but split {split!r} in "
            f"{without_credentials(root)} has {counted(found.manifest.num_samples, 'picture')}",
            f"leave out:  `num_{split}_samples`",
        )
    return found


def _with_manifest(root: str, split: str, timeout_s: float) -> SequentialSplit:
    if is_url(root):
        remote = open_url(root, timeout_s=timeout_s)
        manifest, _ = read_manifest(remote, split)
        places = [remote.file(shard.name).url for shard in manifest.shards]
    else:
        manifest = load_manifest(root, split)
        urls = listed_urls(Path(root), split)
        places = [urls.get(p.name, str(p)) for p in manifest.shard_paths]
    starts = accumulate((shard.num_samples for shard in manifest.shards), initial=0)
    shards = tuple(
        SequentialShard(place, first, s.num_samples, s.size_bytes, s.sha256, timeout_s)
        for place, first, s in zip(places, starts, manifest.shards, strict=False)
        if s.num_samples
    )
    return SequentialSplit(manifest, shards)


def _without_manifest(
    split: str, places: Sequence[tuple[str, int | None]], num_samples: int, timeout_s: float
) -> SequentialSplit:
    """Make a manifest of what is known; its digest tells the shards by their names alone."""
    if len(places) > MAX_SHARDS:
        raise DataError(f"{len(places):,} shards are more than {MAX_SHARDS:,}")
    # Far apart, since it is not known how many pictures each holds.
    shards = tuple(
        SequentialShard(place, number << 32, num, timeout_s=timeout_s)
        for number, (place, num) in enumerate(places)
        if num != 0
    )
    with closing(pictures_of(shards)) as pictures:
        first = next(pictures, None)
    if first is None:
        raise DataError(
            f"no picture in {shards[0].shown}" if shards else f"split {split!r} has no picture",
            "a sample needs a .jpg, .jpeg, .png, .webp or .ppm",
        )
    names = [shard.shown.rpartition("/")[2] for shard in shards]
    counts = [num_samples, *[0] * (len(shards) - 1)]
    if all(shard.num_samples is not None for shard in shards):
        counts = [shard.num_samples or 0 for shard in shards]
    manifest = Manifest(
        root=Path(),
        split=split,
        variant="folder",
        size="original",
        synthetic=False,
        seed=0,
        categories=load_categories(),
        labelled=first.label >= 0,
        shards=tuple(Shard(n, num, 0, "") for n, num in zip(names, counts, strict=True)),
        index_sha256="",
    )
    return SequentialSplit(manifest, shards)


def _is_missing(root: str, split: str, error: DataError) -> bool:
    if is_url(root):
        return isinstance(error.__cause__, MissingFileError)
    return not manifest_path(Path(root), split).exists()


def _joined(root: str, name: str) -> str:
    return open_url(root).file(name).url if is_url(root) else str(Path(root) / name)


def _told_by_timm(
    root: str, split: str, timeout_s: float
) -> tuple[list[str], list[int] | None] | None:
    """Return the names of the shards and how many pictures each holds, by `_info.json`."""
    shown = f"{without_credentials(root)}/{_INFO}"
    try:
        if is_url(root):
            remote = open_url(root, timeout_s=timeout_s)
            fields = json.loads(read_file(remote.file(_INFO, most_bytes=MOST_MANIFEST_BYTES)))
        else:
            fields = read_json(Path(root) / _INFO, MOST_MANIFEST_BYTES)
    except (FileNotFoundError, NotADirectoryError, MissingFileError):
        return None
    except OSError as error:
        raise storage_error(f"cannot read {shown}", error) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"damaged {shown}: {error}", "remove it, or write it again") from error
    splits = fields.get("splits") if isinstance(fields, dict) else None
    told = splits.get(split) if isinstance(splits, dict) else None
    return None if told is None else _checked(told, f"{shown}, split {split!r}")


def _checked(told: Any, shown: str) -> tuple[list[str], list[int] | None]:  # noqa: ANN401  # JSON
    fields: dict[str, Any] = told if isinstance(told, dict) else {}
    names: Any = fields.get("filenames")
    nums: Any = fields.get("shard_lengths")
    are_names = isinstance(names, list) and bool(names) and all(map(is_plain_name, names))
    if not are_names or len({*names}) < len(names):
        raise DataError(f"damaged {shown}: `filenames` is no list of names of files, each once")
    if isinstance(nums, dict):  # as timm has them as well
        nums = [nums.get(name) for name in names]
    are_nums = nums is None or (
        isinstance(nums, list)
        and len(nums) == len(names)
        and all(type(num) is int and 0 <= num < _MOST_SAMPLES for num in nums)
    )
    if not are_nums:
        raise DataError(f"damaged {shown}: `shard_lengths` is no list of a number for each file")
    return names, nums
