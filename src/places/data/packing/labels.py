"""Labels from the official lists, and the check of those that come from names of folders."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from places.categories import label_of, load_categories
from places.data.packing.listing import Pictures
from places.data.packing.official import (
    LISTS,
    PackSource,
    check_md5,
    find_list,
    list_name,
    read_list,
    synthetic_md5,
)
from places.data.shards.manifest import NO_LABEL
from places.errors import DataError

_HASH_MASK = (1 << 64) - 1


def settle_labels(pictures: Pictures, lists: Sequence[Path], md5: bool) -> None:
    """Give each picture its label, and check the labels that the folders gave.

    Args:
        pictures: The pictures of a split; the labels of a val split are filled in.
        lists: The official lists that were given.
        md5: Whether to check the MD5 of the list.

    Raises:
        DataError: A list is needed and missing, or it does not fit the pictures.
    """
    source = pictures.sources[0]
    unlabelled = pictures.rows["label"] == NO_LABEL
    path = find_list(source, lists)
    if source.split == "val" and unlabelled.any():
        if path is None:
            raise _no_list(source)
        _check_list(path, source, md5)
        _label_from_list(pictures, path)
    elif source.split == "train" and path is not None:
        _check_list(path, source, md5)
        _compare_with_list(pictures, path)
    elif unlabelled.any() and not unlabelled.all():
        raise DataError(
            f"{unlabelled.sum():,} of {len(unlabelled):,} pictures in {source.path} have no label",
            "either all lie in a folder with the name of their category, or none",
        )


def check_count(pictures: Pictures) -> None:
    """Compare the number of pictures of an official archive with the published one.

    Raises:
        DataError: They differ, or there is no picture at all.
    """
    source, found = pictures.sources[0], len(pictures.rows)
    if source.num_images not in (None, found):
        raise DataError(
            f"{source.path} holds {found:,} pictures, but {source.num_images:,} were published",
            f"get it again; a part of it needs another name and `split` {source.split}",
        )
    if not found:
        paths = ", ".join(str(source.path) for source in pictures.sources)
        raise DataError(f"no JPEG pictures in {paths}")


def _label_from_list(pictures: Pictures, path: Path) -> None:
    source = pictures.sources[0]
    labels = dict(read_list(path, list_name(source)))
    wrong = [name for name, label in labels.items() if label >= len(load_categories())]
    if wrong:
        raise DataError(f"{path} gives {wrong[0].decode()} the label {labels[wrong[0]]}")
    places = np.flatnonzero(pictures.rows["label"] == NO_LABEL)
    bases = pictures.rows["base"][places].tolist()
    missing = [base for base in bases if base not in labels]
    if missing:
        raise DataError(
            f"{len(missing):,} pictures in {source.path} are not in {path}",
            f"the first:  {missing[0].decode()}",
        )
    if source.variant != "folder" and len(labels) != len(bases):
        absent = next(name for name in labels if name not in set(bases))
        raise DataError(
            f"{source.path} holds {len(bases):,} pictures, but {path} names {len(labels):,}",
            f"the first that is missing:  {absent.decode()}",
        )
    pictures.rows["label"][places] = [labels[base] for base in bases]


def _compare_with_list(pictures: Pictures, path: Path) -> None:
    source = pictures.sources[0]
    # Sums of hashes compare sets of names without keeping 8 million of them twice.
    list_sum, list_counts = 0, Counter[bytes]()
    for name, label in read_list(path, list_name(source)):
        folder = name.rpartition(b"/")[0]
        if folder not in list_counts and label_of(folder.decode()) != label:
            raise DataError(f"{path} gives {name.decode()} the label {label}")
        list_counts[folder] += 1
        list_sum += hash(name)
    counts = np.bincount(pictures.rows["folder"], minlength=len(pictures.folders)).tolist()
    for folder_, count in zip(pictures.folders, counts, strict=True):
        listed = list_counts.pop(folder_.key[:-1], 0)
        if listed != count:
            raise _unlike(source, path, folder_.key[:-1], count, listed)
    for key, listed in list_counts.items():
        raise _unlike(source, path, key, 0, listed)
    keys = [folder_.key for folder_ in pictures.folders]
    own_sum = sum(
        hash(keys[folder] + base)
        for start in range(0, len(pictures.rows), 1024)
        for folder, base in pictures.rows[["folder", "base"]][start : start + 1024].tolist()
    )
    if own_sum & _HASH_MASK != list_sum & _HASH_MASK:
        raise DataError(f"{source.path} and {path} do not name the same pictures")


def _unlike(source: PackSource, path: Path, folder: bytes, count: int, listed: int) -> DataError:
    return DataError(
        f"{source.path} holds {count:,} pictures of {folder.decode()}, but {path} names {listed:,}"
    )


def _check_list(path: Path, source: PackSource, md5: bool) -> None:
    # The lists of drawn archives are drawn, too, and have no published MD5.
    expected = synthetic_md5(path) or (None if source.synthetic else LISTS[path.name])
    if md5 and expected:
        with path.open("rb") as file:
            check_md5(path, hashlib.file_digest(file, "md5").hexdigest(), expected)


def _no_list(source: PackSource) -> DataError:
    tar = next(iter(LISTS))
    return DataError(
        f"no labels for {source.path}: the names of its pictures do not tell their category",
        f"looked for:  {tar} or {list_name(source)}, beside it and among the sources",
        f"give it:     places pack {source.path} {tar} --root ...",
    )
