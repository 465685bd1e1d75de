"""Where runs live: `runs/<recipe>/<number>`, each number taken once."""

import itertools
import re
from contextlib import suppress
from pathlib import Path

from places.errors import CheckpointError, StorageError
from places.files import is_for_use

RUNS = Path("runs")
CONFIG_HEADER = "# places {stage}\n"  # first line of a run's config.yaml
BEST_CHECKPOINT = Path("checkpoints/best.ckpt")
_WRITTEN_AT_START = {"config.yaml", "run.json"}  # before a run has done anything
_RESUME_POINT = re.compile(r"(last|previous|step-\d+)\.ckpt")


def is_resume_point(name: str) -> bool:
    """Tell by the name of a checkpoint whether a run resumes from it exactly."""
    return _RESUME_POINT.fullmatch(name) is not None


def claim_run_folder(root: Path, recipe: str) -> Path:
    """Make and return the folder of a new run, `root/recipe/<number>`.

    The number is one more than the highest so far. Of two processes that start at the same moment
    each gets its own.

    Raises:
        StorageError: No folder can be made there.
    """
    parent = root / recipe
    try:
        parent.mkdir(parents=True, exist_ok=True)
        numbers = [int(path.name) for path in parent.iterdir() if path.name.isdecimal()]
        for number in itertools.count(max(numbers, default=-1) + 1):
            with suppress(FileExistsError):
                (parent / str(number)).mkdir(parents=True)
                is_for_use(parent / str(number))
                break
        return parent / str(number)
    except OSError as error:
        raise StorageError(
            f"no folder for a run can be made in {parent}: {error.strerror}",
            "name one that can be written to:  --trainer.default_root_dir FOLDER",
        ) from error


def remove_refused(folder: Path | None) -> None:
    """Remove the folder of a run that was refused before its first step, unless more lies in it."""
    files = list(folder.iterdir()) if folder and folder.is_dir() else []
    if {file.name for file in files} <= _WRITTEN_AT_START:
        for file in files:
            file.unlink(missing_ok=True)
    remove_unused(folder)


def remove_unused(folder: Path | None) -> None:
    """Remove the folder of a run that wrote nothing, and that of its recipe if it was the first."""
    for unused in () if folder is None else (folder, folder.parent, RUNS):
        try:
            unused.rmdir()  # takes empty folders only
        except OSError:
            return


def find_checkpoint(path: Path) -> Path:
    """Return the checkpoint that a file or a folder of a run stands for: of a folder its best one.

    Raises:
        CheckpointError: There is none; the message names those that there are.
    """
    if path.is_file():
        return path
    if (path / BEST_CHECKPOINT).is_file():
        return path / BEST_CHECKPOINT
    found = sorted(RUNS.glob(f"*/*/{BEST_CHECKPOINT}"), key=lambda file: file.stat().st_mtime)
    first = "train one:  places fit --config demo.yaml"
    hint = f"newest of {RUNS}/:  {found[-1]}" if found else first
    raise CheckpointError(f"no checkpoint at {path}", hint)
