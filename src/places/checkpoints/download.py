"""`--ckpt_path URL`: the file behind it, brought to this machine."""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from places.config.secrets import without_credentials
from places.data.remote.download import fetch_file
from places.data.remote.failures import MissingFileError, TooSlowError
from places.data.remote.urls import TIMEOUT_S, is_url, open_url
from places.errors import CheckpointError, DataError

WHOLE_URL = "PLACES_CKPT_URL"
"""The variable in the environment with the whole URL of a checkpoint, signature and all."""

_FLAG = "--ckpt_path"


def without_signature(words: Sequence[str]) -> list[str]:
    """Take user, password and query of `--ckpt_path URL` from a command line into the environment.

    So nothing that saves or shows the command line or the config can tell them. The processes that
    Lightning starts with `sys.argv` find them there, too.

    Returns:
        The command line without them.
    """
    kept = list(words)
    for number, word in enumerate(words):
        flag, equals, url = word.partition("=")
        is_value = number > 0 and words[number - 1] == _FLAG
        url = word if is_value else url if flag == _FLAG else ""
        shown = without_credentials(url)
        if is_url(url) and shown != url:
            os.environ[WHOLE_URL] = url
            kept[number] = f"{flag}={shown}" if equals and not is_value else shown
            sys.argv[:] = [kept[number] if argument == word else argument for argument in sys.argv]
    return kept


def fetch_checkpoint(url: str, folder: Path, timeout_s: float | None = None) -> Path:
    """Fetch a checkpoint and return its file, whose name is the same for each process.

    It is fetched each time: there may be another file behind the URL by now.

    Args:
        url: Where it is: https://, s3://, gs://. What signs it may be in the environment, see
            `without_signature`.
        folder: Where it goes.
        timeout_s: How long to be patient, see `Patience`; `None` if there is no option for it.

    Raises:
        CheckpointError: It cannot be fetched.
        ConfigError: No such URL can be read, or a package is missing for it.
    """
    whole = os.environ.get(WHOLE_URL, "")
    if without_credentials(whole) == without_credentials(url):
        url = whole
    remote = open_url(url, "ckpt_path", TIMEOUT_S if timeout_s is None else timeout_s)
    name = PurePosixPath(urlsplit(url).path).name
    # Slow on purpose: the name must not tell a password to those who try many.
    key = hashlib.pbkdf2_hmac("sha256", url.encode(), b"places", 100_000).hex()
    path = folder / f"{key[:16]}-{name}"
    try:
        fetch_file(remote, path)
    except DataError as error:
        is_said = isinstance(error, MissingFileError) or error.message.endswith(remote.shown)
        reason, hint = [] if is_said else [error.message], error.hint
        if isinstance(error, TooSlowError) and timeout_s is None:
            hint = ("fetch it by other means, and give the file:  --ckpt_path FILE",)
        raise CheckpointError(f"cannot fetch checkpoint {remote.shown}", *reason, *hint) from error
    return path
