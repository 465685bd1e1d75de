"""`--ckpt_path URL`: the file behind it, brought to this machine."""

import hashlib
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from places.data.remote.urls import open_folder, without_credentials, without_secrets
from places.errors import CheckpointError
from places.files import written_whole


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
    try:
        with written_whole(path) as partial:
            files.get_file(url, str(partial))
    except Exception as error:
        reason = without_secrets(str(error) or type(error).__name__, url).partition("\n")[0]
        # Not chained: the original may show credentials.
        failure = CheckpointError(f"cannot fetch checkpoint {shown}", reason)
    else:
        return path
    raise failure
