"""`places leaderboard`: results of `places test` beside each other and beside published ones."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from rich.table import Table

from places.console import put
from places.reports.leaderboard.entries import published_entries, read_entry, read_hits
from places.reports.leaderboard.table import (
    COLUMNS,
    NUMBERS,
    Board,
    as_csv,
    as_html,
    as_json,
    as_markdown,
    as_rows,
    boards_of,
)

Form = Literal["table", "markdown", "json", "csv", "html"]
_FORMS: dict[Form, Callable[[Sequence[Board]], str]] = {
    "markdown": as_markdown,
    "json": as_json,
    "csv": as_csv,
    "html": as_html,
}


def leaderboard(results: list[Path], format: Form = "table", published: bool = True) -> int:
    """Show results beside each other and beside published ones, the best first.

    Results on different pictures or by different protocols are never in one table. Rows of one
    group cannot be told apart from its first one: by McNemar's paired test where both have the
    scores of each picture, else since their 95 % intervals overlap.

    Args:
        results: Each a result.json or the folder of a run of places test.
        format: "table" for the terminal, "markdown", "json", "csv", or "html" for a page.
        published: Show published accuracies on the official val split too, each with its source.

    Raises:
        DataError: A result is missing or damaged, or does not match the files that it names.
    """
    entries = [read_entry(path) for path in results]
    boards = boards_of([*entries, *(published_entries() if published else [])], cache(read_hits))
    if format != "table":
        put(_FORMS[format](boards))
        return 0
    for board in boards:
        put(_terminal_table(board))
    return 0


def _terminal_table(board: Board) -> Table:
    table = Table(title=board.title, title_justify="left")
    for name in COLUMNS:
        is_number = name in NUMBERS
        justify: Literal["left", "right"] = "right" if is_number else "left"
        table.add_column(name, justify=justify, no_wrap=is_number, overflow="fold")
    for row in as_rows(board):
        table.add_row(*row)
    return table
