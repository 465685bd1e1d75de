"""The labels of pictures in a tar, from the `.cls` files that WebDataset has beside them."""

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

from places.console import FirstFew
from places.data.packing.labels import MAX_LABEL_BYTES, read_label
from places.data.shards.tar_headers import key_of
from places.data.shards.tar_reader import Member
from places.data.tar_pictures import TarOfPictures

_SUFFIX = ".cls"


class TarLabels:
    """Finds the labels of the pictures of one tar while its members go by.

    As WebDataset has it, a label belongs to the pictures beside it that have its name, up to the
    first dot. If one of them is no label of ours, the tar holds other classes, and it has none.

    Args:
        tar: The tar.
    """

    def __init__(self, tar: TarOfPictures) -> None:
        self._tar = tar
        self._key = b""  # of what stands beside each other
        self._pictures: list[int] = []  # of that key
        self._label: Member | None = None  # likewise
        self._numbers, self._labels = array("Q"), array("h")
        self._is_ours = True
        self._names, self._stray = FirstFew(), FirstFew()  # files with labels; of no picture

    @staticmethod
    def is_label(member: Member) -> bool:
        """Tell whether a member may be the label of a picture."""
        ending = Path(os.fsdecode(member.name)).suffix.lower()
        return ending == _SUFFIX and not member.no_file

    def add_picture(self, member: Member, number: int) -> None:
        """Take note of a picture and of its number among all pictures."""
        self._begin(member)
        self._pictures.append(number)
        if self._label is not None:
            self._settle(self._label, [number])

    def add_label(self, member: Member) -> None:
        """Take note of what may be a label."""
        self._begin(member)
        self._label = member
        self._names.add(self._shown(member))
        if self._pictures:
            self._settle(member, self._pictures)

    def found(self) -> Iterator[tuple[int, int]]:
        """Yield the numbers of the pictures that have a label, and their labels."""
        if self._is_ours:
            yield from zip(self._numbers, self._labels, strict=True)

    def left_out(self) -> FirstFew:
        """Return files with labels that are of no use, once all members have gone by."""
        self._end()
        return self._stray if self._is_ours else self._names

    def _begin(self, member: Member) -> None:
        key = key_of(member.name)
        if key != self._key:
            self._end()
            self._key = key

    def _end(self) -> None:
        if self._label is not None and not self._pictures:
            self._stray.add(self._shown(self._label))
        self._pictures, self._label = [], None

    def _shown(self, member: Member) -> str:
        return self._tar.shown(os.fsdecode(member.name))

    def _settle(self, member: Member, numbers: list[int]) -> None:
        label = None
        if self._is_ours and member.size_bytes <= MAX_LABEL_BYTES:
            read = self._tar.source(os.fsdecode(member.name), member.offset, member.size_bytes)
            label = read_label(read())
        if label is None:
            self._is_ours = False
            return
        self._numbers.extend(numbers)
        self._labels.extend([label] * len(numbers))
