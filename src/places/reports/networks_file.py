"""The file of `places bench networks`: written, and read as a file of somebody else.

Imports nothing heavy. Its form is that of `networks.schema.json`.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from places.console import printable
from places.errors import DataError
from places.files import read_json, write_text

FORMAT = "places.networks"
VERSION = 1
SCHEMA = Path(__file__).with_name("networks.schema.json")
_MAX_BYTES = 1 << 24
_MAX_ROWS = 20_000
_AGAIN = "measure it again:  places bench networks --file networks.json"
_QUARTILES = ("median", "lower", "upper")
_PERCENTILES = ("p50", "p95", "p99")


def write_networks(path: Path, content: Mapping[str, Any]) -> None:
    """Write what was measured.

    Raises:
        StorageError: The system refuses.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_networks(path: Path) -> dict[str, Any]:
    """Return what `places bench networks --file` wrote.

    Raises:
        DataError: There is no such file, it is something else, or damaged.
    """
    if not path.exists():
        raise DataError(f"no measurements at {path}", "make them:  places bench networks --file F")
    try:
        content = read_json(path, _MAX_BYTES)
    except ValueError as error:
        raise DataError(f"{path} is no JSON", printable(str(error))[:80]) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path} was not written by places bench networks", _AGAIN)
    if content.get("version") != VERSION:
        version = printable(str(content.get("version")))[:20]
        raise DataError(f"{path} has version {version}, this program reads {VERSION}", _AGAIN)
    try:
        _check(content)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = printable(f"{type(error).__name__}: {error}")[:80]
        raise DataError(f"{path} is damaged: {reason}", _AGAIN) from error
    return content


def _check(content: Mapping[str, Any]) -> None:
    """Look at all that is shown later.

    Raises:
        ValueError: Something is not what it should be.
        LookupError: Something is missing.
    """
    _check_head(content)
    for rows in (content["networks"], content["rows"]):
        if not isinstance(rows, list) or len(rows) > _MAX_ROWS:
            raise ValueError("no list of rows, or far too many")
    for network in content["networks"]:
        _check_network(network)
    for row in content["rows"]:
        _check_row(row)


def _check_head(content: Mapping[str, Any]) -> None:
    hardware, code, flops_per_s = (
        content["hardware"],
        content["code"],
        content["roofline"]["flops_per_s"],
    )
    texts = [hardware[key] for key in ("device", "cpu", "energy")]
    for value in (*texts, content["created"], content["command"], code["source_sha256"]):
        _text(value)
    _text(code["revision"], may_miss=True)
    for name, version in content["versions"].items():
        _text(name)
        _text(version)
    numbers = [hardware[key] for key in ("num_cores", "num_threads", "load_before")]
    settings = content["settings"]
    numbers += [settings[key] for key in ("image_size", "num_classes", "runs", "turn_s")]
    for value in numbers:
        _number(value)
    roofs = [flops_per_s["float32"], *flops_per_s.values(), content["roofline"]["bytes_per_s"]]
    if any(_number(roof) <= 0 for roof in roofs):
        raise ValueError("a roof of nothing")


def _check_network(network: Mapping[str, Any]) -> None:
    _text(network["name"])
    for key in ("parameters", "folded_parameters", "multiply_adds", "folded_multiply_adds"):
        _number(network[key], may_miss=True)
    for key in ("paper", "reason"):
        _text(network[key], may_miss=True)
    for work, layers in network["layers"].items():
        _text(work)
        if _number(layers["batch_size"]) < 1:
            raise ValueError("a batch of nothing")
        for row in layers["rows"]:
            _text(row["kind"])
            _text(row["bound"], may_miss=True)
            for key in ("time_ms", "share", "flops", "bytes"):
                _number(row[key])
            for key in ("flops_per_byte", "share_of_roof"):
                _number(row[key], may_miss=True)


def _check_row(row: Mapping[str, Any]) -> None:
    for key in ("network", "way", "work"):
        _text(row[key])
    _text(row["reason"], may_miss=True)
    for key in ("batch_size", "runs", "batches"):
        _number(row[key])
    for key in ("peak_memory_bytes", "logit_difference"):
        _number(row[key], may_miss=True)
    for key, names in (
        ("images_per_s", _QUARTILES),
        ("latency_ms", _PERCENTILES),
        ("against_eager", _QUARTILES),
        ("joules_per_image", _QUARTILES),
    ):
        for name in names if row[key] is not None else ():
            _number(row[key][name])


def _number(value: object, *, may_miss: bool = False) -> float:
    if value is None and may_miss:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{value!r:.40} is no number of 0 or more")
    return float(value)


def _text(value: object, *, may_miss: bool = False) -> None:
    if not (isinstance(value, str) or (value is None and may_miss)):
        raise ValueError(f"{value!r:.40} is no text")
