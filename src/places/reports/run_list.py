"""`places runs`: what lies in the folder of runs, and how far each run came."""

import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.table import Table

from places.checkpoints.runs import CONFIG_HEADER, RUNS
from places.config.recipes import read_config
from places.console import counted, printable, put, size_in_words
from places.errors import ConfigError, DataError
from places.files import read_json
from places.reports.metric_curves import read_curves
from places.reports.run_file import RUN_FILE, is_going_on

State = Literal["going on", "complete", "failed", "interrupted"]
_MAX_BYTES = 1 << 24
_MAX_LINE_BYTES = 1 << 16
_MAX_EPOCHS = 10**9  # more of them are no plan
_MAX_TIME_S = 1 << 37  # a file system may hold later ones, a calendar does not


@dataclass(frozen=True)
class Run:
    """What the files in the folder of a run tell.

    Attributes:
        run: Its recipe and number.
        stage: What ran: fit, validate, test or predict; an empty string if nothing tells.
        started: When, in UTC; of earlier versions by the time of its config.
        state: How it ended: complete, failed by an error, interrupted by a signal or killed; or
            that it goes on.
        outcome: How far it came.
        score: The best top-1 accuracy in 0..1, if there is any.
        size_bytes: Of all its files.
    """

    run: str
    stage: str
    started: str
    state: State
    outcome: str
    score: float | None
    size_bytes: int


class _Metrics(NamedTuple):
    """What a table of metrics tells: top-1 accuracies, and epochs with scores and with any."""

    top1: Sequence[float] = ()
    num_scored: int = 0
    num_logged: int = 0


def runs(root: Path = RUNS, format: Literal["table", "json"] = "table") -> int:
    """List the runs: what they were, when, how they ended, their best score and size.

    All is read from their files, so it holds for runs that were killed as well.

    Args:
        root: Folder with runs as recipe/number.
        format: "table" for the terminal, or "json".

    Raises:
        DataError: There is no such folder.
    """
    if not root.is_dir():
        raise DataError(f"no folder of runs at {root}", "train one:  places fit --config demo.yaml")
    found = [describe(folder) for folder in _folders(root)]
    if format == "json":
        put(json.dumps([asdict(run) for run in found], indent=2))
        return 0
    if not found:
        put(f"no run in {root}")
        return 0
    table = Table("run", "stage", "started (UTC)", "how it ended", "best top-1", "size")
    for run in found:
        score = "" if run.score is None else f"{run.score:.2%}"
        size = size_in_words(run.size_bytes)
        cells = (run.run, run.stage, run.started, _ending(run), score, size)
        table.add_row(*map(printable, cells))
    put(table)
    return 0


def describe(folder: Path) -> Run:
    """Return what the files in the folder of a run tell, whatever is in them."""
    config, metrics = folder / "config.yaml", _metrics(folder / "metrics.csv")
    result, predictions = _json(folder / "result.json"), _predictions(folder)
    record = _json(folder / RUN_FILE)
    stage = _stage(config) or _stage_by_files(folder, bool(result), bool(predictions))
    scores, outcome = metrics.top1, "nothing came out"
    if stage == "fit":
        outcome = _training(config, metrics, record)
    elif stage == "test" and (result or (folder / "submission.txt").is_file()):
        outcome = "finished"
        scores = [value] if isinstance(value := _part(result, "scores", "top1"), float) else []
    elif stage == "predict" and predictions:
        rows = _part(predictions, "counts", "rows")
        is_complete = predictions.get("complete") is True
        outcome = "the same command goes on"
        if is_complete and isinstance(rows, int):
            outcome = f"finished, {counted(rows, 'picture')}"
    elif stage == "validate" and scores:
        outcome = "finished"
    return Run(
        run="/".join(folder.parts[-2:]),
        stage=stage,
        started=f"{_started(folder, record):%Y-%m-%d %H:%M}",
        state=_state(stage, outcome, record),
        outcome=outcome,
        score=max(scores, default=None),
        size_bytes=_size_bytes(folder),
    )


def written_at(folder: Path) -> datetime:
    """Return when the config of a run was written; without one, when its folder was."""
    config = folder / "config.yaml"
    seconds = (config if config.is_file() else folder).stat().st_mtime
    return datetime.fromtimestamp(min(max(seconds, 0), _MAX_TIME_S), UTC)


def _size_bytes(folder: Path) -> int:
    size_bytes = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # a run that goes on removes what it has finished with
            found = path.lstat()
            size_bytes += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return size_bytes


def _ending(run: Run) -> str:
    """Return how a run ended and how far it came, in one cell."""
    return run.outcome if run.state == "complete" else f"{run.state}, {run.outcome}"


def _state(stage: str, outcome: str, record: Mapping[str, Any]) -> State:
    told = record.get("outcome")
    if told == "complete" or (stage == "test" and outcome == "finished"):
        return "complete"
    if not record:  # of an earlier version: nothing but its scores tells
        return "complete" if outcome.startswith("finished") else "interrupted"
    if is_going_on(record):
        return "going on"
    return "failed" if told == "failed" else "interrupted"


def _started(folder: Path, record: Mapping[str, Any]) -> datetime:
    try:
        return datetime.fromisoformat(str(record.get("started"))).astimezone(UTC)
    except (ValueError, OverflowError):
        return written_at(folder)


def _folders(root: Path) -> Iterator[Path]:
    for recipe in sorted(path for path in root.iterdir() if path.is_dir()):
        numbered = [path for path in recipe.iterdir() if path.name.isdecimal() and path.is_dir()]
        yield from sorted(numbered, key=lambda path: int(path.name))


def _stage(config: Path) -> str:
    first = ""
    with suppress(OSError):
        if config.is_file():
            with config.open(encoding="utf-8", errors="replace") as file:
                first = file.readline(_MAX_LINE_BYTES)
    stages = ("fit", "validate", "test", "predict")
    # Files of earlier versions do not tell it.
    return next((stage for stage in stages if first == CONFIG_HEADER.format(stage=stage)), "")


def _stage_by_files(folder: Path, has_result: bool, has_predictions: bool) -> str:
    if (folder / "checkpoints").is_dir():
        return "fit"
    if has_result or (folder / "submission.txt").is_file():
        return "test"
    return "predict" if has_predictions else ""


def _training(config: Path, metrics: _Metrics, record: Mapping[str, Any]) -> str:
    """Say how many epochs of a training are done; of one that goes on, how many have scores."""
    try:
        settings = read_config(config)
    except (OSError, ConfigError):
        settings = None
    planned, done = _part(settings, "trainer", "max_epochs"), metrics.num_scored
    is_complete = record.get("outcome") == "complete"
    if is_complete and metrics.num_logged:  # it may have validated less often, or never
        done = max(done, metrics.num_logged)
    is_bounded = isinstance(planned, int) and 1 <= planned <= _MAX_EPOCHS
    if is_complete and not done:
        steps = record.get("num_steps")
        return f"finished, {counted(steps, 'step')}" if isinstance(steps, int) else "finished"
    if not isinstance(planned, int) or not is_bounded:
        return f"finished, {counted(done, 'epoch')}" if is_complete else counted(done, "epoch")
    if done >= planned:
        return f"finished, {counted(done, 'epoch')}"
    far = f"{done:,} of {counted(planned, 'epoch')}"
    return f"finished early, {far}" if is_complete else far


def _metrics(path: Path) -> _Metrics:
    """Return what a table of metrics tells; nothing if it cannot be read."""
    if not path.is_file():
        return _Metrics()
    try:
        curves, epochs, _ = read_curves(path)
    except (OSError, ValueError, DataError):
        return _Metrics()
    scored, epoch_of = curves.get("val/top1", []), dict(epochs)
    return _Metrics(
        [value for _, value in scored],
        max((epoch_of[step] + 1 for step, _ in scored if step in epoch_of), default=0),
        max((epoch + 1 for epoch in epoch_of.values()), default=0),
    )


def _predictions(folder: Path) -> dict[str, Any]:
    return next(filter(None, map(_json, sorted(folder.glob("predictions.*.json")))), {})


def _json(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path, _MAX_BYTES)
    except (OSError, ValueError, DataError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _part(content: object, *way: str) -> object:
    for key in way:
        content = content.get(key) if isinstance(content, dict) else None
    return content
