"""What a leaderboard lists: results of `places test`, checked, and published accuracies."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from places.console import counted, printable, time_in_words
from places.errors import DataError
from places.files import read_json
from places.reports.leaderboard.checks import check_result
from places.reports.network_name import network_name
from places.reports.picture_table import read_pictures
from places.reports.result_schema import FORMAT_VERSION, PICTURES
from places.training.intervals import wilson

_PUBLISHED = Path(__file__).with_name("published.csv")
NUM_OFFICIAL = 36_500  # pictures of the official val split
_MAX_BYTES = 1 << 24  # of a result
_PUBLISHED_PROTOCOL = {"crops": 1, "flip": False, "image_size": 224, "resize_size": 256}


@dataclass(frozen=True)
class Entry:
    """A row of a leaderboard.

    Attributes:
        name: What was scored.
        data: On which pictures.
        protocol: How: crops and sizes.
        top1: Top-1 accuracy in 0..1.
        top1_interval: Its 95 % interval.
        top5: Top-5 accuracy in 0..1, if known.
        top5_interval: Its 95 % interval, if that is known.
        source: Where the numbers come from.
        note: What else is to know, such as more data than Places365.
        pictures: File with the scores of each picture, or `None`.
    """

    name: str
    data: str
    protocol: str
    top1: float
    top1_interval: tuple[float, float]
    top5: float | None
    source: str
    note: str = ""
    pictures: Path | None = None
    top5_interval: tuple[float, float] | None = None


def published_entries() -> list[Entry]:
    """Return the published accuracies on the official val split, each with its source.

    Intervals are Wilson's for all pictures of that split; nobody published any.
    """
    with _PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        Entry(
            name=row["network"],
            data=_OFFICIAL,
            protocol=row["protocol"],
            top1=float(row["top1"]) / 100,
            top1_interval=_official_interval(row["top1"]),
            top5=float(row["top5"]) / 100 if row["top5"] else None,
            source=row["source"],
            note=row["training"],
            top5_interval=_official_interval(row["top5"]) if row["top5"] else None,
        )
        for row in rows
    ]


def _official_interval(percent: str) -> tuple[float, float]:
    return wilson(float(percent) / 100 * NUM_OFFICIAL, NUM_OFFICIAL)


_OFFICIAL = f"Places365 val, {NUM_OFFICIAL:,} pictures"


def read_entry(path: Path) -> Entry:
    """Return the row of a result.

    Args:
        path: A `result.json`, or the folder of a run of `places test`.

    Raises:
        DataError: There is none, it is damaged, or does not match the files that it names.
    """
    file = path / "result.json" if path.is_dir() else path
    result = _read(file)
    try:
        check_result(result, file)
        return _entry_of(result, file)
    except (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        reason = printable(f"{type(error).__name__}: {error}")[:80]
        raise DataError(f"{file} is damaged: {reason}", "run the test again") from error


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        raise DataError(f"no result at {file}", "places test writes it; give the folder of its run")
    try:
        result = read_json(file, _MAX_BYTES)
    except ValueError as error:
        raise DataError(f"{file} is no JSON", printable(str(error))[:80]) from error
    if not isinstance(result, dict) or result.get("format") != "places.result":
        raise DataError(f"{file} is no result of places test")
    if result.get("version") != FORMAT_VERSION:
        version = printable(str(result.get("version")))[:20]
        raise DataError(
            f"{file} has version {version}, this program reads {FORMAT_VERSION}",
            "run the test again",
        )
    return result


def _entry_of(result: Mapping[str, Any], file: Path) -> Entry:
    data, protocol = result["data"], result["protocol"]
    scores, low_high, num = result["scores"], result["intervals"]["top1"], result["num_images"]
    is_official = (
        data["variant"] in ("standard", "challenge")
        and data["split"] == "val"
        and data["num_images"] == NUM_OFFICIAL
        and not data["synthetic"]
    )
    kind = "drawn pictures" if data["synthetic"] else "pictures"
    digest = str(data["manifest_digest"])[:8]
    pictures = file.with_name(PICTURES)
    return Entry(
        name=_name_of(result, file),
        data=_OFFICIAL if is_official else f"{data['num_images']:,} {kind}, manifest {digest}",
        protocol=_protocol_in_words(protocol),
        top1=float(scores["top1"]),
        top1_interval=(float(low_high[0]), float(low_high[1])),
        top5=float(scores["top5"]) if "top5" in scores else None,
        source=str(file),
        note=_cost_in_words(result["cost"]),
        pictures=pictures if result["pictures"] and pictures.is_file() else None,
        top5_interval=wilson(round(scores["top5"] * num), num) if "top5" in scores else None,
    )


def _name_of(result: Mapping[str, Any], file: Path) -> str:
    config = result["config"] or {}
    net = ((config.get("model") or {}).get("init_args") or {}).get("net")
    parts = (net.get("class_path"), net.get("init_args")) if isinstance(net, Mapping) else (net,)
    name = network_name(*parts)
    folder = "/".join(file.absolute().parent.parts[-2:])
    return f"{folder}: {name}" if name else folder


def _cost_in_words(cost: Mapping[str, Any]) -> str:
    num, hours = cost["training_images"], cost["training_hours"]
    seen = "" if num is None else f"{counted(num, 'picture')} seen"
    return seen if hours is None else f"{seen} in {time_in_words(3600 * float(hours))}"


def _protocol_in_words(protocol: Mapping[str, Any]) -> str:
    if all(protocol[key] == value for key, value in _PUBLISHED_PROTOCOL.items()) and (
        protocol["resize_mode"] == "short_side" and protocol["precision"] == "32-true"
    ):
        return "1 crop of 224 px from 256"
    crops = f"{int(protocol['crops'])} crop" + "s" * (protocol["crops"] != 1)
    sizes = f"{crops} of {protocol['image_size']} px from {protocol['resize_size']}"
    flip = ", mirrored too" if protocol["flip"] else ""
    return f"{sizes}, {protocol['resize_mode']}, {protocol['precision']}{flip}"


def read_hits(path: Path) -> dict[str, bool]:
    """Return for each picture by its key whether the best guess was right.

    Raises:
        DataError: The file is damaged, or the package that reads it is missing.
    """
    try:
        return read_pictures(path).by_key()
    except DataError as error:
        raise DataError(f"cannot read {path}: {error.message}", *error.hint) from error
