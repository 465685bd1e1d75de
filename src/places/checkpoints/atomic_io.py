"""Files of checkpoints: written whole or not at all."""

import contextlib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from places.endings.family import is_alive
from places.files import written_whole

# A temporary file of another machine is only known to be left over when nobody wrote to it lately.
_STRAY_AGE_S = 3600.0


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint so that under its name there is always a whole one.

    The file is written under a temporary name in the same folder, brought to the disk and then
    renamed. Lightning's own way goes through the folder of temporary files, which on a cluster is
    another file system: there renaming is copying, and a kill leaves half a file.

    Reading never runs code from the file, wherever it lies.
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any = None,  # noqa: ANN401  # Lightning's type
    ) -> None:
        """Write a checkpoint; on remote storage as Lightning does, which is whole there too."""
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        # Given a path instead of a file, torch would write the temporary name into the archive.
        with written_whole(Path(path)) as partial, partial.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = lambda storage, location: storage,
        weights_only: bool | None = True,
    ) -> dict[str, Any]:
        """Read a checkpoint as plain data, whatever `weights_only` says."""
        return super().load_checkpoint(path, map_location, weights_only=True)


def remove_strays(folder: Path) -> None:
    """Remove the temporary files that killed processes left in the folder of a run and below it."""
    for path in folder.rglob(".*.partial"):
        host, _, process = path.name.removesuffix(".partial").rpartition(".")
        with contextlib.suppress(FileNotFoundError):  # it was finished meanwhile
            if host.endswith(f".{socket.gethostname()}") and process.isdecimal():
                is_left_over = not is_alive(int(process))
            else:
                is_left_over = time.time() - path.stat().st_mtime > _STRAY_AGE_S
            if is_left_over:
                path.unlink()
