"""Beside a table of predictions: what made it, and whether it is complete.

So the same command goes on where it stopped, and another one does not mix its answers in.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from places.config.recipes import as_typed, flatten
from places.console import counted, printable
from places.errors import ConfigError
from places.files import read_json, storage_error, write_text
from places.reports.line_file import is_locked

FILE_NAME = "predictions.csv"  # of the table, if nothing else is asked for
OTHER_FILE = "name another file:  --predictions.file FILE"
ANEW = "start anew:  --predictions.overwrite true"
WEIGHTS = "weights"
_VERSION = 1
_MAX_BYTES = 2**24
# What changes answers, of classes whose other settings do not; of other classes all settings count.
_SETTINGS = {
    "places.classifier.SceneClassifier": ("net", "num_classes", "use_average", "mean", "std"),
    "places.data.image_files.ImageFiles": (
        *("image_size", "resize_size", "resize_mode", "max_pixels", "exact"),
    ),
    "places.data.places365.Places365": (*("image_size", "resize_size", "resize_mode"),),
    "places.data.WebDataset": (
        *("image_size", "resize_size", "resize_mode", "train_shards", "val_shards", "test_shards"),
    ),
}
# Of the options of what is written.
_FREE = ("file", "overwrite", "gallery")


@dataclass
class PredictionState:
    """What is known of a table.

    Attributes:
        made_by: The settings that change an answer, as they are typed, with their values, and
            under "weights" what the weights are.
        pictures: Which pictures were asked for, in words.
        digest: The digest of the shards that hold them; empty for picture files.
        columns: The names of the columns, or of the fields of JSON.
        complete: Whether there is a row for each picture.
        counts: How many rows there are, and of which kinds; once it is complete.
    """

    made_by: dict[str, Any]
    pictures: Any = None
    digest: str = ""
    columns: list[str] = field(default_factory=list)
    complete: bool = False
    counts: dict[str, int] = field(default_factory=dict)

    def write(self, table: Path) -> None:
        """Write it beside a table."""
        content = {"about": f"how {table.name} was made", "version": _VERSION, **asdict(self)}
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2)
        write_text(state_path(table), text + "\n")


def state_path(table: Path) -> Path:
    """Return the file that tells how a table was made."""
    return table.with_name(f"{table.name}.json")


def read_state(table: Path) -> PredictionState | None:
    """Return what is known of a table; `None` if it was not made by `places predict`.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        content = read_json(state_path(table), _MAX_BYTES)
        if content.pop("version") != _VERSION or not content.pop("about"):
            return None
        state = PredictionState(**content)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(f"cannot read {state_path(table)}", error) from error
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return state if isinstance(state.made_by, dict) else None


def predictions_of(config: Mapping[str, Any], weights: Path | None) -> PredictionState:
    """Return what `places predict` will make of a resolved config.

    Args:
        config: As `places config show` has it.
        weights: The checkpoint or the file of weights; `None` for random ones.
    """
    made_by = _answer_settings(config)
    made_by[WEIGHTS] = _describe_weights(weights, config["seed_everything"])
    given = config["data"].get("init_args") or {}
    names = ("images", "null", "root", "predict_split")
    return PredictionState(made_by, {name: given[name] for name in names if name in given})


def _answer_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for key in ("model", "data"):
        kind = config[key]["class_path"]
        given = config[key].get("init_args") or {}
        names = _SETTINGS.get(kind, tuple(given))
        kept = {name: given[name] for name in names if name in given}
        chosen[key] = {"class_path": kind, "init_args": kept}
    trainer, written = config["trainer"], config["predictions"]
    chosen["predictions"] = {name: written[name] for name in written if name not in _FREE}
    chosen["trainer"] = {name: trainer[name] for name in ("precision", "limit_predict_batches")}
    flat = flatten(chosen).items()
    return {f"--{as_typed(key).removesuffix('.class_path')}": value for key, value in flat}


def _describe_weights(file: Path | None, seed: int) -> dict[str, Any]:
    """Return which weights a network has: a file with its SHA-256, or random ones.

    Args:
        file: The checkpoint or the file of weights.
        seed: The seed of random weights.
    """
    if file is None:
        return {"random": seed}
    try:
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise storage_error(f"cannot read {file}", error) from error
    return {"file": str(file), "sha256": digest}


def check_same(table: Path, old: PredictionState, new: PredictionState) -> None:
    """Refuse to go on with a table that other settings, weights or shards made.

    Raises:
        ConfigError: The message names the first one, with its old and its new value.
    """
    changes = [f"{key} {a}, not {b}" for key, a, b in _differences(old.made_by, new.made_by)]
    if old.digest != new.digest:
        changes.append("other pictures")
    if changes:
        more = f", and {counted(len(changes) - 1, 'more change')}" if changes[1:] else ""
        raise ConfigError(
            f"{table} was made with {changes[0]}{more}",
            f"go on as it was made, or {OTHER_FILE}",
            f"or {ANEW}",
        )


def unfinished_run(runs: Path, new: PredictionState) -> Path | None:
    """Return the folder of the newest predictions, if these go on there and nobody writes them.

    Args:
        runs: The folder with the runs of a recipe.
        new: What will be made.
    """
    folders = [path for path in runs.glob("*") if path.name.isdecimal()]
    for folder in sorted(folders, key=lambda path: int(path.name), reverse=True):
        state = read_state(folder / FILE_NAME)
        if state is not None:
            is_ours = state.pictures == new.pictures
            is_ours &= not any(_differences(state.made_by, new.made_by))
            is_free = not state.complete and not is_locked(folder / FILE_NAME)
            return folder if is_ours and is_free else None
    return None


def _differences(
    before: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """Yield what differs, with its old and its new value in words."""
    for key in {**before, **now}:
        old, new = before.get(key), now.get(key)
        if key == WEIGHTS and isinstance(old, dict) and isinstance(new, dict):
            if any(old.get(name) != new.get(name) for name in ("sha256", "random")):
                yield "the weights of", _weights(old), _weights(new)
        elif old != new:
            yield key, _shown(old), _shown(new)


def _weights(found: Mapping[str, Any]) -> str:
    if "random" in found:
        return f"chance with the seed {found['random']}"
    return f"{printable(str(found.get('file')))} ({printable(str(found.get('sha256')))[:8]})"


def _shown(value: object) -> str:
    return printable(value if isinstance(value, str) else json.dumps(value))[:80]
