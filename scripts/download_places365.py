#!/usr/bin/env python3
"""Fetch official archives of Places365: goes on where a download broke off, and checks the MD5.

.venv/bin/python scripts/download_places365.py standard-256 --root archives
"""

import argparse
import hashlib
import http.client
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TimeRemainingColumn
from rich.progress import TransferSpeedColumn as SpeedColumn

from places.categories import nearest
from places.data.packing.official import ARCHIVES, LISTS
from places.errors import DataError, PlacesError

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
TRIES = 5
PAUSE_S = 1.0  # before the second try; doubled before each one after that
_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 60


def main(args: Sequence[str] | None = None) -> int:
    """Fetch what the command line names.

    Returns:
        0 if every archive is there, 1 if one cannot be fetched or is damaged, 2 for a wrong name.
    """
    options = _parser().parse_args(args)
    try:
        names = names_of(options.names)
    except PlacesError as error:
        print(f"download: error: {error}", file=sys.stderr)
        return 2
    options.root.mkdir(parents=True, exist_ok=True)
    status = 0
    with Progress(
        "{task.description}", BarColumn(), DownloadColumn(), SpeedColumn(), TimeRemainingColumn()
    ) as progress:
        for name in names:
            try:
                fetch(options.base_url.rstrip("/") + "/" + name, options.root / name, progress)
            except PlacesError as error:
                print(f"download: error: {error}", file=sys.stderr)
                status = 1
    return status


def names_of(words: Sequence[str]) -> list[str]:
    """Return the archives that are meant by names of archives and sets, each once, in order.

    Raises:
        DataError: A word is neither.
    """
    names: dict[str, None] = {}
    for word in words:
        if word not in SETS and word not in MD5_BY_NAME:
            known = [*SETS, *MD5_BY_NAME]
            raise DataError(
                f"no archive or set is named {word!r}",
                f"nearest:  {nearest(word, known)}",
                f"sets:     {', '.join(SETS)}",
            )
        names |= dict.fromkeys(SETS.get(word, (word,)))
    return list(names)


def fetch(url: str, path: Path, progress: Progress) -> None:
    """Fetch one archive to `path`; until its MD5 is found right it is `<path>.part`.

    Args:
        url: Where the archive lies.
        path: Where it goes; its name tells the published MD5. If it exists, nothing is done.
        progress: Shows the bytes.

    Raises:
        DataError: The server refuses, the connection breaks again and again, the disk is too small,
            or the MD5 is wrong. In the last case the file is kept as `<path>.bad`.
    """
    if path.exists():
        progress.console.print(f"{path} is there already")
        return
    part = path.with_name(f"{path.name}.part")
    task = progress.add_task(path.name, total=None)
    with part.open("ab") as file:
        _receive_all(url, file, progress, task)
    # Read again from the disk: this checks what a later `places pack` will read.
    progress.update(task, description=f"{path.name}: checking")
    found, expected = _md5(part, progress, task), MD5_BY_NAME[path.name]
    if found != expected:
        bad = path.with_name(f"{path.name}.bad")
        part.replace(bad)
        raise DataError(
            f"the MD5 of {path.name} is wrong; it is kept as {bad}",
            f"found:      {found}",
            f"published:  {expected}",
            "run again to fetch it from the start",
        )
    part.replace(path)
    progress.update(task, description=path.name)


def _receive_all(url: str, file: BinaryIO, progress: Progress, task: TaskID) -> None:
    """Append to `file` until it is complete, going on after broken connections."""
    tries = 0
    while True:
        start = file.tell()
        try:
            if _receive(url, file, progress, task):
                return
            reason = f"the connection ended at byte {file.tell():,}"
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                    return  # nothing is missing; the MD5 has the last word
                if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise _refused(url, error) from error
            reason = f"{error.code} {error.reason}"
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
        tries = 1 if file.tell() > start else tries + 1
        if tries >= TRIES:
            raise DataError(
                f"{url} cannot be fetched: {reason}",
                f"{file.tell():,} bytes are kept; run again to go on from there",
            )
        time.sleep(PAUSE_S * 2 ** (tries - 1))


def _refused(url: str, error: urllib.error.HTTPError) -> DataError:
    return DataError(
        f"{url} is refused: {error.code} {error.reason}",
        f"access may need the request form:  {FORM_URL}",
        "if the files are elsewhere now:    --base-url URL",
    )


def _receive(url: str, file: BinaryIO, progress: Progress, task: TaskID) -> bool:
    """Append one answer of the server to `file` and tell whether the file is complete."""
    headers = {"Range": f"bytes={file.tell()}-"} if file.tell() else {}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            file.seek(0)
            file.truncate()  # the server sends the whole file whatever was asked for
        total = _total_bytes(response, file.tell())
        if total is not None:
            _check_space(Path(file.name), total - file.tell())
        progress.update(task, total=total, completed=file.tell())
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            progress.update(task, completed=file.tell())
    return total is None or file.tell() >= total


def _total_bytes(response: http.client.HTTPResponse, start: int) -> int | None:
    """Return the size of the whole file as the answer tells it, if it does."""
    content_range = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers["Content-Range"] or "")
    if content_range:
        if int(content_range[1]) != start:
            raise OSError(f"asked for bytes from {start}, got bytes from {content_range[1]}")
        return int(content_range[2])
    length = response.headers["Content-Length"]
    return start + int(length) if length else None


def _check_space(path: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(path.parent).free
    if needed_bytes > free_bytes:
        raise DataError(
            f"{path} needs {needed_bytes:,} more bytes, but its disk has {free_bytes:,} free"
        )


def _md5(path: Path, progress: Progress, task: TaskID) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    progress.update(task, total=path.stat().st_size, completed=0)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            progress.update(task, completed=file.tell())
    return digest.hexdigest()


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {name}: {', '.join(archives)}" for name, archives in SETS.items()]
    parser = argparse.ArgumentParser(
        description=f"Fetch official archives of Places365. Access may need the form {FORM_URL}.",
        epilog="\n".join(["sets:", *lines, "archives:", *(f"  {name}" for name in MD5_BY_NAME)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="archives or sets of archives")
    parser.add_argument("--root", type=Path, default=Path("archives"), help="folder to write to")
    parser.add_argument("--base-url", default=BASE_URL, help="where the archives lie: %(default)s")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("download: interrupted; run again to go on")
