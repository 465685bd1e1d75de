"""From the records of a gallery to its page, a part at a time."""

import base64
import collections
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from places.categories import load_categories, load_settings
from places.console import Counter, printable, progress
from places.files import written_whole
from places.reports.gallery.record_file import RecordFile
from places.reports.gallery.sheets import NUM_COLUMNS, NUM_TILES, THUMBNAIL_SIZE, sheets, tile_size
from places.reports.html_page import page_parts

_FOLDER = Path(__file__).parent
_MANY = 2_500  # above as many pictures the tiles are smaller: the page would have 50 MB
_SMALL_TILE = 128


@dataclass(frozen=True)
class Facts:
    """What a page says about the run.

    Attributes:
        network: Name of the network.
        checkpoint: Where its weights come from.
        table: The table of the same rows.
    """

    network: str = ""
    checkpoint: str = ""
    table: Path | None = None


@dataclass
class _Rows:
    """What the page shows, and how many pictures there were in all."""

    shown: list[list[Any]]
    counts: collections.Counter[str]
    num_tiles: int = 0
    first_thumbnail: bytes = b""
    grid_shape: list[int] | None = None


def write_page(path: Path, records: RecordFile, facts: Facts) -> tuple[int, int, int]:
    """Write a page as a whole or not at all.

    Args:
        path: The page.
        records: Of each picture what `Gallery` keeps of it.
        facts: What the page says about the run.

    Returns:
        The numbers of pictures, of those without an answer, and of those on the page.

    Raises:
        StorageError: The system refuses to read or to write.
    """
    rows = _collect(records, path.parent)
    size = tile_size(rows.first_thumbnail, _tile_limit(rows)) if rows.num_tiles else 0
    context: dict[str, Any] = {
        "facts": _texts(facts, path.parent),
        "counts": rows.counts,
        "num_shown": len(rows.shown),
        "rows": rows.shown,
        "page_data": {
            "categories": load_categories(),
            "indoor": [int(setting == "indoor") for setting in load_settings()],
            "tile": size,
            "columns": NUM_COLUMNS,
            "grid": rows.grid_shape,
        },
    }
    with progress(path.name, rows.num_tiles, "pictures") as counter:
        context["sheets"] = _sheets(records, size, counter, rows.num_tiles)
        with written_whole(path) as partial, partial.open("w", encoding="utf-8") as file:
            for text in _template(context):
                file.write(text)
    return rows.counts["all"], rows.counts["error"], len(rows.shown)


def _sheets(records: RecordFile, size: int, counter: Counter, num: int) -> Iterator[str]:
    """Yield the sheets as base64, as they are made."""
    jpegs = (record.data for record in records if record.data)
    for sheet in sheets(jpegs, size):
        counter.advance(min(NUM_TILES, num))  # the last one has less
        num -= NUM_TILES
        yield base64.b64encode(sheet).decode()


def _tile_limit(rows: _Rows) -> int:
    return THUMBNAIL_SIZE if rows.num_tiles <= _MANY else _SMALL_TILE


def _collect(records: RecordFile, folder: Path) -> _Rows:
    rows = _Rows([], collections.Counter())
    for fields, data in records:
        if "lost" in fields:
            rows.counts["lost"] += 1
            continue
        rows.counts["all"] += 1
        rows.counts["error"] += "error" in fields
        if "path" not in fields:
            continue
        about = [printable(fields["path"]), link_to(fields["path"], folder), *fields["size"]]
        if "error" in fields:
            rows.shown.append([*about, printable(fields["error"])])
            continue
        tile = -1
        if data:
            rows.first_thumbnail = rows.first_thumbnail or data
            tile, rows.num_tiles = rows.num_tiles, rows.num_tiles + 1
        rows.grid_shape = rows.grid_shape or fields.get("shape")
        grid = fields["grid"] if fields.get("shape") == rows.grid_shape is not None else ""
        answer = [fields[name] for name in ("indoor", "labels", "probabilities")]
        label = fields.get("label")
        rows.counts["labelled"] += label is not None
        rows.counts["right"] += label == fields["labels"][0]
        rows.shown.append([*about, *answer, tile, grid, *([] if label is None else [label])])
    return rows


def link_to(path: str, folder: Path) -> str:
    """Return the address of a file as a page in a folder has to write it; "" if there is none.

    Args:
        path: Where a picture comes from. A file on this disk gets a relative address, so that page
            and pictures can be moved together; a picture of the web its own.
        folder: Where the page is.
    """
    if path.startswith(("http://", "https://")):
        return quote(path, safe="/:?&=%#+,;@~!$*'()[]", errors="surrogateescape")
    try:
        if not path or not os.path.isfile(path):  # noqa: PTH113 - Path raises at NUL on Python 3.11
            return ""
        # With a dot, or a file called "javascript:x" would be a program.
        relative = os.path.relpath(path, folder)
    except (OSError, ValueError):
        return ""
    return "./" + quote(os.fsencode(relative))


def _texts(facts: Facts, folder: Path) -> dict[str, str]:
    now = datetime.now().astimezone()
    table = facts.table
    return {
        "network": printable(facts.network),
        "checkpoint": printable(facts.checkpoint),
        "table": "" if table is None else "./" + quote(os.fsencode(os.path.relpath(table, folder))),
        "table_name": "" if table is None else printable(table.name),
        "date": f"{now.day} {now:%B %Y, %H:%M}",
        "time": now.isoformat(timespec="seconds"),
    }


def _template(context: dict[str, Any]) -> Iterator[str]:
    environment, parts = page_parts(_FOLDER)
    return environment.get_template("page.html").generate(**context, **parts)
