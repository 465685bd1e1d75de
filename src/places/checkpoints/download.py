"""`--ckpt_path URL`: the file behind it, brought to this machine."""

import hashlib
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from places.data.remote.download import fetch_file
from places.data.remote.urls import open_url
from places.errors import CheckpointError, DataError


def fetch_checkpoint(url: str, folder: Path) -> Path:
    """Fetch a checkpoint and return its file, whose name is the same for each process.

    It is fetched each time: there may be another file behind the URL by now.

    Args:
        url: Where it is: https://, s3://, gs://.
        folder: Where it goes.

    Raises:
        CheckpointError: It cannot be fetched.
        ConfigError: No such URL can be read, or a package is missing for it.
    """
    remote = open_url(url, "ckpt_path")
    name = PurePosixPath(urlsplit(url).path).name
    path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{name}"
    try:
        fetch_file(remote, path)
    except DataError as error:
        reason = [] if remote.shown in error.message else [error.message]
        what = f"cannot fetch checkpoint {remote.shown}"
        raise CheckpointError(what, *reason, *error.hint) from error
    return path
