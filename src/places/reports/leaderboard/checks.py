"""Whether a result is what a test wrote: its numbers, its hashes, the files that it names."""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from places.config.config_hash import config_hash
from places.config.recipes import read_config
from places.console import printable
from places.errors import DataError
from places.reports.leaderboard.recount import claims_and_counts
from places.reports.picture_table import read_pictures
from places.reports.result_file import protocol_of
from places.reports.result_schema import PICTURES, in_json
from places.reports.revision import source_digest
from places.training.intervals import wilson
from places.training.views import Views

_TOLERANCE = 1e-9


def check_result(result: Mapping[str, Any], file: Path) -> None:
    """Refuse a result that contradicts itself or the files that it names, as far as these are here.

    Args:
        result: Its content.
        file: Where it lies.

    Raises:
        DataError: See there. What is no result at all raises errors of Python, such as `KeyError`.
    """
    _check_numbers(result, file)
    _check_protocol(result, file)
    _check_hash(result, file)
    _check_files(result, file)
    _check_pictures(result, file)


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
        _compare(name, found, wanted, file, "its categories make it")


def _compare(name: str, found: float, wanted: float, file: Path, says: str) -> None:
    if not abs(found - wanted) <= _TOLERANCE:
        raise DataError(
            f"{file} contradicts itself: {printable(name)[:80]} is {found:.6g}, "
            f"{says} {wanted:.6g}",
            "somebody changed it: run the test again",
        )


def _mean_of(categories: Sequence[Mapping[str, Any]]) -> float:
    shares = [float(row["top1"]) for row in categories if row["num_images"]]
    return sum(shares) / len(shares)


def _check_protocol(result: Mapping[str, Any], file: Path) -> None:
    """Compare how pictures were scored with the settings of the test."""
    config = result["config"]
    if config is None:
        return
    asked = config.get("test") or {}
    views = Views(asked.get("crops", 1), asked.get("flip", False))
    for key, wanted in protocol_of(config, views).items():
        if result["protocol"].get(key) != wanted:
            raise DataError(
                f"{file} contradicts itself: protocol.{key} is "
                f"{printable(str(result['protocol'].get(key)))[:40]}, its config makes it "
                f"{printable(str(wanted))[:40]}",
                "somebody changed it: run the test again",
            )


def _check_hash(result: Mapping[str, Any], file: Path) -> None:
    """Compare the hash of the settings with them, if it is of the code that runs.

    What changes results, and so counts, may be told differently by another version.
    """
    config = result["config"] if result["training"] is None else result["training"]["config"]
    if config is None or result["code"]["source_sha256"] != source_digest():
        return
    if result["config_hash"] != config_hash(config):
        raise DataError(
            f"{file} contradicts itself: its config_hash is not that of its config",
            "somebody changed it: run the test again",
        )


def _check_files(result: Mapping[str, Any], file: Path) -> None:
    """Compare the result with the files that it names, as far as they are here."""
    config = file.with_name("config.yaml")
    if config.is_file() and in_json(read_config(config)) != result["config"]:
        raise DataError(
            f"{file} does not match {config}: another config", "run the test again, change neither"
        )
    pictures = file.with_name(PICTURES)
    if config.is_file() and result["pictures"] is not None and not pictures.is_file():
        raise DataError(
            f"{file} names {pictures}, which is missing",
            "run the test again; a copy of the result alone is listed without it",
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


def _check_pictures(result: Mapping[str, Any], file: Path) -> None:
    """Compare all scores with those that the scores of pictures make, where they can be read."""
    path = file.with_name(PICTURES)
    if result["pictures"] is None or not path.is_file() or find_spec("pyarrow") is None:
        return
    try:
        table = read_pictures(path)
    except DataError as error:
        raise DataError(f"cannot read {path}", error.message) from error
    for name, found, wanted in claims_and_counts(result, table):
        _compare(name, found, wanted, file, f"{PICTURES} makes it")
