"""Folders behind URLs, read through fsspec; what is shown of a URL holds no credentials."""

import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from places.config.ranges import check_range
from places.config.secrets import without_credentials, without_secrets
from places.errors import ConfigError, StorageError

SILENCE_S = 60.0  # after which a server that sends nothing is asked again
TIMEOUT_S = 120.0  # see `patience.Patience`
TIMEOUT_RANGE_S = 1.0, 1e6
MOST_BYTES = 2**34  # of a file whose size nothing tells

# Those of fsspec that are a storage. Others read URLs in files, in archives or in other URLs, run
# programs, or belong to whatever package is installed; a checkpoint may name any of them.
_STORES = {
    *("http", "https", "file", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "hf"),
    *("sftp", "ssh", "ftp", "smb", "webdav", "hdfs", "webhdfs", "oss", "oci", "lakefs"),
    *("box", "dropbox", "gdrive"),
}
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(://|::)|[Pp][Ii][Pp][Ee]:")


def is_url(root: str) -> bool:
    """Tell whether a data root is a URL instead of a folder."""
    return _URL.match(root) is not None


@dataclass(frozen=True)
class RemotePath:
    """A file or a folder behind a URL."""

    url: str  # with credentials and query if it needs them
    files: Any  # the fsspec file system that reads it
    size_bytes: int | None = None  # that the file must have, if known
    most_bytes: int | None = None  # that it may have
    timeout_s: float = TIMEOUT_S  # see `patience.Patience`

    @property
    def shown(self) -> str:
        """Its URL without credentials and query."""
        return without_credentials(self.url)

    def file(
        self, name: str, size_bytes: int | None = None, most_bytes: int | None = None
    ) -> "RemotePath":
        """Return a file in this folder; the query of an https URL stays at the end."""
        url = f"{self.url.rstrip('/')}/{name}"
        if is_http(self.url):
            parts = urlsplit(self.url)
            url = urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{name}"))
        return replace(self, url=url, size_bytes=size_bytes, most_bytes=most_bytes)


def open_url(url: str, option: str = "`root`", timeout_s: float = TIMEOUT_S) -> RemotePath:
    """Prepare to read what is behind a URL; asks for nothing yet.

    Args:
        url: The URL.
        option: Where it was given.
        timeout_s: How long to be patient with each of its files, see `Patience`.

    Raises:
        ConfigError: No such URL can be read, or a package is missing for it.
        StorageError: Its server does not let anybody in.
    """
    check_range("`timeout_s`", timeout_s, *TIMEOUT_RANGE_S)
    outside_brackets = re.sub(r"\[[^]]*\]", "", url)  # in brackets: an IPv6 address
    if re.match(r"[^:]*://", url) is None or "::" in outside_brackets:
        raise ConfigError(
            f"{option} {url.partition(':')[0]}:... is no single URL",
            "commands and chains of URLs are not run",
            "type:  one URL, such as https://host/places or s3://bucket/places",
        )
    shown, scheme = without_credentials(url), url.partition("://")[0]
    url = f"{scheme.lower()}{url[len(scheme) :]}"  # fsspec knows them in small letters only
    _check_server(url, option, shown)
    if scheme.lower() not in _STORES:
        raise ConfigError(
            f"{option} {shown} cannot be read: {scheme[:40]}:// is no storage",
            f"type one of:  {', '.join(sorted(_STORES))}",
        )
    import fsspec  # type: ignore[import-untyped]  # ships no type information

    try:
        files, _ = fsspec.url_to_fs(url, **_options(url))
    except ImportError as error:
        extra = {"s3": "places[s3]", "gs": "places[gs]"}.get(scheme)
        raise ConfigError(
            f"{option} {shown} needs a package that is not installed: {error}",
            *([f"type:  pip install '{extra}'"] if extra else []),
        ) from error
    except OSError as error:  # some, as of ftp, log in at once
        reason = without_secrets(error.strerror or str(error), url).partition("\n")[0]
        raise StorageError(
            f"{option} {shown} cannot be read: {reason}",
            "see whether the address is right and its server answers",
        ) from error
    except Exception as error:  # whatever a package of others says of a URL that it cannot use
        reason = without_secrets(str(error) or type(error).__name__, url).partition("\n")[0]
        raise ConfigError(f"{option} {shown} cannot be read: {reason}") from error
    return RemotePath(url, files, timeout_s=timeout_s)


def _check_server(url: str, option: str, shown: str) -> None:
    """Refuse a URL that leads to no server, which else would be asked for again and again."""
    try:
        parts = urlsplit(url)
        is_somewhere = bool(parts.port or parts.hostname if is_http(url) else parts.netloc)
    except ValueError as error:  # which would show a password, should there be one in its place
        raise ConfigError(
            f"{option} {shown} cannot be read: its port is no number from 0 to 65535",
            "a slash or an @ in a user or password is written %2F or %40",
        ) from error
    if not is_somewhere and parts.scheme != "file":
        what = "server" if is_http(url) else "bucket"
        raise ConfigError(
            f"{option} {parts.scheme}://... names no {what}",
            f"type the whole of it, such as {parts.scheme}://{what.upper()}/places",
        )


def is_http(url: str) -> bool:
    """Tell whether a URL is one of HTTP, which may have a query."""
    return url.lower().startswith(("http://", "https://"))


def _options(url: str) -> dict[str, Any]:
    """Return what the file system of a URL is made with."""
    if not is_http(url):
        return {}
    import aiohttp

    # By default aiohttp ends each answer after 5 minutes, however well it flows, and waits as long
    # for one that does not.
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=SILENCE_S)
    # The environment tells proxies, ~/.netrc tells users and passwords. Nothing is unpacked: a
    # small answer could fill the memory.
    kwargs = {"timeout": timeout, "trust_env": True, "auto_decompress": False}
    return {"client_kwargs": kwargs}
