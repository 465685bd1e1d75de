"""What a leaderboard lists: results of `places test`, checked, and published accuracies."""

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from places.config.recipes import read_config
from places.console import counted, printable
from places.errors import DataError
from places.files import read_json
from places.reports.network_name import network_name
from places.reports.result_schema import FORMAT_VERSION, PICTURES, in_json
from places.training.intervals import wilson

_PUBLISHED = Path(__file__).with_name("published.csv")
NUM_OFFICIAL = 36_500  # pictures of the official val split
_MAX_BYTES = 1 << 24  # of a result
_TOLERANCE = 1e-9
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
            top1_interval=wilson(float(row["top1"]) / 100 * NUM_OFFICIAL, NUM_OFFICIAL),
            top5=float(row["top5"]) / 100 if row["top5"] else None,
            source=row["source"],
            note=row["training"],
        )
        for row in rows
    ]


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
        _check_numbers(result, file)
        _check_files(result, file)
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


def _check_numbers(result: Mapping[str, Any], file: Path) -> None:
    """Compare the scores with the counts that the result itself holds."""
    num, rows = result["num_images"], result["categories"]
    hits = sum(round((row["top1"] or 0) * row["num_images"]) for row in rows)
    hits5 = sum(round((row["top5"] or 0) * row["num_images"]) for row in rows)
    expected = {
        "num_images": (num, sum(row["num_images"] for row in rows)),
        "data.num_images": (result["data"]["num_images"], num),
        "scores.top1": (result["scores"]["top1"], hits / num),
        "scores.mean_class_accuracy": (result["scores"]["mean_class_accuracy"], _mean_of(rows)),
    }
    if "top5" in result["scores"]:  # as far as a test was asked to report it
        expected["scores.top5"] = (result["scores"]["top5"], hits5 / num)
    for end, found, wanted in zip(
        ("low", "high"), result["intervals"]["top1"], wilson(hits, num), strict=True
    ):
        expected[f"intervals.top1.{end}"] = (found, wanted)
    for name, (found, wanted) in expected.items():
        if not abs(found - wanted) <= _TOLERANCE:
            raise DataError(
                f"{file} contradicts itself: {name} is {found:.6g}, "
                f"its categories make it {wanted:.6g}",
                "somebody changed it: run the test again",
            )


def _mean_of(categories: Sequence[Mapping[str, Any]]) -> float:
    shares = [float(row["top1"]) for row in categories if row["num_images"]]
    return sum(shares) / len(shares)


def _check_files(result: Mapping[str, Any], file: Path) -> None:
    """Compare the result with the files that it names, as far as they are here."""
    config = file.with_name("config.yaml")
    if config.is_file() and in_json(read_config(config)) != result["config"]:
        raise DataError(
            f"{file} does not match {config}: another config", "run the test again, change neither"
        )
    named = {"checkpoint": result["checkpoint"], "pictures": result["pictures"]}
    for key, record in named.items():
        path = _path_of(key, record, file, in_its_run=config.is_file())
        if path is not None and path.is_file():
            with path.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            if digest != record["sha256"]:
                raise DataError(
                    f"{file} does not match {path}: it was written for another {key}",
                    f"SHA-256 in the result:  {printable(str(record['sha256']))[:64]}",
                    f"of the file:            {digest}",
                )


def _path_of(
    key: str, record: Mapping[str, Any] | None, file: Path, in_its_run: bool
) -> Path | None:
    """Return the file that a result names, if that can be told.

    Args:
        key: What kind of file it is.
        record: What the result says of it.
        file: The result.
        in_its_run: Whether it lies in the folder of its run: for others, which were copied, the
            checkpoint's name may lead to another one here.
    """
    if record is None:
        return None
    if key == "pictures":
        return file.with_name(PICTURES)
    path = Path(str(record["path"]))  # only compared, as the user's own file
    return path if in_its_run or path.is_absolute() else None


def _entry_of(result: Mapping[str, Any], file: Path) -> Entry:
    data, protocol = result["data"], result["protocol"]
    scores, low_high = result["scores"], result["intervals"]["top1"]
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
    return seen if hours is None else f"{seen} in {float(hours):.2g} hours"


def _protocol_in_words(protocol: Mapping[str, Any]) -> str:
    if all(protocol[key] == value for key, value in _PUBLISHED_PROTOCOL.items()) and (
        protocol["resize_mode"] == "short_side" and protocol["precision"] == "32-true"
    ):
        return "1 crop of 224 px from 256"
    crops = f"{int(protocol['crops'])} crop" + "s" * (protocol["crops"] != 1)
    sizes = f"{crops} of {protocol['image_size']} px from {protocol['resize_size']}"
    flip = ", mirrored too" if protocol["flip"] else ""
    return f"{sizes}, {protocol['resize_mode']}, {protocol['precision']}{flip}"
