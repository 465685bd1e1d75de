"""Labels from the official lists, and the check of those that come from names of folders."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from places.categories import label_of, load_categories
from places.console import counted
from places.data.packing.listing import Pictures, tuples_of
from places.data.packing.official import LISTS, PackSource, check_md5, synthetic_md5
from places.data.shards.index import NO_LABEL
from places.data.shards.tar_members import members_of
from places.data.shards.tar_reader import shown
from places.errors import DataError
from places.files import open_regular

MAX_LABEL_BYTES = 200  # of a `.cls`
_MAX_LINE_BYTES = 1 << 16
_MAX_DIGITS = 9  # of a label


def read_label(text: bytes) -> int | None:
    """Return the label that the content of a `.cls` means: a number or the name of a category."""
    text = text.strip()
    if len(text) > MAX_LABEL_BYTES:
        return None
    if text.isdigit():
        return int(text) if int(text) < len(load_categories()) else None
    try:
        return label_of(text.decode())
    except (DataError, UnicodeDecodeError):
        return None


def settle_labels(pictures: Pictures, lists: Sequence[Path], md5: bool) -> None:
    """Give each picture its label, and check the labels that the folders gave.

    Args:
        pictures: The pictures of a split; the labels of a val split are filled in.
        lists: The official lists that were given.
        md5: Whether to check the MD5 of the list.

    Raises:
        DataError: There are no pictures, or not as many as published; a list is needed and missing,
            or it does not fit the pictures.
    """
    _check_count(pictures)
    source = pictures.sources[0]
    unlabelled = pictures.rows["label"] == NO_LABEL
    path = _find_list(source, lists)
    if source.split == "val" and unlabelled.any():
        if path is None:
            tar = next(iter(LISTS))
            raise DataError(
                f"no labels for {source.path}: the names of its pictures do not tell their "
                "category",
                f"looked for:  {tar} or {_list_name(source)}, beside it and among the sources",
                f"give it:     places pack {source.path} {tar} --root ...",
            )
        _label_from_list(pictures, path, md5)
    elif source.split == "train" and path is not None:
        _compare_with_list(pictures, path, md5)
    elif unlabelled.any() and not unlabelled.all():
        raise DataError(
            f"no label for {unlabelled.sum():,} of {counted(len(unlabelled), 'picture')} in "
            f"{source.path}",
            "either all lie in a folder with the name of their category, or none",
        )


def _check_count(pictures: Pictures) -> None:
    source, found = pictures.sources[0], len(pictures.rows)
    if source.num_images not in (None, found):
        raise DataError(
            f"{source.path} holds {counted(found, 'picture')}, "
            f"but {source.num_images:,} were published",
            f"get it again; a part of it needs another name and `split` {source.split}",
        )
    if not found:
        paths = ", ".join(str(source.path) for source in pictures.sources)
        raise DataError(f"no JPEG pictures in {paths}")


def _find_list(source: PackSource, lists: Sequence[Path]) -> Path | None:
    """Return the list of a source or the tar of the lists, given or, for val and test, beside."""
    variants = [source.variant] if source.split == "train" else ["standard", "challenge"]
    names = [_list_name(source), *(f"filelist_places365-{variant}.tar" for variant in variants)]
    beside = [source.path.parent / name for name in names if source.split != "train"]
    found = (path for path in [*lists, *beside] if path.name in names and path.is_file())
    return next(found, None)


def _list_name(source: PackSource) -> str:
    is_train = source.split == "train"
    return f"places365_train_{source.variant}.txt" if is_train else "places365_val.txt"


def _label_from_list(pictures: Pictures, path: Path, md5: bool) -> None:
    source = pictures.sources[0]
    labels = dict(_read_list(path, source, md5))
    wrong = [name for name, label in labels.items() if label >= len(load_categories())]
    if wrong:
        raise DataError(f"{path} gives {shown(wrong[0])} the label {labels[wrong[0]]}")
    places = np.flatnonzero(pictures.rows["label"] == NO_LABEL)
    bases = pictures.rows["base"][places].tolist()
    missing = [base for base in bases if base not in labels]
    if missing:
        raise DataError(
            f"{counted(len(missing), 'picture')} of {source.path} not in {path}",
            f"the first:  {shown(missing[0])}",
        )
    if source.variant != "folder" and len(labels) != len(bases):
        known = set(bases)
        absent = next(name for name in labels if name not in known)
        raise DataError(
            f"{source.path} holds {counted(len(bases), 'picture')}, "
            f"but {path} names {len(labels):,}",
            f"the first that is missing:  {shown(absent)}",
        )
    pictures.rows["label"][places] = [labels[base] for base in bases]


def _compare_with_list(pictures: Pictures, path: Path, md5: bool) -> None:
    source = pictures.sources[0]
    # Sums of hashes compare sets of names without keeping 8 million of them twice.
    list_sum, list_counts = 0, Counter[bytes]()
    for name, label in _read_list(path, source, md5):
        folder = name.rpartition(b"/")[0]
        if folder not in list_counts and label_of(folder.decode(errors="replace")) != label:
            raise DataError(f"{path} gives {shown(name)} the label {label}")
        list_counts[folder] += 1
        list_sum += hash(name)
    keys = [folder.key for folder in pictures.folders]
    own_counts = Counter[bytes]()
    for key, num in zip(keys, np.bincount(pictures.rows["folder"]).tolist(), strict=True):
        own_counts[key[:-1]] += num
    for folder in own_counts | list_counts:
        if own_counts[folder] != list_counts[folder]:
            raise DataError(
                f"{source.path} holds {counted(own_counts[folder], 'picture')} of "
                f"{shown(folder)}, "
                f"but {path} names {list_counts[folder]:,}"
            )
    own_sum = sum(
        hash(keys[number] + base) for number, base in tuples_of(pictures.rows[["folder", "base"]])
    )
    if own_sum != list_sum:
        raise DataError(f"{source.path} and {path} do not name the same pictures")


def _read_list(path: Path, source: PackSource, md5: bool) -> Iterator[tuple[bytes, int]]:
    """Yield names and labels; names have no leading slash and no suffix."""
    # The lists of drawn archives are drawn, too, and have no published MD5.
    expected = synthetic_md5(path) or (None if source.synthetic else LISTS[path.name])
    if md5 and expected:
        check_md5(path, expected)
    name, start, end = _list_name(source), 0, path.stat().st_size
    if path.suffix == ".tar":
        found = [
            member
            for member in members_of(path)
            if member.name.rpartition(b"/")[2] == name.encode() and not member.no_file
        ]
        if not found:
            raise DataError(f"no {name} in {path}")
        start, end = found[0].offset, found[0].offset + found[0].size_bytes
    with os.fdopen(open_regular(path), "rb") as file:
        file.seek(start)
        for number in count(1):
            line = file.readline(min(end - file.tell(), _MAX_LINE_BYTES))
            if not line:
                return
            file_name, _, label = line.strip().rpartition(b" ")
            if not line.strip():
                continue
            if not file_name or not label.isdigit() or len(label) > _MAX_DIGITS:
                raise DataError(f"damaged line {number} of {name} in {path}: {line[:80]!r}")
            yield file_name.lstrip(b"/").rpartition(b".")[0], int(label)
