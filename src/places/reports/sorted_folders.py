"""Picture files sorted into a folder for each category, as links or copies."""

import errno
import filecmp
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal

from places.categories import load_categories
from places.console import FirstFew, counted, printable, show
from places.errors import ConfigError
from places.files import name_as_text, partial_path, storage_error, text_as_name
from places.reports.line_file import LineFile
from places.reports.prediction_row import PredictionRow

Way = Literal["link", "copy"]
LIST_NAME = "sorted.jsonl"
# The system has no hard links there, or none to this file.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)
_COPYING = "picture"
_MAX_NAME_BYTES = 255
_MAX_REMEMBERED = 100_000  # names that several pictures have


class SortedFolders:
    """Gives each picture a place in the folder of its best category.

    A category such as `church/outdoor` has the folder `church-outdoor`. Of pictures with one name
    the first keeps it; the next is called `NAME (2)`, and so on: nothing is ever replaced. Pictures
    without an answer, and those that are no files of their own, are left out and counted.

    A list in the folder, `sorted.jsonl`, tells where each picture is. It is written before the
    picture is there, so after an interruption it is known what to take back.

    Args:
        folder: Where the folders of the categories are made.
        by: "link" makes hard links, which take no room, and symbolic ones where the file system
            has no others; "copy" makes copies.
    """

    def __init__(self, folder: Path, by: Way = "link") -> None:
        self.folder = folder
        self.path = folder / LIST_NAME
        self._by = by
        self._list = LineFile(self.path)
        self._num_rows = 0
        self._num_sorted = 0
        self._left_out = FirstFew()
        self._last_numbers: dict[Path, int] = {}  # by the name that several pictures have

    def start(self, num_rows: int) -> None:
        """Begin, or go on after so many rows; what was sorted after these is taken back.

        Raises:
            StorageError: The system refuses.
        """
        self._list.open()
        for copy in self.folder.glob(f".{_COPYING}.*.partial"):
            copy.unlink(missing_ok=True)
        end = 0
        for place, entry in self._entries():
            if entry["row"] < num_rows:
                end = place
                self._num_sorted += 1
            else:
                self._take_back(entry)
        self._list.cut(end)
        self._num_rows = num_rows

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Sort the pictures of some rows.

        Raises:
            StorageError: The system refuses.
        """
        for row in rows:
            if row.labels:
                self._sort(row)
            self._num_rows += 1

    def finish(self) -> None:
        """Say what was sorted."""
        self._list.finish()
        show(f"{counted(self._num_sorted, 'picture')} sorted into {self.folder}")
        if self._left_out.count:
            show(f"{self._left_out.count:,} not sorted: {self._left_out}")

    def close(self) -> None:
        """Close the list as it is."""
        self._list.close()

    def _sort(self, row: PredictionRow) -> None:
        source = Path(text_as_name(row.path))
        if not source.is_file():
            self._left_out.add(f"{printable(row.path)} (no file)")
            return
        folder = self.folder / _folder_of(row.labels[0])
        try:
            folder.mkdir(parents=True, exist_ok=True)
            target = self._free_name(folder / source.name)
            entry = {
                "row": self._num_rows,
                "path": name_as_text(str(source)),
                "folder": folder.name,
                "name": name_as_text(target.name),
            }
            self._list.add(json.dumps(entry, ensure_ascii=False) + "\n")
            self._put(source, target)
        except OSError as error:
            raise storage_error(f"cannot sort {source} into {folder}", error) from error
        self._num_sorted += 1

    def _free_name(self, target: Path) -> Path:
        """Return a name that nothing has yet: that one or the next that is numbered."""
        if not os.path.lexists(target):
            return target
        for number in count(self._last_numbers.get(target, 1) + 1):
            numbered = target.with_name(_numbered(target, number))
            if not os.path.lexists(numbered):
                break
        if len(self._last_numbers) >= _MAX_REMEMBERED:
            self._last_numbers.clear()
        self._last_numbers[target] = number
        return numbered

    def _put(self, source: Path, target: Path) -> None:
        real = source.resolve()
        if self._by == "copy":
            partial = partial_path(self.folder / _COPYING)
            try:
                shutil.copy2(real, partial)
                partial.replace(target)
            except BaseException:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)
                raise
            return
        try:
            os.link(real, target)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            target.symlink_to(real)

    def _entries(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the entries of the list, each with its end in bytes, until one is torn."""
        for end, line in self._list.records():
            try:
                entry = json.loads(line)
                kinds = [type(entry[name]) for name in ("row", "path", "folder", "name")]
            except (ValueError, TypeError, KeyError):
                return
            if kinds != [int, str, str, str]:
                return
            yield end, entry

    def _take_back(self, entry: dict[str, Any]) -> None:
        """Remove what was sorted, if it is that and no other file."""
        folder, name = entry["folder"], text_as_name(entry["name"])
        target = self.folder / folder / Path(name).name
        source = Path(text_as_name(entry["path"]))
        with suppress(FileNotFoundError):
            if _is_folder(folder) and _is_same(source, target):
                target.unlink()
                with suppress(OSError):
                    target.parent.rmdir()  # an empty one only


def check_apart(folder: Path, sources: Iterable[str] | None) -> None:
    """Refuse to sort pictures into a folder that is searched for pictures.

    Args:
        folder: The folder.
        sources: What was given as pictures; `None` if those are no files.

    Raises:
        ConfigError: See there.
    """
    if sources is None:
        raise ConfigError(
            "predictions.sort_into needs picture files, not shards",
            "give them:  places predict PICTURES",
        )
    for source in sources:
        path = Path(text_as_name(source))
        if "**" in path.parts:  # a pattern, of which folders before it are searched
            path = Path(*path.parts[: path.parts.index("**")])
        if path.is_dir() and folder.resolve().is_relative_to(path.resolve()):
            raise ConfigError(
                f"predictions.sort_into {folder} lies in {path}, which is searched for pictures",
                "name a folder elsewhere:  --predictions.sort_into FOLDER",
            )


def _folder_of(label: int) -> str:
    return load_categories()[label].replace("/", "-")


def _is_folder(name: str) -> bool:
    return name in map(_folder_of, range(len(load_categories())))


def _numbered(target: Path, number: int) -> str:
    """Return a name with a number before its ending, as long as a name may be."""
    mark = f" ({number}){target.suffix}"
    stem = os.fsencode(target.stem)[: _MAX_NAME_BYTES - len(os.fsencode(mark))]
    return os.fsdecode(stem) + mark


def _is_same(source: Path, target: Path) -> bool:
    if target.is_symlink():
        return target.readlink() == source.resolve()
    return source.samefile(target) or filecmp.cmp(source, target, shallow=False)
