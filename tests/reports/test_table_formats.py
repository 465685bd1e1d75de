import csv
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from places.files import name_as_text
from places.reports.prediction_row import PredictionRow
from places.reports.table_formats import CsvFormat, JsonFormat, as_meant, as_text, column_names

# What a path may be: any text, and bytes that are no UTF-8.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
paths = texts | st.binary().map(lambda name: os.fsdecode(name.replace(b"\0", b"")))
chances = st.integers(0, 10**6).map(lambda millionths: millionths / 10**6)
sizes = st.none() | st.integers(1, 2**31 - 1)
answers = st.builds(
    PredictionRow,
    path=paths,
    labels=st.tuples(*[st.integers(0, 364)] * 3),
    probabilities=st.tuples(chances, chances, chances),
    indoor=chances,
    width=sizes,
    height=sizes,
    label=st.none() | st.integers(0, 364),
)
failures = st.builds(
    PredictionRow,
    path=paths,
    error=st.text(min_size=1).filter(str.isprintable),
    label=st.none() | st.integers(0, 364),
)
FORMATS = [
    *(CsvFormat(3), JsonFormat()),
    *(CsvFormat(3, labelled=True), JsonFormat(labelled=True)),
]
rows = answers | failures


@given(texts)
def test_a_cell_tells_what_was_meant_and_is_no_formula(text: str) -> None:
    cell = as_text(text)
    assert as_meant(cell) == text
    assert not cell.startswith(tuple("=+-@\t\r\n"))


@given(texts, texts)
def test_different_cells_stay_different(first: str, second: str) -> None:
    assert (as_text(first) == as_text(second)) == (first == second)


@pytest.mark.parametrize(
    "format", FORMATS, ids=["csv", "jsonl", "csv with labels", "jsonl with labels"]
)
@given(row=rows)
def test_a_record_is_read_as_it_was_written(
    format: CsvFormat | JsonFormat, row: PredictionRow
) -> None:
    record = format.write(row)
    assert format.read(record) == PredictionRow(
        name_as_text(row.path),
        row.labels,
        row.probabilities,
        row.indoor,
        row.width,
        row.height,
        row.error,
        row.label if format.labelled else None,
    )
    assert format.is_whole(record.encode())
    assert record.endswith("\n")


@given(rows)
def test_csv_is_what_pythons_csv_reads(row: PredictionRow) -> None:
    format = CsvFormat(3)
    text = format.header + format.write(row)
    read, *more = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    assert not more
    assert list(read) == column_names(3)
    assert as_meant(read["path"]) == name_as_text(row.path)
    assert as_meant(read["error"]) == row.error
    labels = [int(read[f"index_{rank}"]) for rank in (1, 2, 3) if read[f"index_{rank}"]]
    assert tuple(labels) == row.labels


@given(rows)
def test_json_holds_no_nan_and_lists(row: PredictionRow) -> None:
    content = json.loads(JsonFormat().write(row), parse_constant=pytest.fail)
    assert content["path"] == name_as_text(row.path)
    assert content["error"] == (row.error or None)
    assert tuple(content["indices"]) == row.labels
    assert len(content["categories"]) == len(content["probabilities"]) == len(row.labels)
