"""`--ckpt_path URL`: the file behind it, brought to this machine."""

import hashlib
import os
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from places.data.remote.urls import open_folder, without_credentials, without_secrets
from places.errors import CheckpointError
from places.files import partial_path


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
    shown = without_credentials(url)
    files = open_folder(url, "ckpt_path").files
    name = PurePosixPath(urlsplit(url).path).name
    path = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        files.get_file(url, str(partial))
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except Exception as error:
        reason = without_secrets(str(error) or type(error).__name__, url).partition("\n")[0]
        # Not chained: the original may show credentials.
        failure = CheckpointError(f"cannot fetch checkpoint {shown}", reason)
    else:
        return path
    finally:
        partial.unlink(missing_ok=True)
    raise failure
