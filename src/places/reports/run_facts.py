"""What the folder of a run tells, read as data with bounds: `read_run`.

The page of a run and the reports for Weights & Biases are made of it. The folder may be that of a
run that goes on, that was killed, or that somebody changed: what cannot be read is left out, and
`notes` says so.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from places.config.recipes import read_config
from places.config.secrets import masked
from places.console import printable
from places.errors import DataError, PlacesError
from places.files import read_json
from places.reports.metric_curves import Curves, read_curves
from places.reports.picture_table import PictureTable, read_pictures
from places.reports.result_schema import PICTURES
from places.reports.run_file import RUN_FILE, number_table, text_table
from places.reports.run_list import State, describe, written_at

RESULT = "result.json"
VALIDATION = "validation.json"
_MAX_BYTES = 1 << 25
_MAX_CHARACTERS = 2000
_MAX_ENTRIES = 500  # of a list
_T = TypeVar("_T")


@dataclass(frozen=True)
class RunFacts:
    """What the files in the folder of a run tell.

    All texts are safe for a terminal, none is safe for HTML: a template has to escape them.

    Attributes:
        folder: The folder.
        recipe: Name of the recipe.
        number: Number of the run; `None` where the folder has another name.
        stage: What ran: fit, validate, test or predict; an empty string if nothing tells.
        state: Whether it goes on, is complete, failed or was interrupted.
        progress: How far it came, in words.
        started: When it started, UTC, ISO 8601 to the second.
        ended: When it ended; `None` if nothing tells.
        command: The words of the command line, empty where it was not recorded.
        config: The resolved config without secrets; `None` if there is none that can be read.
        changes: What differs from the recipe, or of a test from the checkpoint: (key, before, now)
            as texts. `None` where it was not recorded.
        recipes: (path, SHA-256) of the recipes that were given.
        curves: For each metric its (step, value) pairs by step, finite ones only.
        epochs: (step, epoch) pairs by step.
        result: The content of `result.json`; `None` if there is none.
        validation: Scores of the last validation of a training, in the form of a result;
            `None` if there are none.
        pictures: What was said about each picture of a test; `None` if nothing tells.
        times_s: Seconds by part: "waiting", "forward", "backward", "optimizer", "validation",
            "checkpoints", "other"; what was not measured is absent.
        memory_bytes: Peaks by place: "host", "device".
        versions: Of Python and packages.
        hardware: What it ran on, by name.
        code: "revision" and "source_sha256".
        data: "root", and digests of manifests by split.
        size_bytes: Of all files of the run.
        best_top1: The best top-1 accuracy in 0..1; `None` without any.
        notes: What could not be read, a sentence each.
    """

    folder: Path
    recipe: str
    number: int | None
    stage: str
    state: State
    progress: str
    started: str
    ended: str | None = None
    command: tuple[str, ...] = ()
    config: dict[str, Any] | None = None
    changes: tuple[tuple[str, str, str], ...] | None = None
    recipes: tuple[tuple[str, str], ...] = ()
    curves: Curves = field(default_factory=dict)
    epochs: list[tuple[int, int]] = field(default_factory=list)
    result: dict[str, Any] | None = None
    validation: dict[str, Any] | None = None
    pictures: PictureTable | None = None
    times_s: dict[str, float] = field(default_factory=dict)
    memory_bytes: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    size_bytes: int = 0
    best_top1: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its recipe and number, as `places runs` lists it."""
        return printable("/".join(self.folder.absolute().parts[-2:]))


def read_run(folder: Path) -> RunFacts:
    """Return what the files in the folder of a run tell, whatever is in them.

    Args:
        folder: The folder, such as runs/demo/0.

    Raises:
        DataError: There is no such folder, or nothing of a run in it.
    """
    if not folder.is_dir():
        raise DataError(f"no run at {folder}", "list those that there are:  places runs")
    reading = _Reading(folder)
    record = reading.part(RUN_FILE, _read_object) or {}
    config = reading.part("config.yaml", read_config)
    curves, epochs = reading.part("metrics.csv", _read_metrics(reading)) or ({}, [])
    result = reading.part(RESULT, _read_object)
    pictures = reading.part(PICTURES, read_pictures) if result else None
    if pictures is not None and result and not _is_told(result.get("pictures"), folder):
        reading.notes.append(f"{PICTURES} is not the one that {RESULT} tells of")
        pictures = None
    validation = reading.part(VALIDATION, _read_object)
    run = describe(folder)
    if not (run.stage or record or config or curves or result):
        raise DataError(f"{folder} is not the folder of a run", "list the runs:  places runs")
    stage = run.stage or _text(record.get("stage"))
    recipe, number = folder.absolute().parts[-2:]
    about = result or {}
    return RunFacts(
        folder=folder,
        recipe=printable(recipe),
        number=int(number) if number.isdecimal() and number.isascii() else None,
        stage=stage,
        state=run.state,
        progress=run.outcome,
        started=_text(record.get("started")) or written_at(folder).isoformat(timespec="seconds"),
        ended=_text(record.get("ended")) or None,
        command=tuple(map(_text, _list(record.get("command")))),
        config=None if config is None else masked(config),
        changes=_changes(record.get("changes")),
        recipes=tuple((_text(a), _text(b)) for a, b in _tuples(record.get("recipes"), 2)),
        curves=curves,
        epochs=epochs,
        result=result,
        validation=validation,
        pictures=pictures,
        times_s=number_table(record.get("times_s")),
        memory_bytes=number_table(record.get("memory_bytes")),
        versions=text_table(about.get("versions") or record.get("versions")),
        hardware=text_table(about.get("hardware") or record.get("hardware")),
        code=text_table(about.get("code") or record.get("code")),
        data=text_table(record.get("data")),
        size_bytes=run.size_bytes,
        best_top1=run.score,
        notes=tuple(reading.notes),
    )


class _Reading:
    """Reads the files of a folder, and notes which cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.notes: list[str] = []
        self._folder = folder

    def part(self, name: str, read: Callable[[Path], _T]) -> _T | None:
        """Return what is read of a file; `None` if it is not there or cannot be read."""
        path = self._folder / name
        try:
            if path.is_symlink():  # it may lead to what is none of the reader's business
                self.notes.append(f"{name} is a link and was not followed")
            elif path.is_file():
                return read(path)
            elif path.exists():
                self.notes.append(f"{name} is not a file")
        except (PlacesError, ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
            reason = printable(str(error).partition("\n")[0])[:120] or type(error).__name__
            self.notes.append(f"{name} cannot be read: {reason}")
        return None


def _read_metrics(reading: _Reading) -> Callable[[Path], tuple[Curves, list[tuple[int, int]]]]:
    def read(path: Path) -> tuple[Curves, list[tuple[int, int]]]:
        curves, epochs, notes = read_curves(path)
        reading.notes += notes
        return curves, epochs

    return read


def _read_object(path: Path) -> dict[str, Any]:
    content = read_json(path, _MAX_BYTES)
    if not isinstance(content, dict):
        raise ValueError("it is no object of JSON")
    return content


def _is_told(record: object, folder: Path) -> bool:
    with (folder / PICTURES).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return isinstance(record, dict) and record.get("sha256") == digest


def _changes(found: object) -> tuple[tuple[str, str, str], ...] | None:
    if not isinstance(found, list):
        return None
    return tuple((_text(a), _text(b), _text(c)) for a, b, c in _tuples(found, 3))


def _tuples(found: object, size: int) -> list[list[Any]]:
    return [row for row in _list(found) if isinstance(row, list) and len(row) == size]


def _list(found: object) -> list[Any]:
    return found[:_MAX_ENTRIES] if isinstance(found, list) else []


def _text(found: object) -> str:
    return printable(found)[:_MAX_CHARACTERS] if isinstance(found, str) else ""
