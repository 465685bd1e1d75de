"""How a row of predictions is written as a line of CSV or JSON, and read again."""

import csv
import json
import re
from collections.abc import Sequence
from typing import Any, Protocol

from places.categories import load_categories
from places.console import printable
from places.files import name_as_text
from places.reports.prediction_row import PredictionRow

_TRUE = ("true_category", "true_index")
_NUM_DIGITS = 6  # of probabilities, after the point: more of them are noise of the network
# Of these, the wide ones too, spreadsheets make a formula, which may run a program.
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - they are meant


def as_text(cell: str) -> str:
    """Return a cell of a table that no spreadsheet takes for a formula: after an apostrophe.

    So has one that begins with apostrophes and would be a formula without them: what is written
    tells what was meant.
    """
    return f"'{cell}" if _FORMULA.match(cell) else cell


def as_meant(cell: str) -> str:
    """Return what `as_text` was given."""
    return cell[1:] if cell[:1] == "'" and _FORMULA.match(cell) else cell


def column_names(top_k: int, *, labelled: bool = False) -> list[str]:
    """Return the names of the columns of a table.

    Args:
        top_k: Number of categories for each picture.
        labelled: Whether there are columns for the label that a picture has.
    """
    names = ("category", "index", "probability")
    guesses = [f"{name}_{rank}" for rank in range(1, top_k + 1) for name in names]
    rest = ["indoor_or_outdoor", "indoor_probability", "width", "height", "error"]
    return ["path", *(_TRUE if labelled else ()), *guesses, *rest]


def cells_of(
    row: PredictionRow, top_k: int, *, labelled: bool = False
) -> list[str | int | float | None]:
    """Return a value for each of `column_names`; `None` where there is none.

    The path is text as UTF-8 can hold it, see `places.files.name_as_text`.
    """
    names = load_categories()
    cells: list[str | int | float | None] = [name_as_text(row.path)]
    if labelled:
        cells += [None, None] if row.label is None else [names[row.label], row.label]
    for label, probability in zip(row.labels, row.probabilities, strict=True):
        cells += [names[label], label, round(probability, _NUM_DIGITS)]
    cells += [None] * (3 * (top_k - len(row.labels)))
    where = None if row.indoor is None else "indoor" if row.indoor > 0.5 else "outdoor"
    indoor = None if row.indoor is None else round(row.indoor, _NUM_DIGITS)
    return [*cells, where, indoor, row.width, row.height, printable(row.error) or None]


class LineFormat(Protocol):
    """A way to write rows as records of a text file, each ending with a line feed."""

    header: str

    def write(self, row: PredictionRow) -> str:
        """Return the record of a row."""

    def read(self, record: str) -> PredictionRow:
        """Return the row of a record, its path as `places.files.name_as_text` has it.

        Raises:
            ValueError: It is no record of this format.
        """

    def is_whole(self, record: bytes) -> bool:
        """Tell whether lines that follow each other are a whole record."""


class CsvFormat:
    """Records of a CSV file: text in quotes, numbers without, nothing where there is no value.

    Args:
        top_k: Number of categories for each picture.
        labelled: Whether there are columns for the label that a picture has.
    """

    def __init__(self, top_k: int, *, labelled: bool = False) -> None:
        self.top_k = top_k
        self.labelled = labelled
        self.header = ",".join(column_names(top_k, labelled=labelled)) + "\n"

    def write(self, row: PredictionRow) -> str:
        """Return the record of a row."""
        cells = cells_of(row, self.top_k, labelled=self.labelled)
        return ",".join(map(_csv_cell, cells)) + "\n"

    def read(self, record: str) -> PredictionRow:
        """Return the row of a record.

        Raises:
            ValueError: It is none.
        """
        try:
            (cells,) = csv.reader([record], strict=True)
        except csv.Error as error:
            raise ValueError(str(error)) from error
        path, *guesses, _, indoor, width, height, reason = cells
        label = None
        if self.labelled:
            (_, label), guesses = guesses[:2], guesses[2:]
        if len(guesses) != 3 * self.top_k:
            raise ValueError("it has another number of columns")
        labels = tuple(int(label) for label in guesses[1::3] if label)
        probabilities = tuple(float(value) for value in guesses[2::3] if value)
        answer = (as_meant(path), labels, probabilities, indoor, width, height)
        return _row(*answer, as_meant(reason), label=label)

    def is_whole(self, record: bytes) -> bool:
        """Tell whether all quotes are closed."""
        return record.count(b'"') % 2 == 0


class JsonFormat:
    """Records of JSON Lines: an object for each row, with lists of what there are several of.

    Args:
        labelled: Whether there are fields for the label that a picture has.
    """

    header = ""

    def __init__(self, *, labelled: bool = False) -> None:
        self.labelled = labelled

    def write(self, row: PredictionRow) -> str:
        """Return the record of a row."""
        top_k = len(row.labels)
        path, *guesses, where, indoor, width, height, error = cells_of(row, top_k)
        true = cells_of(row, top_k, labelled=True)[1:3]
        content = {
            "path": path,
            **(dict(zip(_TRUE, true, strict=True)) if self.labelled else {}),
            "categories": guesses[::3],
            "indices": guesses[1::3],
            "probabilities": guesses[2::3],
            "indoor_or_outdoor": where,
            "indoor_probability": indoor,
            "width": width,
            "height": height,
            "error": error,
        }
        return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"

    def read(self, record: str) -> PredictionRow:
        """Return the row of a record.

        Raises:
            ValueError: It is none.
        """
        content = json.loads(record)
        try:
            names = ("indices", "probabilities")
            labels, probabilities = (tuple(content[name]) for name in names)
            rest = [content[name] for name in ("indoor_probability", "width", "height", "error")]
            label = content[_TRUE[1]] if self.labelled else None
            return _row(content["path"], labels, probabilities, *rest, label=label)
        except (KeyError, TypeError) as error:
            raise ValueError(f"it has no {error}") from error

    def is_whole(self, record: bytes) -> bool:
        """Tell that each line is a record."""
        return True


def row_of_cells(cells: Sequence[Any], *, labelled: bool = False) -> PredictionRow:
    """Return the row of which `cells_of` made cells, its path as UTF-8 can hold it."""
    path, *guesses, _, indoor, width, height, error = cells
    label = None
    if labelled:
        (_, label), guesses = guesses[:2], guesses[2:]
    labels = tuple(label for label in guesses[1::3] if label is not None)
    probabilities = tuple(value for value in guesses[2::3] if value is not None)
    return _row(path, labels, probabilities, indoor, width, height, error, label=label)


def _csv_cell(value: str | int | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return '"' + as_text(value).replace('"', '""') + '"'
    return str(value) if isinstance(value, int) else f"{value:.{_NUM_DIGITS}f}"


def _row(
    path: str,
    labels: tuple[int, ...],
    probabilities: tuple[float, ...],
    indoor: Any,  # noqa: ANN401  # a number, a text of one or nothing, as the format has it
    width: Any,  # noqa: ANN401  # see above
    height: Any,  # noqa: ANN401  # see above
    error: str | None,
    *,
    label: Any,  # noqa: ANN401  # see above
) -> PredictionRow:
    return PredictionRow(
        path,
        labels,
        probabilities,
        indoor=None if indoor in (None, "") else float(indoor),
        width=None if width in (None, "") else int(width),
        height=None if height in (None, "") else int(height),
        error=error or "",
        label=None if label in (None, "") else int(label),
    )
