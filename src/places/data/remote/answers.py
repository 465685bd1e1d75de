"""One request for a file behind a URL: what the server says about it, and its bytes in parts.

Servers of HTTP are asked for all bytes from one on, object stores for one range after the other.
"""

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from places.data.remote.urls import RemotePath, is_http
from places.errors import DataError

PART_BYTES = 2**20
RANGE_BYTES = 2**24  # each range is a request of its own


class ReplacedError(Exception):
    """The bytes that are there already do not belong to the file that is behind the URL now."""


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
        pairs = zip(version, kept, strict=True)
        fits = all(None in pair or "" in pair or pair[0] == pair[1] for pair in pairs)
        if position and not fits:
            raise ReplacedError
        yield position, data, version
        yield from answer


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
    size_bytes = version.size_bytes or 0
    while position < size_bytes:
        end = min(position + RANGE_BYTES, size_bytes)
        try:
            data: bytes = file.files.cat_file(file.url, start=position, end=end)
        except Exception as error:
            if status_of(error) != 416:
                raise
            data = b""
        if len(data) != end - position:
            raise ReplacedError if version.tag else _wrong_size(file, f"fewer than {end:,}")
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
    session = await file.files.set_session()
    response = await session.get(file.files.encode_url(file.url), headers=headers)
    if response.status == 416:
        return response, b""
    response.raise_for_status()
    # At once: when the connection breaks, aiohttp drops what nobody has taken yet.
    return response, await _receive(response)


async def _receive(response: Any) -> bytes:  # noqa: ANN401  # of aiohttp, imported on demand
    data = bytearray()
    try:
        while len(data) < PART_BYTES and (arrived := await response.content.readany()):
            data += arrived
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
    else:  # of encoded bytes it would be another size
        size = None if "Content-Encoding" in headers else headers.get("Content-Length")
    tag = headers.get("ETag", "W/")
    if tag.startswith("W/"):  # a weak ETag does not promise equal bytes
        tag = headers.get("Last-Modified", "")
    return int(begin or 0), Version(int(size) if size else None, tag)
