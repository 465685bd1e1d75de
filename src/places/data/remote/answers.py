"""One request for a file behind a URL: what the server says about it, and its bytes in parts.

Servers of HTTP are asked for all bytes from one on, object stores for one range after the other.
"""

import asyncio
import re
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from places.data.remote import urls
from places.data.remote.urls import RemotePath, is_http
from places.errors import DataError, StorageError

PART_BYTES = 2**20
PART_S = 1.0  # a part ends after this time too, so that it is seen what a slow server sends
FIRST_RANGE_BYTES = 2**20
RANGE_BYTES = 2**24  # each range is a request of its own; after quick ones the next is larger
MOST_REDIRECTS = 10


class ReplacedError(Exception):
    """The bytes that are there already do not belong to the file that is behind the URL now."""


class AnswerError(StorageError):
    """A server answers, but does not give this file; it may well give others."""


class Version(NamedTuple):
    """Which file is behind a URL now, as far as the server tells."""

    size_bytes: int | None = None
    tag: str = ""  # what changes with every change of the file, such as an ETag


Part = tuple[int, bytes, Version]


def ask(file: RemotePath, start: int, kept: Version) -> Iterator[Part]:
    """Ask for a file from one byte on, in one try.

    Args:
        file: The file.
        start: How many bytes of it are there already.
        kept: To which version these belong.

    Yields:
        Where a part belongs, the part, and the version that the server sends. The first part is
        empty; it belongs to byte 0 if the server cannot begin elsewhere.

    Raises:
        ReplacedError: They belong to another one.
        DataError: The file has not the size that it must have.
        Exception: Whatever the library behind the URL raises.
    """
    answer = _from_server(file, start, kept.tag) if is_http(file.url) else _from_store(file, start)
    with closing(answer):
        position, data, version = next(answer)
        if file.size_bytes not in (None, version.size_bytes or file.size_bytes):
            raise _wrong_size(file, f"{version.size_bytes:,}")
        if None not in (file.most_bytes, version.size_bytes):
            check_length(file, version, version.size_bytes or 0)
        pairs = zip(version, kept, strict=True)
        fits = all(None in pair or "" in pair or pair[0] == pair[1] for pair in pairs)
        if position and not fits:
            raise ReplacedError
        yield position, data, version
        yield from answer


def most_bytes(file: RemotePath, version: Version) -> int:
    """Return how long a file may be."""
    return file.size_bytes or file.most_bytes or version.size_bytes or urls.MOST_BYTES


def check_length(file: RemotePath, version: Version, num_bytes: int) -> None:
    """Refuse a file that is longer than it may be.

    Raises:
        DataError: It has this many bytes or more.
    """
    if file.size_bytes is not None and num_bytes > file.size_bytes:
        raise _wrong_size(file, f"more than {file.size_bytes:,}")
    if num_bytes > most_bytes(file, version):
        raise DataError(
            f"{file.shown} does not end after {most_bytes(file, version):,} bytes",
            "no such file is that long: check what the server sends under this address",
        )


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error, whichever library raised it."""
    if type(error) is OSError and error.__cause__ is not None:  # s3fs
        response = getattr(error.__cause__, "response", None) or {}
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None


def _wrong_size(file: RemotePath, found: str) -> DataError:
    return DataError(
        f"{file.shown} has {found} bytes, its manifest says {file.size_bytes:,}",
        "put the shard and its manifest there again, both of the same run of places pack",
    )


def _from_store(file: RemotePath, position: int) -> Generator[Part, None, None]:
    # Where the size is known, a checksum is as well: one request less for each shard.
    version = _stored_version(file) if file.size_bytes is None else Version(file.size_bytes)
    yield position, b"", version
    size_bytes, range_bytes = version.size_bytes or 0, min(FIRST_RANGE_BYTES, RANGE_BYTES)
    while position < size_bytes:
        end, start_s = min(position + range_bytes, size_bytes), time.monotonic()
        try:
            data: bytes = file.files.cat_file(file.url, start=position, end=end)
        except Exception as error:
            if status_of(error) != 416:
                raise
            data = b""
        if len(data) != end - position:
            raise ReplacedError if version.tag else _wrong_size(file, f"fewer than {end:,}")
        if time.monotonic() - start_s < PART_S:
            range_bytes = min(2 * range_bytes, RANGE_BYTES)
        yield position, data, version
        position = end
    if version.tag and _stored_version(file) != version:
        raise ReplacedError


def _stored_version(file: RemotePath) -> Version:
    info = file.files.info(file.url)
    tags = (info.get(name) for name in ("ETag", "etag", "LastModified", "mtime"))
    return Version(info["size"], str(next(filter(None, tags), "")))


def _from_server(file: RemotePath, start: int, tag: str) -> Generator[Part, None, None]:
    from fsspec.asyn import sync  # type: ignore[import-untyped]  # ships no type information

    loop = file.files.loop
    response, data = sync(loop, _get, file, start, tag)
    try:
        position, version = _extent(response)
        if response.status == 416:
            if version.size_bytes not in (None, start):
                raise ReplacedError
            position, version = start, Version(version.size_bytes, tag)  # nothing is left to send
        elif position not in (0, start):
            raise OSError(f"asked for bytes from {start:,} on, got those from {position:,} on")
        yield position, b"", version
        while data:
            yield position, data, version
            position += len(data)
            data = sync(loop, _receive, response)
        if version.size_bytes not in (None, position):
            raise ConnectionError(f"the connection ended at byte {position:,}")
    finally:  # a response that nobody reads to its end holds its connection
        loop.call_soon_threadsafe(response.close)


async def _get(file: RemotePath, start: int, tag: str) -> tuple[Any, bytes]:
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if tag:
            headers["If-Range"] = tag  # a server with another file sends all of that
    limit_s = min(urls.SILENCE_S, file.timeout_s)
    try:
        async with asyncio.timeout(limit_s):  # aiohttp's limits begin anew with each byte
            response = await _follow(file, headers)
    except TimeoutError:  # fsspec would take away its text
        raise ConnectionError(f"no answer within {limit_s:g} s") from None
    try:
        if response.status == 416:
            return response, b""
        response.raise_for_status()
        if response.status not in (200, 206):
            raise _unfit(file, f"the server answers {response.status}, which is no file")
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() not in ("identity", ""):
            raise _unfit(
                file, f"the server sends it packed ({encoding[:40]}), which was not asked for"
            )
        # At once: when the connection breaks, aiohttp drops what nobody has taken yet.
        return response, await _receive(response)
    except BaseException:
        response.close()
        raise


async def _follow(file: RemotePath, headers: dict[str, str]) -> Any:  # noqa: ANN401
    """Return the response at the end of all redirections.

    Each address gets only what ~/.netrc has for its own host, and never without encryption after a
    server with it.
    """
    from yarl import URL

    session = await file.files.set_session()
    url = file.files.encode_url(file.url)
    for _ in range(MOST_REDIRECTS + 1):
        response = await session.get(url, headers=headers, allow_redirects=False)
        place = response.headers.get("Location", "")
        if response.status not in (301, 302, 303, 307, 308) or not place:
            return response
        response.close()
        try:
            target = url.join(URL(place))
        except ValueError:
            raise _unfit(file, "the server redirects to what is no address") from None
        is_open = url.scheme == "https" and target.scheme != "https"
        if is_open or target.scheme not in ("http", "https") or not target.host:
            raise _unfit(file, f"the server redirects from {url.scheme} to {target.scheme[:40]}")
        if target.origin() == url.origin() and target.user is None:
            target = target.with_user(url.user).with_password(url.password)
        url = target
    raise _unfit(file, f"the server redirects more than {MOST_REDIRECTS} times")


def _unfit(file: RemotePath, reason: str) -> AnswerError:
    return AnswerError(f"cannot read {file.shown}: {reason}", "check the address and its server")


async def _receive(response: Any) -> bytes:  # noqa: ANN401  # of aiohttp, imported on demand
    data, end_s = bytearray(), time.monotonic() + PART_S
    try:
        while len(data) < PART_BYTES and (arrived := await response.content.readany()):
            data += arrived
            if time.monotonic() > end_s:
                break
    except BaseException:
        response.close()
        if not data:  # else the next call raises it again
            raise
    return bytes(data)


def _extent(response: Any) -> tuple[int, Version]:  # noqa: ANN401
    """Return the first byte that a server sends, and the version if it tells that."""
    headers, begin = response.headers, None
    if response.status in (206, 416):
        pattern = r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)"
        found = re.fullmatch(pattern, headers.get("Content-Range", ""))
        begin, size = found.groups() if found else (None, None)
    else:
        size = headers.get("Content-Length")
    tag = headers.get("ETag", "W/")
    if tag.startswith("W/"):  # a weak ETag does not promise equal bytes
        tag = headers.get("Last-Modified", "")
    return int(begin or 0), Version(int(size) if size else None, tag)
