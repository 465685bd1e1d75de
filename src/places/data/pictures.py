"""The pictures that were found, and where the bytes of each are."""

import os
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import Protocol

from places.config.secrets import without_credentials
from places.data.remote.single_files import SingleFiles
from places.data.shards.index import NO_LABEL
from places.errors import DataError

Source = Path | Callable[[], bytes]


class Place(Protocol):
    """Where pictures lie."""

    def shown(self, name: str) -> str:
        """Return what to call a picture, which is unlike all others."""

    def source(self, name: str, offset: int, size_bytes: int) -> Source:
        """Return the file of a picture, or what returns its bytes."""


class Files:
    """Files of this machine."""

    def shown(self, name: str) -> str:
        """Return the path of a picture."""
        return name

    def source(self, name: str, offset: int, size_bytes: int) -> Path:
        """Return the path of a picture."""
        return Path(name)


class Nothing:
    """Where there is no picture.

    Args:
        reason: Why.
        start: What stands before the names.
    """

    def __init__(self, reason: str, start: str = "") -> None:
        self.reason = reason
        self.start = start

    def shown(self, name: str) -> str:
        """Return the name."""
        return f"{self.start}{name}"

    def source(self, name: str, offset: int, size_bytes: int) -> Callable[[], bytes]:
        """Return what raises the reason."""

        def refuse() -> bytes:
            raise DataError(self.reason)

        return refuse


class Urls:
    """Files behind URLs.

    Args:
        files: Reads them.
    """

    def __init__(self, files: SingleFiles) -> None:
        self.files = files

    def shown(self, name: str) -> str:
        """Return the URL without credentials."""
        return without_credentials(name)

    def source(
        self, name: str, offset: int, size_bytes: int, stop: Event | None = None
    ) -> Callable[[], bytes]:
        """Return what fetches a picture."""
        return partial(self.files.read, name, stop)


class Pictures:
    """Pictures in their order, with little memory for each beside that for its name."""

    def __init__(self) -> None:
        self._names = bytearray()
        self._ends = array("Q", [0])
        self._offsets, self._sizes_bytes = array("Q"), array("Q")
        self._labels = array("h")
        self.has_labels = False  # whether any of them has one
        self._places: list[Place] = []  # of runs of pictures that follow each other
        self._starts = array("Q")  # of these runs

    def add(self, place: Place, name: str, offset: int = 0, size_bytes: int = 0) -> None:
        """Add a picture: a file, or some bytes of one."""
        if not self._places or self._places[-1] is not place:
            self._places.append(place)
            self._starts.append(len(self))
        self._names += os.fsencode(name)
        self._ends.append(len(self._names))
        self._offsets.append(offset)
        self._sizes_bytes.append(size_bytes)
        self._labels.append(NO_LABEL)

    def set_label(self, number: int, label: int) -> None:
        """Note the true label of a picture."""
        self._labels[number] = label
        self.has_labels = True

    def label(self, number: int) -> int:
        """Return the true label of a picture, or -1 if it has none."""
        return self._labels[number]

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._offsets)

    def __iter__(self) -> Iterator[str]:
        """Yield what the pictures are called."""
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, number: int) -> str:
        """Return what a picture is called in the predictions."""
        return self._place(number).shown(self._name(number))

    def is_remote(self, number: int) -> bool:
        """Tell whether a picture lies behind a URL."""
        return isinstance(self._place(number), Urls)

    def source(self, number: int) -> Source:
        """Return the file of a picture, or what returns its bytes or raises why it cannot.

        That raises `DataError` for what concerns this picture, `StorageError` for all else.
        """
        name, offset, size_bytes = (
            self._name(number),
            self._offsets[number],
            self._sizes_bytes[number],
        )
        return self._place(number).source(name, offset, size_bytes)

    def fetch(self, number: int, stop: Event) -> bytes:
        """Return the bytes of a picture behind a URL, unless told to stop before."""
        place = self._place(number)
        assert isinstance(place, Urls)
        return place.source(self._name(number), 0, 0, stop)()

    def _name(self, number: int) -> str:
        return os.fsdecode(bytes(self._names[self._ends[number] : self._ends[number + 1]]))

    def _place(self, number: int) -> Place:
        return self._places[bisect_right(self._starts, number) - 1]
