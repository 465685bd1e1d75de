"""Pictures in folders and by patterns: what there is, in natural order."""

import os
import re
import stat
from collections.abc import Iterator
from glob import glob, has_magic
from itertools import product
from pathlib import Path

from places.console import FirstFew
from places.data.streaming.picture_files import OF_THE_FILE
from places.errors import DataError
from places.files import storage_error

# A file with such an ending gets a row: if not with a guess, then with the reason, for only those
# of the first two lines are read.
_TYPES = (
    "apng avif avifs bmp dib gif icns ico j2c j2k jfif jif jp2 jpc jpe jpeg jpf jpg jpx mpo "
    "pbm pcx pfm pgm png pnm ppm psd qoi ras sgi tga tif tiff webp xbm xpm "
    "heic heics heif heifs hif jxl jxr svg wdp 3fr arw cr2 cr3 crw dng erf kdc mef mos mrw nef nrw "
    "orf pef raf raw rw2 rwl sr2 srf srw x3f"
)
_ENDINGS = frozenset(f".{name}" for name in _TYPES.split())
# What is in the folder of each run, beside its config.
_OF_A_RUN = ("metrics.csv", "predictions.csv", "predictions.png", "result.json", "checkpoints")
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_MOST_NAMES = 1_000_000  # that braces may stand for
_WORDS = "give a folder, a picture or both", "give a list:  @FILE"  # hints of `matches_of`


def is_picture(name: str) -> bool:
    """Tell whether a file is a picture by its name: by its ending, and it is not hidden."""
    last = name.rpartition("/")[2]
    return os.path.splitext(last)[1].lower() in _ENDINGS and not last.startswith(".")  # noqa: PTH122  # a Path takes longer to make


def kind_at(path: str) -> str:
    """Return what is at a path: "folder", "file" for all else, or an empty string for nothing.

    It is "denied" where this user may not know; opening it tells why.

    Raises:
        StorageError: Not the path is to blame, but the disk or the network behind it.
    """
    try:
        return "folder" if stat.S_ISDIR(os.stat(path).st_mode) else "file"  # noqa: PTH116  # paths are texts here
    except ValueError:  # a zero byte
        return ""
    except OSError as error:
        _check_storage(path, error)
        if isinstance(error, PermissionError):
            return "denied"
        return "file" if os.path.lexists(path) else ""  # a link to nothing


def pictures_in(folder: str, left_out: FirstFew) -> Iterator[str]:
    """Yield the paths of the pictures below a folder, in natural order.

    Left out are files that are no pictures by the ending of their names, hidden files and folders,
    links to folders, folders of earlier runs, and folders that cannot be read.

    Raises:
        StorageError: The disk or the network behind a folder fails.
    """
    pending = [f"{folder.rstrip('/')}/"]
    while pending:
        path = pending.pop()
        if not path.endswith("/"):
            yield path
            continue
        start = "" if path == "./" else path
        folders, links, files = _listed(path, left_out)
        if "config.yaml" in files and any(part in (*files, *folders) for part in _OF_A_RUN):
            left_out.add(f"{path} (a run)")
            continue
        passed = [*links, *(name for name in folders if name.startswith("."))]
        pictures = list(filter(is_picture, files))
        for other in [*(f"{name}/" for name in sorted(passed)), *sorted({*files} - {*pictures})]:
            left_out.add(other)
        inside = {name: f"{name}/" for name in folders if not name.startswith(".")}
        inside |= {name: name for name in pictures}
        in_order = sorted(inside, key=natural, reverse=True)  # the last one comes first
        pending += [start + inside[name] for name in in_order]


def _listed(folder: str, left_out: FirstFew) -> tuple[list[str], list[str], list[str]]:
    """Return the names of the folders, of the links to folders and of the files in a folder."""
    folders, links, files = [], [], []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if _is_folder(entry):
                    folders.append(entry.name)
                elif entry.is_symlink() and os.path.isdir(entry.path):  # noqa: PTH112  # never raises
                    links.append(entry.name)
                else:
                    files.append(entry.name)
    except OSError as error:
        _check_storage(folder, error)
        left_out.add(f"{folder} ({error.strerror})")
    return folders, links, files


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError as error:  # where the folder does not tell: it is asked for again to open it
        _check_storage(entry.path, error)
        return False


def is_pattern(text: str) -> bool:
    """Tell whether a text may stand for several names."""
    return has_magic(text) or _BRACES.search(text) is not None


def matches_of(pattern: str, hints: tuple[str, str] = _WORDS) -> list[str]:
    """Return what a pattern stands for, in natural order; itself if it is none.

    Args:
        pattern: With `*`, `?`, `[...]`, `**`, and braces as in `{000..012}` or `{a,b}`.
        hints: What to give where nothing is called like that, and in place of too many names.

    Raises:
        DataError: Nothing is called like that, or the braces stand for too many names.
        StorageError: The disk or the network behind its folder fails.
    """
    names = braces_filled(pattern, hints)
    found = []
    for name in names:
        if has_magic(name) and not os.path.lexists(name):
            found += sorted(glob(name, recursive=True), key=_natural_path)  # noqa: PTH207  # of Path only relative ones
        else:
            found.append(name)
    if not found:
        start = re.split(r"[*?[{]", pattern)[0].rpartition("/")[0]
        if kind_at(start or ("/" if pattern.startswith("/") else ".")) == "folder":
            _listed(start or ".", FirstFew())  # glob keeps silent about a disk that fails
        raise DataError(f"no file is called like {pattern}", hints[0])
    return found


def braces_filled(pattern: str, hints: tuple[str, str] = _WORDS) -> list[str]:
    """Return the names that braces stand for: `{00..12}` for numbers, `{a,b}` for one of these.

    Args:
        pattern: With or without braces.
        hints: As of `matches_of`.

    Raises:
        DataError: They are too many.
    """
    parts: list[list[str]] = []
    end = count = 0
    for found in _BRACES.finditer(pattern):
        parts.append([pattern[end : found.start()]])
        end = found.end()
        if found[3] is not None:
            parts.append(found[3].split(","))
        else:
            first, last = int(found[1]), int(found[2])
            width = len(found[1]) if found[1].startswith("0") else 0
            step = 1 if first <= last else -1
            numbers = range(first, last + step, step)
            count = len(numbers)
            parts.append([f"{n:0{width}}" for n in numbers[: _MOST_NAMES + 1]])
        count = 1
        for part in parts:
            count *= len(part)
        if count > _MOST_NAMES:
            raise DataError(f"{pattern} stands for more than {_MOST_NAMES:,} names", hints[1])
    parts.append([pattern[end:]])
    return ["".join(words) for words in product(*parts)]


def natural(name: str) -> str:
    """Return a text by which names are in natural order, where 2 comes before 10.

    A zero, which is in no name, ends a text before a number, and the number begins with how many
    digits it has.
    """
    return re.sub(r"[0-9]+", lambda match: _number(match[0].lstrip("0")), name)


def _number(digits: str) -> str:
    return f"\0{chr(len(digits))}{digits}"


def _natural_path(path: str) -> list[str]:
    return [natural(part) for part in Path(path).parts]


def _check_storage(path: str, error: OSError) -> None:
    """Raise an error of the system if it concerns more than this path."""
    if error.errno not in OF_THE_FILE:
        raise storage_error(f"cannot read {path}", error) from error
