"""One request for a file behind a URL: what the server says about it, and its bytes in parts.

Servers of HTTP are asked for all bytes from one on, object stores for one range after the other.
"""

import re
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

from places.data.remote.urls import RemotePath
from places.errors import DataError

PART_BYTES = 2**20
RANGE_BYTES = 2**24  # each range is a request of its own


class ReplacedError(Exception):
    """The bytes that are there already do not belong to the file that is behind the URL now."""


class Version(NamedTuple):
    """Which file is behind a URL now, as far as the server tells.

    Args:
        size_bytes: Its size.
        tag: What changes with every change of the file, such as an ETag.
    """

    size_bytes: int | None = None
    tag: str = ""

    def fits(self, other: "Version") -> bool:
        """Tell whether both may be the same file, by what is known of both."""
        pairs = (self.size_bytes, other.size_bytes), (self.tag, other.tag)
        return all(None in pair or "" in pair or pair[0] == pair[1] for pair in pairs)


Answer = tuple[Version, int, Iterator[bytes]]


def ask(file: RemotePath, start: int = 0, kept: Version | None = None) -> Answer:
    """Ask for a file from one byte on, in one try.

    Args:
        file: The file.
        start: How many bytes of it are there already.
        kept: To which version these belong.

    Returns:
        The version that the server sends, the first byte that it sends (0 if it cannot begin
        elsewhere), and the bytes from there to the end of the file in parts.

    Raises:
        ReplacedError: They belong to another one.
        DataError: The file has not the size that it must have.
        Exception: Whatever the library behind the URL raises.
    """
    kept = kept or Version()
    if file.url.startswith(("http://", "https://")):
        return _ask_server(file, start, kept)
    return _ask_store(file, start, kept)


def status_of(error: Exception) -> int | None:
    """Return the HTTP status of an error, whichever library raised it."""
    if type(error) is OSError and error.__cause__ is not None:  # s3fs
        response = getattr(error.__cause__, "response", None) or {}
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None


def _check(file: RemotePath, version: Version, start: int, kept: Version) -> None:
    """Refuse bytes from `start` on that do not fit those before, or a file of another size."""
    if file.size_bytes not in (None, version.size_bytes or file.size_bytes):
        raise _wrong_size(file, f"{version.size_bytes:,}")
    if start and not version.fits(kept):
        raise ReplacedError


def _wrong_size(file: RemotePath, found: str) -> DataError:
    return DataError(
        f"{file.shown} has {found} bytes, its manifest says {file.size_bytes:,}",
        "put the shard and its manifest there again, both of the same run of places pack",
    )


def _ask_store(file: RemotePath, start: int, kept: Version) -> Answer:
    # Where the size is known, a checksum is as well: one request less for each shard.
    version = _stored_version(file) if file.size_bytes is None else Version(file.size_bytes)
    _check(file, version, start, kept)

    def parts() -> Iterator[bytes]:
        position, size_bytes = start, version.size_bytes or 0
        while position < size_bytes:
            end = min(position + RANGE_BYTES, size_bytes)
            try:
                data: bytes = file.files.cat_file(file.url, start=position, end=end)
            except Exception as error:
                if status_of(error) != 416:
                    raise
                data = b""
            if len(data) != end - position:
                fewer = _wrong_size(file, f"fewer than {end:,}")
                raise ReplacedError if version.tag else fewer
            yield data
            position = end
        if version.tag and _stored_version(file) != version:
            raise ReplacedError

    return version, start, parts()


def _stored_version(file: RemotePath) -> Version:
    info = file.files.info(file.url)
    tags = (info.get(name) for name in ("ETag", "etag", "LastModified", "mtime"))
    return Version(info["size"], str(next(filter(None, tags), "")))


def _ask_server(file: RemotePath, start: int, kept: Version) -> Answer:
    from fsspec.asyn import sync  # type: ignore[import-untyped]  # ships no type information

    loop = file.files.loop
    response, version, begin, first = sync(loop, _get, file, start, kept)

    def parts() -> Iterator[bytes]:
        data = first
        while data:
            yield data
            data = sync(loop, _receive, response)

    # A response that nobody reads to its end holds its connection.
    weakref.finalize(iterator := parts(), loop.call_soon_threadsafe, response.close).atexit = False
    return version, begin, iterator


async def _get(file: RemotePath, start: int, kept: Version) -> tuple[Any, Version, int, bytes]:
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if kept.tag:
            headers["If-Range"] = kept.tag  # a server with another file sends all of that
    session = await file.files.set_session()
    response = await session.get(file.files.encode_url(file.url), headers=headers)
    try:
        begin, size_bytes = _extent(response)
        if response.status == 416 and size_bytes in (None, start):  # nothing is left to send
            response.close()
            return response, Version(start, kept.tag), start, b""
        if response.status == 416:
            raise ReplacedError
        response.raise_for_status()
        if begin not in (0, start):
            raise OSError(f"asked for bytes from {start:,} on, got those from {begin:,} on")
        version = Version(size_bytes, _tag(response))
        _check(file, version, begin, kept)
        # At once: when the connection breaks, aiohttp drops what nobody has taken yet.
        return response, version, begin, await _receive(response)
    except BaseException:
        response.close()
        raise


async def _receive(response: Any) -> bytes:  # noqa: ANN401  # of aiohttp, imported on demand
    data = bytearray()
    try:
        while len(data) < PART_BYTES and (arrived := await response.content.readany()):
            data += arrived
    except Exception:
        if not data:  # else the next call raises it again
            raise
    return bytes(data)


def _extent(response: Any) -> tuple[int, int | None]:  # noqa: ANN401
    """Return the first byte that a server sends, and the size of the file if it tells that."""
    headers = response.headers
    if response.status in (206, 416):
        pattern = r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)"
        found = re.fullmatch(pattern, headers.get("Content-Range", ""))
        begin, size = found.groups() if found else (None, None)
    else:
        begin, size = "0", headers.get("Content-Length")
        if "Content-Encoding" in headers:  # that is the size of other bytes
            size = None
    return int(begin or 0), int(size) if size else None


def _tag(response: Any) -> str:  # noqa: ANN401
    tag: str = response.headers.get("ETag", "W/")
    # A weak ETag does not promise equal bytes.
    return response.headers.get("Last-Modified", "") if tag.startswith("W/") else tag
