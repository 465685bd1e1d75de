"""What `--ckpt_path` stands for; `last` is the newest resume point of a recipe that is whole."""

from collections.abc import Iterator
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from places.checkpoints.atomic_io import remove_strays
from places.checkpoints.contents import read_checkpoint
from places.checkpoints.download import fetch_checkpoint
from places.checkpoints.runs import find_checkpoint, is_resume_point
from places.checkpoints.whole import check_whole
from places.console import say
from places.data.remote.urls import is_url
from places.errors import CheckpointError

LAST = "last"


def choose_checkpoint(
    asked: str | None,
    root: Path,
    recipe: str,
    timeout_s: float | None = None,
    is_resumed: bool = True,
) -> Path | None:
    """Return the file that `--ckpt_path` stands for, or `None` if there is none to load.

    Each process chooses for itself. All of them see the same files: no new one is written before
    all have begun, and `ResumePoints` refuses to resume from different ones.

    Args:
        asked: `last`, a URL, a file or a folder of a run.
        root: Folder of the runs of all recipes.
        recipe: Name of the recipe, or an empty string.
        timeout_s: How long to be patient with a URL, see `fetch_checkpoint`.
        is_resumed: Whether training goes on from it, or begins where there is none.

    Raises:
        CheckpointError: There is no such checkpoint, or it is damaged.
        ConfigError: No such URL can be read, or a package is missing for it.
    """
    if asked == LAST:
        return choose_last(root, recipe, is_resumed)
    if asked and is_url(asked):
        return fetch_checkpoint(asked, root / "downloads", timeout_s)
    return find_checkpoint(Path(asked)) if asked else None


def choose_last(root: Path, recipe: str, is_resumed: bool = True) -> Path | None:
    """Return the file that `--ckpt_path last` stands for, or `None` if training begins.

    Without the name of a recipe it is one of whichever ran last.

    Raises:
        CheckpointError: None of the checkpoints is whole; or there is none, and training does not
            begin.
    """
    runs = _runs(root, recipe)
    for run in runs:
        rank_zero_only(remove_strays)(run)
    chosen = None if not any(map(_checkpoints, runs)) else _newest_whole(runs)
    if chosen is not None:
        what = "resuming from" if is_resumed else "the last checkpoint is"
        say(f"{what} {chosen}, step {read_checkpoint(chosen)['global_step']}")
    elif is_resumed:
        say(f"no checkpoint in {root / recipe} yet: a new run starts")
    else:
        hint = "name a file or a run:  --ckpt_path PATH"
        raise CheckpointError(f"no checkpoint in {root / recipe} yet, so none is the last", hint)
    return chosen


def _newest_whole(runs: list[Path]) -> Path:
    problems: list[str] = []
    for path in _candidates(runs, problems):
        try:
            check_whole(path)
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            say(f"passed over: {problem}")
        return path
    raise CheckpointError("no checkpoint is whole", *"\n".join(problems).splitlines())


def _candidates(runs: list[Path], problems: list[str]) -> Iterator[Path]:
    """Yield what to resume from, the newest first: resume points, then the best of each run.

    A resumed run starts with a copy of the best checkpoint of the run before, which may be much
    older than that run's resume points.
    """
    for of_resume_points in (True, False):
        for run in runs:
            paths = [
                path for path in _checkpoints(run) if is_resume_point(path.name) == of_resume_points
            ]
            yield from _by_age(paths, problems)


def _by_age(paths: list[Path], problems: list[str]) -> list[Path]:
    """Return the readable ones of some checkpoints, the newest first, and add what is wrong."""
    readable = []
    for path in paths:
        try:
            step = read_checkpoint(path)["global_step"]
        except CheckpointError as error:
            problems.append(str(error))
        else:
            is_last = path.stem == LAST  # the same file as `previous` while the next is written
            readable.append((step, path.stat().st_mtime_ns, is_last, path))
    return [path for *_, path in sorted(readable, reverse=True)]


def _runs(root: Path, recipe: str) -> list[Path]:
    """Return the runs of a recipe, the newest first."""
    parents = [root / recipe] if recipe else list(root.glob("*"))
    # Not `root.glob(f"{recipe}/*")`: the name of a recipe may look like a pattern.
    runs = [path for parent in parents for path in parent.glob("*") if path.name.isdecimal()]
    newest = {path.parent: 0 for path in runs}
    for run in runs:
        times = [path.stat().st_mtime_ns for path in _checkpoints(run)]
        newest[run.parent] = max([newest[run.parent], *times])
    return sorted(runs, key=lambda run: (newest[run.parent], int(run.name)), reverse=True)


def _checkpoints(run: Path) -> list[Path]:
    return list(run.glob("checkpoints/*.ckpt"))
