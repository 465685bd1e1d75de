"""Whether the file of a checkpoint is whole: seen before anything in it is used."""

import zipfile
from pathlib import Path

from places.errors import CheckpointError
from places.models.archives import what_is_damaged


def check_whole(path: Path) -> None:
    """Read a checkpoint to its end and compare the checksums and sizes in it.

    Raises:
        CheckpointError: A part of the file is damaged.
    """
    damaged = what_is_damaged(path)
    if damaged is not None:
        raise CheckpointError(f"cannot read checkpoint {path}", damaged)


def check_description(path: Path) -> None:
    """Compare the checksum of what a checkpoint says about its tensors; those are not read.

    Torch does not look at checksums.

    Raises:
        BadZipFile: It is damaged, or one of many other errors.
    """
    if zipfile.is_zipfile(path):  # what PyTorch wrote until 2020 is none
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    archive.read(name)
