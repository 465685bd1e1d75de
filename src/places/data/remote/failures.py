"""What went wrong with a file behind a URL, in words that show no credentials."""

import socket
import ssl

from places.config.secrets import without_secrets
from places.console import printable
from places.data.remote.answers import AnswerError, ReplacedError, status_of
from places.data.remote.patience import SLOWEST_BYTES_PER_S, Patience
from places.data.remote.urls import RemotePath
from places.errors import DataError, StorageError

_LONGEST_REASON = 160  # characters: servers choose their words
_PASSING_STATUSES = {408, 425, 429}  # of those from 400 to 499; the others stay as they are


class MissingFileError(DataError):
    """There is no file behind a URL."""


class RefusedError(AnswerError):
    """The server does not give a file to this user."""


class TooSlowError(StorageError):
    """A server takes too long to send a file, or does not answer at all; see `Patience`."""


class StoppedError(StorageError):
    """A file was not fetched to its end, because nobody waits for it any more."""


def failure_of(
    remote: RemotePath, error: BaseException, num_tries: int, most_tries: int
) -> BaseException | None:
    """Return with what to end after a failed try, or `None` if another one may help."""
    if not isinstance(error, Exception) or isinstance(error, DataError):
        return error
    shown, reason, status = remote.shown, reason_of(remote, error), status_of(error)
    if isinstance(error, FileNotFoundError) or status == 404:
        return MissingFileError(
            f"{shown} does not exist", "not found (404): check the address, or upload the file"
        )
    denied = isinstance(error, PermissionError) or type(error).__name__ == "NoCredentialsError"
    if denied or status in (401, 403):
        return RefusedError(
            f"no permission to read {shown}",
            f"the answer:  {reason}",
            "check the address and the credentials; some stores refuse missing files like this",
        )
    if advice := _advice(error):
        return StorageError(f"cannot read {shown}: {reason}", advice)
    may_pass = status is None or not 400 <= status < 500 or status in _PASSING_STATUSES
    if may_pass and not isinstance(error, ImportError) and num_tries < most_tries:
        return None
    kind = StorageError if may_pass else AnswerError
    return kind(
        f"cannot read {shown}",
        f"after {num_tries} {'try' if num_tries == 1 else 'tries'}:  {reason}",
        "start again when the server answers: what has arrived is kept",
    )


def too_slow(remote: RemotePath, patience: Patience, reason: str) -> TooSlowError:
    """Return the error that a transfer takes too long; `reason` is that of the last failed try."""
    arrived = f"{patience.num_bytes:,} bytes arrived in {patience.took_s:.0f} s"
    return TooSlowError(
        f"{remote.shown} takes too long: {arrived}{f', {reason}' if reason else ''}",
        f"`timeout_s` {patience.timeout_s:g} lets a server be silent that long, or send "
        f"{SLOWEST_BYTES_PER_S:,} bytes per second",
        f"more patience:  `timeout_s` {5 * patience.timeout_s:g}      what has arrived is kept",
    )


def _advice(error: Exception) -> str:
    """Return what to look at after an error that no other try will mend; else an empty string."""
    if isinstance(error, ssl.SSLError):
        return "check the address, this machine's clock and its certificates (SSL_CERT_FILE)"
    reason = getattr(error, "os_error", None)  # of aiohttp
    if isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME:
        return "no such host: check the address"
    return ""


def reason_of(remote: RemotePath, error: BaseException) -> str:
    """Return kind and text of an error, printable, short and without the secrets of the URL."""
    if isinstance(error, ReplacedError):
        return "the file was replaced while it was fetched"
    text = printable(without_secrets(str(error), remote.url))
    if len(text) > _LONGEST_REASON:
        text = f"{text[:_LONGEST_REASON]}..."
    status = status_of(error)
    kind = type(error).__name__ + (f" {status}" if status and str(status) not in text else "")
    return f"{kind}: {text}" if text else kind
