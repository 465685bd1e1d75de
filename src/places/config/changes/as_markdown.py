"""A comparison for a comment below a pull request."""

import re
from collections.abc import Iterator

from places.config.changes.as_words import (
    SIGNS,
    derived_lines,
    minor_text,
    problem_lines,
    split_minor,
    title,
    value_text,
    why_text,
)
from places.config.changes.change import Block, Change
from places.config.changes.report import Report, Section, sections, verdict
from places.config.groups import GROUPS

MARKER = "<!-- places-config-diff -->"
MAX_LETTERS = 60_000  # a comment on GitHub holds 65,536
_MAX_OPEN = 5  # sections that are not folded
_MAX_IMPLIED = 10  # rows that are not folded


def as_markdown(report: Report, show_all: bool = False) -> str:
    """Return a report in Markdown, as a comment may be long.

    Args:
        report: The report.
        show_all: Also what is null, false, 0 or empty in a class that came or went.
    """
    lines = [MARKER, f"### Configs: {_headline(report)}", "", f"`{_code(report.before)}` → "]
    lines[-1] += f"`{_code(report.after)}`, stage `{report.stage}`: {verdict(report)}."
    for number, section in enumerate(sections(report.different)):
        part = list(_section(section, show_all))
        if number >= _MAX_OPEN:
            part = [
                "",
                f"<details><summary>{_text(_name(section))}</summary>",
                *part,
                "",
                "</details>",
            ]
        lines += part
    end = ["", f"Again: `{_code(report.command)}`"] if report.command else []
    return _cut(lines, end)


def _headline(report: Report) -> str:
    if report.num_invalid:
        return "some cannot be resolved"
    if report.count("results"):
        return "results change"
    if report.count("speed"):
        return "only speed changes" if not report.count("output") else "speed and output change"
    if report.count("output"):
        return "only output changes"
    return "no setting of what was there changes" if report.different else "nothing changes"


def _cut(lines: list[str], end: list[str]) -> str:
    """Return as many lines as fit, and say if not all do."""
    size = sum(len(line) + 1 for line in [*lines, *end])
    if size <= MAX_LETTERS:
        return "\n".join([*lines, *end])
    kept, size, depth = [], 1000, 0  # of what is folded within each other
    for line in lines:
        size += len(line) + 1
        if size > MAX_LETTERS:
            break
        kept.append(line)
        depth += line.startswith("<details>") - (line == "</details>")
    more = f"**Cut here: {len(lines) - len(kept):,} more lines.**"
    return "\n".join([*kept, *(["", "</details>"] * depth), "", more, *end])


def _name(section: Section) -> str:
    if len(section.recipes) == 1:
        return title(section.recipes[0])
    return f"{len(section.recipes)} recipes alike"


def _section(section: Section, show_all: bool) -> Iterator[str]:
    first, *others = section.recipes
    yield from ("", f"#### {_text(_name(section))}")
    if others or first.problems != ((), ()):
        yield ""
    if others:
        yield ", ".join(f"`{_code(recipe.path)}`" for recipe in section.recipes)
    for side, line in problem_lines(first) if not others else ():
        yield f"- {side}: `{_code(line)}`"
    for group in GROUPS:
        blocks = section.of_group(group)
        if blocks:
            yield from (
                "",
                f"**{group}**",
                "",
                "| key | before | after | why |",
                "|---|---|---|---|",
            )
            yield from _rows(blocks, show_all)
    if not others and (numbers := derived_lines(first)):
        told = [f"{n} {a}" if a == b else f"{n} **{a} → {b}**" for n, a, b in numbers]
        yield from (
            "",
            f"Derived: {'; '.join(told)}.{' ' + _text(first.note) if first.note else ''}",
        )


def _rows(blocks: list[Block], show_all: bool) -> Iterator[str]:
    folded: list[str] = []
    for block in blocks:
        shown, minor = split_minor(block, show_all)
        num_implied = 0
        for change in shown:
            num_implied += change.why == "implied"
            row = _row(change, block)
            if num_implied > _MAX_IMPLIED and change.why == "implied":
                folded.append(row)
            else:
                yield row
        if minor:
            yield f"| | | | {minor_text(minor)} |"
    if folded:
        head = ["", f"<details><summary>{len(folded)} more implied</summary>", ""]
        yield from (*head, "| key | before | after | why |", "|---|---|---|---|")
        yield from (*folded, "", "</details>")


def _row(change: Change, block: Block) -> str:
    sign, indent = SIGNS[change.kind], "" if change is block.head else "&nbsp;&nbsp;"
    told = why_text(change).removeprefix("implied: ")
    why = f"**{change.why}**: {_cell(told)}" if told else f"**{change.why}**"
    why += f" ({change.kind})" if change.kind in ("moved", "type") else ""
    why += "" if change.group == block.head.group else f" ({change.group})"
    old, new = (_cell(value_text(value)) for value in (change.old, change.new))
    return f"| {indent}{sign} {_cell(change.key)} | {old} | {new} | {why} |"


def _cell(text: str) -> str:
    return f"`{_code(text)}`" if text else ""


def _code(text: str) -> str:
    """Return a text that stays within a code span and a cell of a table."""
    return text.replace("`", "'").replace("|", "\\|").replace("\n", " ")


def _text(text: str) -> str:
    """Return a text in which nothing is markup."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#|!~@])", r"\\\1", text)
