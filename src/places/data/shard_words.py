"""What words mean that stand for shards: files, folders, patterns and URLs."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from shlex import quote
from typing import NamedTuple
from urllib.parse import urlsplit

from places.config.secrets import without_credentials
from places.console import first_few, printable
from places.data.folder_pictures import braces_filled, is_pattern, matches_of, natural
from places.data.packing.compressed import unpacking_of
from places.data.packing.official import SPLIT_WORDS
from places.data.remote.urls import is_url, open_url
from places.data.shards.fields import MAX_SHARDS
from places.errors import ConfigError, DataError

# Hints of `matches_of`.
_WORDS = "give tars, a folder of tars or both", f"an index holds {MAX_SHARDS:,} shards at most"


class Place(NamedTuple):
    """Where a shard lies: a file here, or behind a URL."""

    text: str

    @property
    def is_remote(self) -> bool:
        """Whether it is behind a URL."""
        return is_url(self.text)

    @property
    def path(self) -> Path:
        """The file, if it is one here."""
        return Path(self.text)

    @property
    def name(self) -> str:
        """What the file is called."""
        if self.is_remote:
            return PurePosixPath(urlsplit(self.text).path).name
        return self.path.name

    def __str__(self) -> str:
        """Return what to call it in a message: without credentials."""
        return without_credentials(self.text) if self.is_remote else self.text


def places_of(words: Sequence[str], split: str | None) -> list[Place]:
    """Return the shards that words stand for, each once, in the order of the words.

    Args:
        words: Files, folders, patterns such as `train-{000..012}.tar` or `*.tar`, URLs of single
            files, with braces as well.
        split: Which of the shards in a folder are meant, where their names tell a split.

    Raises:
        DataError: A word stands for nothing, for what is no tar, or for a shard once more.
        ConfigError: A URL cannot be read.
    """
    found = [place for word in words for place in _places_of_word(word, split)]
    files = [place.text if place.is_remote else os.path.realpath(place.text) for place in found]
    nums, names = Counter(files), dict(zip(files, map(str, found), strict=True))
    twins = first_few(printable(names[file]) for file, num in nums.items() if num > 1)
    if twins.count:
        raise DataError(f"given more than once: {twins}", "give each shard once")
    if len({place.is_remote for place in found}) > 1:
        raise ConfigError(
            "some shards are files here, others lie behind URLs",
            "index them into two folders, or bring all to one place",
        )
    for place in found:
        check_ending(place)
    return found


def _places_of_word(word: str, split: str | None) -> list[Place]:
    if word.lower().startswith("file://"):
        word = word[len("file://") :]
    if is_url(word) and not os.path.lexists(word):
        open_url(word, "the URL")  # says what cannot be read
        return [Place(url) for url in braces_filled(word, _WORDS)]
    is_one = os.path.lexists(word) or not is_pattern(word)
    names = [word] if is_one else _without_links(matches_of(word, _WORDS))
    found = []
    for name in names:
        if not os.path.exists(name):  # noqa: PTH110  # a link to nothing is none either
            raise DataError(f"no such file or folder: {printable(name)}", *_of_braces(word, name))
        if os.path.isdir(name):  # noqa: PTH112  # never raises
            found += _in_folder(name, split)
        else:
            found.append(Place(name))
    return found


def _without_links(paths: list[str]) -> list[str]:
    """Leave out links to others of some files, such as an index made in their folder."""
    files = {os.path.realpath(path) for path in paths if not os.path.islink(path)}  # noqa: PTH114
    return [p for p in paths if not os.path.islink(p) or os.path.realpath(p) not in files]  # noqa: PTH114


def _of_braces(word: str, name: str) -> list[str]:
    is_one = "{" in word and name != word
    return [f"it is one of those that {printable(word)} stands for"] if is_one else []


def _in_folder(folder: str, split: str | None) -> list[Place]:
    """Return the shards in a folder, of one split if names tell splits."""
    paths = _without_links(_tars_in(folder))
    told = {path: split_told_by(Path(path).name) for path in paths}
    if not {*told.values()} - {None}:
        return [Place(path) for path in paths]
    splits = sorted({name for name in told.values() if name})
    if split is None and len(splits) == 1:
        split = splits[0]
    chosen = [path for path in paths if told[path] == split]
    if split and not chosen:
        raise DataError(
            f"{printable(folder)} holds no shards of {split} by their names, "
            f"but of {', '.join(splits)}",
            "if some are, give them one by one",
        )
    if split is None:
        raise DataError(
            f"{printable(folder)} holds shards of {', '.join(splits)} by their names",
            "choose:  `split` train, `split` val or `split` test, or give the shards one by one",
        )
    return [Place(path) for path in chosen]


def _tars_in(folder: str) -> list[str]:
    """Return the tars in a folder in natural order; without any, those that are compressed."""
    start = folder.rstrip("/") or folder
    paths = sorted((entry.path for entry in os.scandir(start) if entry.is_file()), key=natural)
    tars = [path for path in paths if path.lower().endswith(".tar") and not _is_hidden(path)]
    packed = [path for path in paths if unpacking_of(path) and not _is_hidden(path)]
    if not tars and not packed:
        raise DataError(
            f"no tars in {printable(folder)}",
            f"found:  {first_few(printable(Path(path).name) for path in paths)}"
            if paths
            else "it is empty, or holds folders only: give those with the tars",
        )
    return tars or packed


def _is_hidden(path: str) -> bool:
    return Path(path).name.startswith(".")


def split_told_by(name: str) -> str | None:
    """Return the split that the name of a shard tells, none if it tells none or several."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def check_ending(place: Place) -> None:
    """Refuse what is compressed, by its name, with what unpacks it.

    Raises:
        DataError: It is.
    """
    unpacking = unpacking_of(place.name if place.is_remote else place.text)
    if unpacking:
        tar, command = map(printable, unpacking)
        raise DataError(
            f"{printable(str(place))} is compressed: no picture in it can be read by itself",
            f"{'fetch it, then' if place.is_remote else 'unpack'}:  {command}",
            f"then:    places index {quote(tar)}",
        )
