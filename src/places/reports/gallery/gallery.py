"""The output of `places predict` that becomes a page."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from places.console import counted, say
from places.files import storage_error
from places.reports.gallery.page import Facts, write_page
from places.reports.gallery.record_file import Record, RecordFile
from places.reports.prediction_row import PredictionRow

MAX_PICTURES = 10_000
_UNITS = 1_000_000  # of a probability: the six digits that the table has
_MAX_GRID = 16  # rows and columns of an activation: more cannot be seen on a thumbnail
_NUM_BARS = 5  # categories of a picture; the table has as many as were asked for
_LOST = "lost"


class Gallery:
    """Collects thumbnails and answers beside the page, and writes the page at the end.

    What is collected lies in a file beside the page, `gallery.html.unfinished`, which goes when the
    page is written. A page that cannot be made is said, and ends no run.

    It has to be given rows before the table that counts them: then it never has fewer.

    Args:
        path: The page.
        network: Name of the network.
        checkpoint: Where its weights come from.
        table: The table of the same rows, to which the page leads.
        max_pictures: The page shows so many pictures, the first ones, and besides all that have no
            answer, but no more than so many of these either.
    """

    def __init__(
        self,
        path: Path,
        network: str = "",
        checkpoint: str = "",
        table: Path | None = None,
        max_pictures: int = MAX_PICTURES,
    ) -> None:
        self.page = path
        self._facts = Facts(network, checkpoint, table)
        self._max_pictures = max_pictures
        self._file = RecordFile(path.with_name(f"{path.name}.unfinished"))
        self._num_shown = self._num_errors = self._num_new = self._num_lost = 0
        self._failed = False

    @property
    def wants_pictures(self) -> bool:
        """Whether the next rows should have thumbnails and activations."""
        return not self._failed and self._num_shown < self._max_pictures

    def start(self, num_rows: int) -> None:
        """Begin, or go on after so many rows of an earlier run that was interrupted.

        Rows that this run does not find any more are counted, and the page says how many.
        """
        try:
            num_kept = self._file.cut(num_rows)
            for record in self._file:
                self._count(record.fields)
            for first in range(num_kept, num_rows, 1000):
                num = min(1000, num_rows - first)
                self._file.add([Record({_LOST: 1})] * num)
                self._num_lost += num
        except Exception as error:
            self._fail(error)

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Write the next rows, whole or not at all; those before are kept whatever happens."""
        if self._failed:
            return
        try:
            self._file.add([self._record(row) for row in rows])
            self._num_new += len(rows)
        except Exception as error:
            self._fail(error)

    def finish(self) -> None:
        """Write the page, and remove what was collected for it."""
        if self._failed:
            self._file.path.unlink(missing_ok=True)
            return
        has_rows = self._num_new or self._num_shown or self._num_errors
        if self._num_lost and not has_rows:
            if not self.page.exists():
                say(f"no {self.page.name}: all was predicted before, without thumbnails")
            self._file.path.unlink(missing_ok=True)
            return
        try:
            num, num_errors, num_shown = write_page(self.page, self._file, self._facts)
        except Exception as error:
            self._fail(error)
            say(f"the same command again makes it from {self._file.path}")
            return
        self._file.path.unlink(missing_ok=True)
        if num_shown < num:
            rest = f" and {num_errors:,} unreadable" if num_errors else ""
            of_all = counted(num, "picture")
            say(f"{self.page.name} shows {num_shown:,} of {of_all}: the first{rest}")

    def _fail(self, error: Exception) -> None:
        """Say once why there will be no page."""
        self._failed = True
        if isinstance(error, OSError):
            error = storage_error(f"cannot write {self.page}", error)
        reason = str(error).partition("\n")[0] or type(error).__name__
        say(f"{self.page.name} is not written: {reason}")

    def _record(self, row: PredictionRow) -> Record:
        fields, data = self._fields(row), row.thumbnail
        self._count(fields)
        return Record(fields, data if "labels" in fields else b"")

    def _count(self, fields: dict[str, Any]) -> None:
        self._num_shown += "labels" in fields
        self._num_errors += "error" in fields
        self._num_lost += _LOST in fields

    def _fields(self, row: PredictionRow) -> dict[str, Any]:
        """Return what the page needs of a row; `{}` of a picture that it does not show."""
        if row.error:
            if self._num_errors >= self._max_pictures:
                return {"error": ""}
            return {"path": row.path, "size": [row.width, row.height], "error": row.error}
        if self._num_shown >= self._max_pictures:
            return {}
        fields: dict[str, Any] = {
            "path": row.path,
            "size": [row.width, row.height],
            "labels": list(row.labels[:_NUM_BARS]),
            "probabilities": [round(value * _UNITS) for value in row.probabilities[:_NUM_BARS]],
            "indoor": None if row.indoor is None else round(row.indoor * _UNITS),
        }
        if row.label is not None:
            fields["label"] = row.label
        if row.activation is not None:
            grid = _small(row.activation)
            fields["grid"] = base64.b64encode(grid.tobytes()).decode()
            fields["shape"] = list(grid.shape)
        return fields


def _small(grid: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return an activation of at most 16 x 16."""
    height, width = (min(side, _MAX_GRID) for side in grid.shape)
    if (height, width) != grid.shape:
        grid = cv2.resize(grid, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]  # keeps uint8
    return np.ascontiguousarray(grid)
