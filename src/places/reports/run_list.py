"""`places runs`: what lies in the folder of runs, and how far each run came."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from places.checkpoints.runs import CONFIG_HEADER, RUNS
from places.config.recipes import read_config
from places.console import counted, printable, put
from places.errors import ConfigError, DataError
from places.files import read_json
from places.reports.metric_curves import read_curves

_MAX_BYTES = 1 << 24
_MAX_LINE_BYTES = 1 << 16


@dataclass(frozen=True)
class Run:
    """What the files in the folder of a run tell.

    Attributes:
        run: Its recipe and number.
        stage: What ran: fit, validate, test or predict; an empty string if nothing tells.
        started: When, in UTC, by the time of its config.
        outcome: How far it came.
        score: The best top-1 accuracy in 0..1, if there is any.
        size_bytes: Of all its files.
    """

    run: str
    stage: str
    started: str
    outcome: str
    score: float | None
    size_bytes: int


def runs(root: Path = RUNS, format: Literal["table", "json"] = "table") -> int:
    """List the runs: what they were, how far they came, their best score and size.

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
    table = Table("run", "stage", "started (UTC)", "how far", "best top-1", "size")
    for run in found:
        score = "" if run.score is None else f"{run.score:.2%}"
        cells = (run.run, run.stage, run.started, run.outcome, score, _in_mb(run.size_bytes))
        table.add_row(*map(printable, cells))
    put(table)
    return 0


def describe(folder: Path) -> Run:
    """Return what the files in the folder of a run tell, whatever is in them."""
    config, (top1, last) = folder / "config.yaml", _metrics(folder / "metrics.csv")
    result, predictions = _json(folder / "result.json"), _predictions(folder)
    stage = _stage(config) or _stage_by_files(folder, bool(result), bool(predictions))
    scores = top1
    outcome = "nothing came out"
    if stage == "fit":
        outcome = _training(config, last)
    elif stage == "test" and (result or (folder / "submission.txt").is_file()):
        outcome = "finished"
        scores = [value] if isinstance(value := _part(result, "scores", "top1"), float) else []
    elif stage == "predict" and predictions:
        rows = _part(predictions, "counts", "rows")
        is_complete = predictions.get("complete") is True
        outcome = "stopped; goes on"
        if is_complete and isinstance(rows, int):
            outcome = f"finished, {counted(rows, 'picture')}"
    elif stage == "validate" and scores:
        outcome = "finished"
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    started = datetime.fromtimestamp((config if config.is_file() else folder).stat().st_mtime, UTC)
    return Run(
        run="/".join(folder.parts[-2:]),
        stage=stage,
        started=f"{started:%Y-%m-%d %H:%M}",
        outcome=outcome,
        score=max(scores, default=None),
        size_bytes=sum(path.stat().st_size for path in files),
    )


def _folders(root: Path) -> Iterator[Path]:
    for recipe in sorted(path for path in root.iterdir() if path.is_dir()):
        numbered = [path for path in recipe.iterdir() if path.name.isdecimal() and path.is_dir()]
        yield from sorted(numbered, key=lambda path: int(path.name))


def _stage(config: Path) -> str:
    if not config.is_file():
        return ""
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


def _training(config: Path, last: int) -> str:
    """Say how many epochs of a training have their scores."""
    try:
        settings = read_config(config)
    except (OSError, ConfigError):
        settings = None
    planned = _part(settings, "trainer", "max_epochs")
    if not isinstance(planned, int) or planned < 1:
        return counted(last, "epoch")
    return (
        f"finished, {counted(last, 'epoch')}"
        if last >= planned
        else f"{last:,} of {counted(planned, 'epoch')}"
    )


def _metrics(path: Path) -> tuple[list[float], int]:
    """Return the top-1 accuracies of a table of metrics, and how many epochs have theirs."""
    if not path.is_file():
        return [], 0
    try:
        curves, epochs, _ = read_curves(path)
    except (OSError, ValueError, DataError):
        return [], 0
    scored, epoch_of = curves.get("val/top1", []), dict(epochs)
    last = max((epoch_of[step] + 1 for step, _ in scored if step in epoch_of), default=0)
    return [value for _, value in scored], last


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


def _in_mb(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
