"""The table of a leaderboard: groups of what cannot be told apart, in several forms."""

import csv
import html
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from places.console import printable
from places.reports.leaderboard.entries import Entry
from places.reports.table_formats import as_text
from places.training.intervals import CONFIDENCE, paired_test

NUMBERS = ("top-1", "95 % interval", "top-5", "its 95 % interval")
COLUMNS = ("group", "name", *NUMBERS, "note", "source")
_LEGEND = (
    "Rows of one group are not told apart from its first row: by McNemar's paired test where the "
    "scores of each picture are there, else since their intervals overlap."
)
Hits = Callable[[Path], dict[str, bool]]


@dataclass(frozen=True)
class Board:
    """The rows of one kind of data and one protocol, the best first, with their groups from 1."""

    data: str
    protocol: str
    rows: list[tuple[int, Entry]]

    @property
    def title(self) -> str:
        """What all rows have in common."""
        return f"{self.data}; {self.protocol}"


def boards_of(entries: Sequence[Entry], hits: Hits) -> list[Board]:
    """Return the tables: one for each data and protocol, so that only like is beside like.

    Args:
        entries: The rows.
        hits: Reads from a file of pictures which of them were right, by key.
    """

    def place(entry: Entry) -> tuple[str, str]:
        return entry.data, entry.protocol

    boards = []
    for (data, protocol), same in groupby(sorted(entries, key=place), key=place):
        ranked = sorted(same, key=lambda entry: (-entry.top1, entry.name))
        boards.append(Board(data, protocol, _grouped(ranked, hits)))
    # Results first, then what is only published; the larger tables first.
    return sorted(boards, key=lambda board: (not _has_results(board), -len(board.rows)))


def _has_results(board: Board) -> bool:
    return any(entry.source.endswith(".json") for _, entry in board.rows)


def _grouped(ranked: Sequence[Entry], hits: Hits) -> list[tuple[int, Entry]]:
    group, first, rows = 1, ranked[0], []
    for entry in ranked:
        if entry is not first and is_different(first, entry, hits):
            group, first = group + 1, entry
        rows.append((group, entry))
    return rows


def is_different(first: Entry, second: Entry, hits: Hits) -> bool:
    """Tell whether two accuracies on the same pictures differ by more than chance."""
    if first.pictures is not None and second.pictures is not None:
        one, other = hits(first.pictures), hits(second.pictures)
        if one.keys() == other.keys():
            only_one = sum(one[key] and not other[key] for key in one)
            only_other = sum(other[key] and not one[key] for key in one)
            return paired_test(only_one, only_other) < 1 - CONFIDENCE
    return first.top1_interval[0] > second.top1_interval[1]


def as_rows(board: Board) -> list[list[str]]:
    """Return the cells of a table as texts, without what could move a cursor."""
    rows = []
    for group, entry in board.rows:
        top5 = "" if entry.top5 is None else f"{entry.top5:.2%}"
        intervals = map(_in_words, (entry.top1_interval, entry.top5_interval))
        cells = [entry.name, f"{entry.top1:.2%}", next(intervals), top5, next(intervals)]
        rows.append([printable(x) for x in (str(group), *cells, entry.note, entry.source)])
    return rows


def _in_words(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else " to ".join(f"{end:.2%}" for end in interval)


def as_markdown(boards: Sequence[Board]) -> str:
    """Return the tables as GitHub's Markdown."""
    parts = []
    for board in boards:
        cells = [[_in_markdown(cell) for cell in row] for row in [list(COLUMNS), *as_rows(board)]]
        lines = [f"| {' | '.join(row)} |" for row in cells]
        lines.insert(1, "|" + "---|" * len(COLUMNS))
        parts.append("\n".join([f"### {_in_markdown(board.title)}", "", *lines]))
    return "\n\n".join([*parts, _LEGEND])


def _in_markdown(text: str) -> str:
    for sign in ("\\", "|", "`", "*", "_", "[", "]"):
        text = text.replace(sign, f"\\{sign}")
    return html.escape(text, quote=False)


def as_json(boards: Sequence[Board]) -> str:
    """Return the tables as JSON, with shares in 0..1."""

    def row(group: int, entry: Entry) -> dict[str, Any]:
        names = ("name", "top1", "top1_interval", "top5", "top5_interval", "note", "source")
        return {"group": group, **{name: getattr(entry, name) for name in names}}

    tables = [
        {
            "data": board.data,
            "protocol": board.protocol,
            "rows": [row(group, entry) for group, entry in board.rows],
        }
        for board in boards
    ]
    content = {"format": "places.leaderboard", "version": 1, "tables": tables}
    return json.dumps(content, indent=2, allow_nan=False)


def as_csv(boards: Sequence[Board]) -> str:
    """Return all tables as one CSV, each row with its data and protocol."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["data", "protocol", *COLUMNS])
    for board in boards:
        for row in as_rows(board):
            writer.writerow(map(as_text, [board.data, board.protocol, *row]))
    return text.getvalue().removesuffix("\n")


def as_html(boards: Sequence[Board]) -> str:
    """Return a page with the tables, which needs no network."""
    parts = []
    for board in boards:
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in COLUMNS)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>\n"
            for row in as_rows(board)
        )
        parts.append(
            f"<h2>{html.escape(board.title)}</h2>\n<div><table>\n<thead><tr>{head}</tr></thead>\n"
            f"<tbody>\n{body}</tbody>\n</table></div>"
        )
    return _PAGE.format(tables="\n".join(parts), legend=html.escape(_LEGEND))


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Leaderboard</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #8886; }}
td:nth-child(n+3):nth-child(-n+6) {{ text-align: right; white-space: nowrap; }}
td {{ font-variant-numeric: tabular-nums; }}
</style>
</head>
<body>
<h1>Leaderboard</h1>
{tables}
<p>{legend}</p>
</body>
</html>"""
