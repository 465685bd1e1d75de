"""How people lay out folders of pictures: what stands above the folders of the categories.

`airfield/1.jpg`, `a/airfield/1.jpg`, `data_256/a/airfield/1.jpg`, `places365/train/airfield/1.jpg`:
the shortest start of a path whose rest is a category is left out of the keys. It must be the same
for all pictures of a split.
"""

from shlex import quote
from typing import NamedTuple

from places.categories import label_of
from places.console import first_few, printable
from places.data.packing.official import SPLIT_WORDS, UNPACKED, PackSource
from places.data.shards.index import NO_LABEL
from places.data.shards.tar_reader import MAX_SHOWN
from places.errors import DataError


class Folder(NamedTuple):
    """A folder inside a source."""

    source: int  # the position of the source
    path: bytes  # in the source
    key: bytes  # the start of its pictures' keys, with a slash at the end unless empty
    label: int  # the category that its name tells; -1 for the top folder, which has no name
    top: bytes = b""  # the start of its path that stands above all categories


def folder_in(source: PackSource, position: int, path: bytes) -> Folder:
    """Return what a folder with pictures is.

    Args:
        source: The source in which it is.
        position: The number of the source.
        path: Of the folder in the source.

    Raises:
        DataError: It is no category, or has no name in a train split.
    """
    parts = [part for part in path.decode(errors="replace").split("/") if part not in ("", ".")]
    num_above = 1 if parts and UNPACKED.fullmatch(parts[0]) else 0
    found = _category_in(parts, num_above)
    if found:
        num_above, label = found
    elif parts[num_above:] and not _is_split(parts[-1]):
        name = "/".join(_below_splits(parts[num_above:]))
        try:
            label_of(name[:MAX_SHOWN])  # none is longer; it is shown if it is none
        except DataError as error:
            where = f"found in:  {source.path}"
            raise DataError(error.message, *error.hint, where) from error
    else:  # pictures without labels, perhaps in a folder of their split
        num_above, label = len(parts), NO_LABEL
        is_of_split = not parts or SPLIT_WORDS.get(parts[-1].lower(), source.split) == source.split
        if source.split == "train" and is_of_split:
            raise DataError(
                f"pictures in {source.path} lie in no category",
                "each must lie in a folder with the name of its category, such as church/outdoor",
                *_of_shards(source),
            )
    name, top = "/".join(parts[num_above:]), "/".join(parts[:num_above])
    return Folder(position, path, f"{name}/".encode() if name else b"", label, top.encode())


def _of_shards(source: PackSource) -> list[str]:
    if source.path.is_dir():
        return []
    return [f"shards of WebDataset, with .cls or .json:  places index {source.path} --split train"]


def tops_of_split(source: PackSource, tops: set[bytes]) -> set[bytes]:
    """Return which starts of paths belong to the split of a source.

    Args:
        source: The source.
        tops: All that there are above its categories.

    Raises:
        DataError: There are several, and the names of splits do not tell which are meant.
    """
    told = {top: _split_told_by(top) for top in tops}
    chosen = {top for top in tops if told[top] == source.split}
    unclear = {top for top in tops if told[top] is None}
    if len(chosen | unclear) == 1 or not tops:
        return chosen | unclear
    shown = first_few(printable(_text(top) or "(the top)") for top in sorted(tops))
    if not chosen | unclear:
        splits = ", ".join(sorted({split for split in told.values() if split}))
        raise DataError(
            f"{source.path} holds no folder of split {source.split!r}, but of {splits}",
            f"found:  {shown}",
            "give the folder that is meant itself, if it shall be that split",
        )
    example = printable(_text(min(top for top in chosen | unclear if top)))
    folder = quote(f"{source.path}/{example}")
    raise DataError(
        f"{source.path} holds categories in several folders",
        f"found:  {shown}",
        f"give the one that is meant:  places pack {folder} --split {source.split}"
        if source.path.is_dir()
        else f"unpack it, and give the folder that is meant, such as {example}",
    )


def _category_in(parts: list[str], start: int) -> tuple[int, int] | None:
    """Return where the name of a category begins that ends a path, and its label."""
    for begin in range(start, len(parts)):
        name = "/".join(parts[begin:])
        if len(name) <= MAX_SHOWN:
            try:
                return begin, label_of(name)
            except DataError:
                continue
    return None


def _is_split(part: str) -> bool:
    return part.lower() in SPLIT_WORDS


def _below_splits(parts: list[str]) -> list[str]:
    """Leave out what stands above and in the name of a split, which is no category."""
    ends = [i for i, part in enumerate(parts[:-1]) if _is_split(part)]
    return parts[ends[-1] + 1 :] if ends else parts


def _split_told_by(top: bytes) -> str | None:
    """Return the split that the folders above categories tell, the last one first."""
    for part in reversed(_text(top).split("/")):
        if part.lower() in SPLIT_WORDS:
            return SPLIT_WORDS[part.lower()]
    return None


def _text(top: bytes) -> str:
    return top.decode(errors="replace")
