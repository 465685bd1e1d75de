"""A comparison for the terminal: plain lines, that no narrow window and no pipe tears apart."""

from collections.abc import Iterator

from places.config.changes.as_words import (
    SIGNS,
    derived_lines,
    minor_text,
    problem_lines,
    short_key,
    split_minor,
    title,
    values_text,
    why_text,
)
from places.config.changes.change import Block
from places.config.changes.report import Report, Section, sections, verdict
from places.config.groups import GROUPS

_MAX_KEY, _MAX_VALUES = 44, 56  # letters: longer ones push what follows to the right
Line = tuple[str, str]
"""A line and its colour."""


def as_text(report: Report, show_all: bool = False) -> list[Line]:
    """Return the lines of a report.

    Args:
        report: The report.
        show_all: Also what is null, false, 0 or empty in a class that came or went.
    """
    lines: list[Line] = [(f"{report.before} -> {report.after} ({report.stage})", "bold")]
    lines.append((f"  {verdict(report)}", ""))
    for section in sections(report.different):
        lines.append(("", ""))
        lines += _section(section, show_all)
    return lines


def _section(section: Section, show_all: bool) -> Iterator[Line]:
    first, *others = section.recipes
    if others:
        yield f"{len(section.recipes)} recipes alike", "bold"
        yield f"  {', '.join(recipe.path for recipe in section.recipes)}", ""
    else:
        yield title(first), "bold"
        for side, line in problem_lines(first):
            yield f"  {side}: {line}", "red"
    shown = [change for block in section.blocks for change in split_minor(block, show_all)[0]]
    keys = {id(c): short_key(c, b) for b in section.blocks for c in b.changes}
    width = min(_MAX_KEY, max((len(keys[id(c)]) for c in shown), default=0) + 2)
    widths = width, min(_MAX_VALUES, max((len(values_text(c)) for c in shown), default=0))
    for group in GROUPS:
        blocks = section.of_group(group)
        if blocks:
            yield f"  {group}", "bold" if group == "results" else ""
        for block in blocks:
            yield from _block(block, widths, show_all)
    if not others and (numbers := derived_lines(first)):
        parts = [f"{n} {a} (same)" if a == b else f"{n} {a} -> {b}" for n, a, b in numbers]
        yield f"  derived: {' · '.join(parts)}", ""
        if first.note:
            yield f"  {first.note}", ""


def _block(block: Block, widths: tuple[int, int], show_all: bool) -> Iterator[Line]:
    shown, minor = split_minor(block, show_all)
    for change in shown:
        is_head = change is block.head
        indent, width = ("    ", widths[0]) if is_head else ("      ", widths[0] - 2)
        key = f"{indent}{SIGNS[change.kind]} {short_key(change, block):<{width}}"
        extra = "" if change.group == block.head.group else f" [{change.group}]"
        extra += f" [{change.kind}]" if change.kind in ("moved", "type") else ""
        line = f"{key}  {values_text(change):<{widths[1]}}  {why_text(change)}{extra}".rstrip()
        yield line, {"+": "green", "-": "red"}.get(SIGNS[change.kind], "yellow")
    if minor:
        yield f"        {minor_text(minor)} (--all shows them)", ""
