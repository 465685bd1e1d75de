"""`places download`: the official archives of Places365."""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Event

from places.categories import nearest
from places.console import Counter, progress, put, show
from places.data.packing.official import ARCHIVES, LISTS
from places.data.remote.download import fetch_file
from places.data.remote.failures import MissingFileError, RefusedError
from places.data.remote.urls import TIMEOUT_S, RemotePath, open_url
from places.data.shards.tar_members import hash_file
from places.endings import signals
from places.errors import DataError, with_prefix

BASE_URL = "http://data.csail.mit.edu/places/places365/"
FORM_URL = "http://places2.csail.mit.edu/download-private.html"
MD5_BY_NAME = {**ARCHIVES, **{name: md5 for name, md5 in LISTS.items() if name.endswith(".tar")}}
SETS = {
    f"{variant}-{size}": (
        f"train_{size}_places365{variant}.tar",
        f"val_{size}.tar",
        f"test_{size}.tar",
        f"filelist_places365-{variant}.tar",
    )
    for variant in ("standard", "challenge")
    for size in ("256", "large")
}


def download(
    archive: list[str],
    root: Path = Path("archives"),
    base_url: str = BASE_URL,
    timeout_s: float = TIMEOUT_S,
) -> int:
    """Fetch official archives of Places365 and check their MD5.

    An interrupted download is resumed. Access may need a form to be filled in:
    http://places2.csail.mit.edu/download-private.html

    Sets, each with the pictures of all splits and the lists of their labels: standard-256,
    standard-large, challenge-256, challenge-large.

    Archives: train_256_places365standard.tar, train_256_places365challenge.tar,
    train_large_places365standard.tar, train_large_places365challenge.tar, val_256.tar,
    val_large.tar, test_256.tar, test_large.tar, filelist_places365-standard.tar,
    filelist_places365-challenge.tar.

    Args:
        archive: Archives, or sets of archives.
        root: The folder for the archives.
        base_url: Where the archives lie.
        timeout_s: Seconds that a server may be silent, or slower than 20,000 bytes per second,
            before it is given up.

    Returns:
        The exit status: 0 if all archives are there, 1 if one cannot be fetched or is damaged.

    Raises:
        DataError: There is no archive or set of that name.
        ConfigError: `base_url` cannot be read.
        StorageError: The disk refuses.
    """
    names = _names_of(archive)
    folder = open_url(base_url, "`base_url`", timeout_s)
    status = 0
    for name in names:
        try:
            _fetch(folder.file(name), root / name)
        except DataError as error:
            if isinstance(error.__cause__, OSError):  # of the disk, which all of them need
                raise
            show(f"places: error: {with_prefix(error, '--', ['timeout_s'])}")
            status = 1
    return status


def _names_of(words: Sequence[str]) -> list[str]:
    """Return the archives that are meant by names of archives and sets, each once, in order."""
    names: dict[str, None] = {}
    for word in words:
        if word not in SETS and word not in MD5_BY_NAME:
            raise DataError(
                f"no archive or set is named {word!r}",
                f"nearest:   {nearest(word, [*SETS, *MD5_BY_NAME])}",
                f"sets:      {', '.join(SETS)}",
                "archives:  places download --help",
            )
        names |= dict.fromkeys(SETS.get(word, (word,)))
    return list(names)


def _fetch(remote: RemotePath, path: Path) -> None:
    if path.exists():
        put(f"{path} is there already")
        return
    position = size_bytes = -1

    def follow(new_position: int, new_size_bytes: int | None) -> None:
        nonlocal position, size_bytes
        if position < 0:
            position = size_bytes = new_position  # what is there already counts nothing
        counter.expect((new_size_bytes or new_position) - size_bytes)
        counter.advance(new_position - position)
        position, size_bytes = new_position, new_size_bytes or new_position

    signals.advise("run it again, and it goes on from there")
    with progress(path.name, 0) as counter:
        try:
            fetch_file(remote, path, partial(_check_md5, counter), follow)
        except (MissingFileError, RefusedError) as error:
            raise DataError(
                error.message,
                error.hint[0],
                f"it may need a request form:  {FORM_URL}",
                f"if it is elsewhere now:  places download {path.name} --base_url URL",
            ) from error
    put(f"{path}: {path.stat().st_size:,} bytes, the MD5 is right")


def _check_md5(counter: Counter, part: Path) -> None:
    """Read an archive again from the disk, which checks what `places pack` will read."""
    name, digest = part.name.removesuffix(".part"), hashlib.md5(usedforsecurity=False)
    counter.expect(part.stat().st_size)
    hash_file(part, digest, Event(), counter.advance)
    if digest.hexdigest() != MD5_BY_NAME[name]:
        bad = part.with_name(f"{name}.bad")
        part.replace(bad)
        raise DataError(
            f"the MD5 of {name} is wrong; it is kept as {bad}",
            f"found:      {digest.hexdigest()}",
            f"published:  {MD5_BY_NAME[name]}",
            "run again to fetch it from the start",
        )
