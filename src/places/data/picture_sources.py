"""Which pictures somebody means: by files, folders, patterns and lists of them."""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path

from places.console import FirstFew
from places.errors import DataError
from places.files import text_as_name

# A file with such an ending gets a row: if not with a guess, then with the reason, for only those
# of the first two lines are read.
_TYPES = (
    "apng avif avifs bmp dib gif icns ico j2c j2k jfif jif jp2 jpc jpe jpeg jpf jpg jpx mpo "
    "pbm pcx pfm pgm png pnm ppm psd qoi ras sgi tga tif tiff webp xbm xpm "
    "heic heics heif heifs hif jxl jxr svg wdp 3fr arw cr2 cr3 crw dng erf kdc mef mos mrw nef nrw "
    "orf pef raf raw rw2 rwl sr2 srf srw x3f"
)
_ENDINGS = frozenset(f".{name}" for name in _TYPES.split())
_LISTS = (".txt", ".csv", ".lst", ".list")
_ARCHIVES = (".zip", ".7z", ".rar", ".gz", ".tgz", ".bz2", ".xz", ".zst")
# What is in the folder of each run, beside its config.
_OF_A_RUN = ("metrics.csv", "predictions.csv", "predictions.png", "result.json", "checkpoints")


def find_pictures(sources: Iterable[str], *, null: bool) -> tuple[list[Path], FirstFew]:
    """Return the pictures that are meant, each once, and what else was found and left out.

    Sources follow each other as they are given; the pictures of a folder or a pattern are in
    natural order, in which 2 comes before 10.

    Args:
        sources: Each a picture, a folder with all its subfolders, a pattern such as `*.jpg`,
            `@FILE` for a list of pictures in a file, or `-` for one on standard input; a list has
            a path in each line.
        null: Whether a zero byte ends each path of a list, instead of a line.

    Raises:
        DataError: A source is no picture and no folder, or there are no pictures in any.
    """
    found: dict[Path, None] = {}
    left_out = FirstFew()
    sources = [text_as_name(source) for source in sources]
    for source in sources:
        if source == "-" or source.startswith("@"):
            data = sys.stdin.buffer.read() if source == "-" else _list_at(Path(source[1:]))
            found |= dict.fromkeys(map(Path, _paths_in(data, null)))
        else:
            found |= dict.fromkeys(_pictures_of(source, left_out))
    if not found:
        hints = [f"found:       {left_out}"] if left_out.count else []
        where = ", ".join(sources) or "nothing"
        raise DataError(f"no pictures in {where}", *hints, "looked for:  .jpg, .png, .webp, ...")
    return list(found), left_out


def _pictures_of(source: str, left_out: FirstFew) -> list[Path]:
    """Return the pictures of one source that is no list."""
    path = Path(source)
    if path.is_dir():
        return sorted(_in_folder(path, left_out), key=_in_natural_order)
    if not os.path.lexists(path) and has_magic(source):
        matches = sorted(map(Path, glob(source, recursive=True)), key=_in_natural_order)  # noqa: PTH207  # of Path only relative ones
        if not matches:
            raise DataError(f"no file is called like {source}", "give a folder, a picture or both")
        return [p for match in matches for p in _pictures_of(str(match), left_out)]
    if not os.path.lexists(path):
        raise DataError(f"no such file or folder: {source}", "give it with:  `images` PICTURES")
    ending = path.suffix.lower()
    if ending in _LISTS:
        raise DataError(f"{source} is no picture", f"is it a list of pictures?  type  @{source}")
    if ending in _ARCHIVES:
        raise DataError(f"{source} is no picture but an archive", "unpack it, and give its folder")
    return [path]


def _in_folder(images: Path, left_out: FirstFew) -> Iterator[Path]:
    """Yield the pictures below a folder.

    Left out are files that are no pictures by the ending of their names, hidden files and folders,
    links to folders, folders of earlier runs, and folders that cannot be read.
    """

    def note(error: OSError) -> None:
        left_out.add(f"{error.filename}/ ({error.strerror})")

    for name, folders, files in os.walk(images, onerror=note):
        folder = Path(name)
        if "config.yaml" in files and any(part in (*files, *folders) for part in _OF_A_RUN):
            left_out.add(f"{name}/ (a run)")
            folders.clear()
            continue
        passed = {f for f in folders if f.startswith(".") or (folder / f).is_symlink()}
        folders[:] = sorted(set(folders) - passed)
        pictures = {f for f in files if Path(f).suffix.lower() in _ENDINGS and f[0] != "."}
        yield from (folder / file for file in pictures)
        for other in [*(f"{name}/" for name in sorted(passed)), *sorted({*files} - pictures)]:
            left_out.add(other)


def _in_natural_order(path: Path) -> list[list[tuple[int, str]]]:
    parts = [re.split(r"([0-9]+)", part) for part in path.parts]
    return [[(int(word), "") if word.isdigit() else (-1, word) for word in part] for part in parts]


def _list_at(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"no list of pictures at {path}", "an @ stands before the name of a list")
    return path.read_bytes()


def _paths_in(data: bytes, null: bool) -> Iterator[str]:
    for line in data.split(b"\0" if null else b"\n"):
        text = line if null else line.removesuffix(b"\r")
        if text:
            yield os.fsdecode(text)
