"""Text and tables in Markdown, of names that come from anywhere."""

import re
from collections.abc import Iterable, Sequence

from places.console import printable

_SIGNS = re.compile(r"[\\`*_{}\[\]|~#$]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown_text(text: str) -> str:
    """Return a text in one line, in which nothing is a sign of Markdown or HTML."""
    escaped = "".join(_ENTITIES.get(character, character) for character in printable(text))
    return _SIGNS.sub(lambda found: f"\\{found[0]}", escaped)


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as GitHub writes it."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(
        f"| {' | '.join(cell if cell == '---' else markdown_text(str(cell)) for cell in line)} |"
        for line in lines
    )
