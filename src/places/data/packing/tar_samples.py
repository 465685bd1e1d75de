"""The samples in a tar, as WebDataset groups its members: a picture, and what tells its label."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from places.console import FirstFew, first_few, printable
from places.data.packing.listing import MAX_SIZE_BYTES, OTHER_SUFFIXES
from places.data.packing.sample_labels import label_of_sample
from places.data.shards.index import NO_LABEL
from places.data.shards.picture_formats import START_BYTES, SUFFIXES, format_of
from places.data.shards.tar_headers import (
    BLOCK_BYTES,
    LOOK_BACK_BYTES,
    key_of,
    read_key,
    read_size_bytes,
)
from places.data.shards.tar_reader import MAX_SHOWN, WITHOUT_LINKS, Member, shown
from places.errors import DataError
from places.files import open_regular

_META = re.compile(rb"__[^/]*__($|/)")  # WebDataset passes over such members
_NOT_READ = {suffix for suffix in OTHER_SUFFIXES if suffix not in SUFFIXES} | {b"jpe", b"jfif"}
_OF_PICTURES = {b"cls", *SUFFIXES, *_NOT_READ}  # endings of what may not get lost

_READ = ", ".join(f".{suffix.decode()}" for suffix in SUFFIXES)
_BESIDE_PICTURES = {b"cls", b"json", b"txt", b"text", b"caption", b"yaml", b"yml", b"csv", b"id"}

Entry = tuple[int, int, int, int]


@dataclass
class Found:
    """What was found in the tars of a split besides the rows of its index."""

    label_key: str | None = None  # what holds the label in a `.json`; none reads `.cls`
    formats: set[str] = field(default_factory=set)
    left_out: FirstFew = field(default_factory=FirstFew)  # members that are in no sample
    unlabelled: FirstFew = field(default_factory=FirstFew)  # keys
    json_keys: list[str] = field(default_factory=list)  # that may hold labels nobody asked for
    other_labels: list[str] = field(default_factory=list)  # endings of what looks like a label

    def copy(self) -> "Found":
        """Return the same, which stays so when this one is told of more."""
        return deepcopy(self)


class Sample(NamedTuple):
    """What WebDataset makes one sample of: members one after the other with the same key."""

    path: Path
    key: str
    members: list[Member]
    suffixes: list[bytes]  # of the members: all behind the first dot, in small letters

    def __str__(self) -> str:
        """Return what to call it in a message."""
        return f"sample {self.key[:MAX_SHOWN]!r} in {self.path}"

    def part(self, *kinds: bytes) -> Member | None:
        """Return the member with one of some endings; one with more dots if there is no other.

        Raises:
            DataError: There are several.
        """
        pairs = [*zip(self.members, self.suffixes, strict=True)]
        exact = [member for member, suffix in pairs if suffix in kinds]
        dotted = [member for member, suffix in pairs if suffix.rpartition(b".")[2] in kinds]
        found = exact or dotted
        if len(found) > 1:
            raise self.ambiguous(found)
        return found[0] if found else None

    def ambiguous(self, parts: list[Member]) -> DataError:
        """Return the error that a sample has several of what there must be one of."""
        names = [shown(suffix) for suffix in self.suffixes]
        found = f"found:  {first_few(names, 8)}"
        dotted = [m.name for m in parts if m.name.rpartition(b"/")[2].count(b".") > 1]
        message = f"{self} must have one picture and one label"
        # With `0.cls` or `0.jpg` among them these are parts of a sample, and no keys with dots.
        if not dotted or not _OF_PICTURES.isdisjoint(self.suffixes):
            return DataError(message, found, "which is meant? write the tar without the others")
        old, suffix = dotted[0].rpartition(b".")[::2]
        folder, _, base = old.rpartition(b"/")
        new = b"/".join(filter(None, [folder, base.replace(b".", b"_")])) + b"." + suffix
        return DataError(
            message,
            found,
            "WebDataset ends the key at the first dot, and makes one sample of equal keys",
            f"rename:  {shown(dotted[0])}  to  {shown(new)}  and all others likewise",
        )


def entries_of_tar(
    path: Path, number: int, members: Iterable[Member], found: Found
) -> Iterator[Entry]:
    """Yield the rows of the index for the samples of a tar.

    Args:
        path: The tar.
        number: Its number in the index.
        members: What `members_of` yields of it.
        found: Is told of the formats, and of what was left out.

    Raises:
        DataError: A sample cannot be indexed, or WebDataset refuses it.
    """
    with os.fdopen(open_regular(path), "rb", buffering=0) as file:
        taken = (member for member in members if _is_taken(path, member, found))
        end = 0  # of the picture before
        for key, group in groupby(taken, lambda member: key_of(member.name)):
            parts = [*group]
            suffixes = [_suffix(member.name) for member in parts]
            sample = Sample(path, key.decode(errors="backslashreplace"), parts, suffixes)
            _check_twins(sample)
            picture = sample.part(*SUFFIXES)
            if picture is None:
                _check_loss(sample)
                for member in sample.members:
                    found.left_out.add(shown(member.name))
                continue
            if picture.size_bytes > MAX_SIZE_BYTES:
                raise DataError(f"the picture of {sample} has {picture.size_bytes:,} bytes")
            start = _check_header(file.fileno(), sample, picture, end)
            # What begins like no picture is called by its name, for `verify` to tell what it is.
            ending = _suffix(picture.name).rpartition(b".")[2]
            found.formats.add(format_of(start) or SUFFIXES[ending])
            end = picture.offset + picture.size_bytes
            label = label_of_sample(file.fileno(), sample, found)
            if label == NO_LABEL:
                found.unlabelled.add(f"{sample.key[:MAX_SHOWN]} in {path.name}")
            yield picture.offset, picture.size_bytes, number, label


def _suffix(name: bytes) -> bytes:
    return name.rpartition(b"/")[2].partition(b".")[2].lower()


def _is_taken(path: Path, member: Member, found: Found) -> bool:
    """Tell whether a member is part of a sample, as WebDataset sees it."""
    base = member.name.rpartition(b"/")[2]
    is_passed_over = not base.partition(b".")[0] or b"." not in base or _META.match(member.name)
    if not is_passed_over and not member.no_file:
        return True
    if not is_passed_over and base.rpartition(b".")[2].lower() in _OF_PICTURES:
        raise DataError(
            f"{shown(member.name)} in {path} is {member.no_file}, which an index cannot hold",
            WITHOUT_LINKS,
        )
    found.left_out.add(shown(member.name) + (f" ({member.no_file})" if member.no_file else ""))
    return False


def _check_twins(sample: Sample) -> None:
    """Refuse what WebDataset refuses: one ending twice."""
    [(suffix, num)] = Counter(sample.suffixes).most_common(1)
    if num > 1:
        raise DataError(
            f"{sample} has {num} members .{shown(suffix)}, which WebDataset refuses",
            "are there two files of one name, or of names that differ in capitals? rename one",
        )


def _check_loss(sample: Sample) -> None:
    """Refuse a sample without a picture that looks as if it should have one."""
    kinds = [suffix.rpartition(b".")[2] for suffix in sample.suffixes]
    others = [kind for kind in kinds if kind in _NOT_READ]
    if others:
        raise DataError(
            f"the picture of {sample} is a .{printable(others[0].decode())}, which is not read",
            f"read are:  {_READ}; convert it and write the tar again",
        )
    if b"cls" in kinds and (unread := [*filter(_may_be_picture, sample.suffixes)]):
        raise DataError(
            f"{sample} has a .cls and no picture that is read",
            f"found:     {first_few(map(shown, unread), 8)}",
            f"read are:  {_READ}; convert it and write the tar again",
        )
    if b"cls" in kinds:
        raise DataError(
            f"{sample} has a .cls and no picture beside it",
            "WebDataset makes one sample only of members that come one after the other",
            "unpack the tar, and write it in the order of the names:  "
            "tar --sort=name -cf NEW.tar -C FOLDER .",
        )


def _may_be_picture(suffix: bytes) -> bool:
    return suffix.rpartition(b".")[2] not in _BESIDE_PICTURES


def _check_header(file: int, sample: Sample, picture: Member, end: int) -> bytes:
    """Return how a picture begins; its key and size must be told right before it.

    Raises:
        DataError: They are not, and streaming looks there.
    """
    start = max(end, picture.offset - LOOK_BACK_BYTES)
    data = os.pread(file, picture.offset - start + START_BYTES, start)
    blocks = data[: picture.offset - start]
    is_told = read_size_bytes(blocks[-BLOCK_BYTES:]) == picture.size_bytes
    if not is_told or read_key(blocks) != sample.key:
        what = "name" if is_told else "size"
        raise DataError(
            f"the {what} of {sample} is not in the tar header before it, but in another",
            "unpack the tars and pack the folder again",
        )
    return data[picture.offset - start :][: picture.size_bytes]
