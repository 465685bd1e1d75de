"""`places config diff`: two configs, or all recipes of a pull request."""

import json
import shlex
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from places.cli.configs.compared import compared
from places.cli.configs.operands import Operand, operand
from places.cli.configs.pull_request import compare_pull_request
from places.cli.configs.sides import found_side
from places.config.changes.as_json import as_annotations, as_json
from places.config.changes.as_markdown import as_markdown
from places.config.changes.as_text import as_text
from places.config.changes.report import Report
from places.config.groups import Group
from places.console import put
from places.errors import ConfigError
from places.files import write_text

Stage = Literal["fit", "validate", "test", "predict"]
Form = Literal["text", "markdown", "json", "github"]


def diff(
    *operands: str,
    base: str | None = None,
    stage: Stage | None = None,
    format: Form = "text",
    fail_on: Group | None = None,
    all: bool = False,
    files: Path | None = None,
) -> int:
    """Compare two configs with all their defaults, or all recipes with those of a revision.

    What differs is "written" in a recipe, or "implied": by a class that was chosen, or by a default
    in Python that changed. A revision is resolved with its own code, in a checkout of its own.

    Exit status as of diff: 0 the same, 1 different, 2 a recipe that cannot be resolved, or another
    mistake; 3 with --fail_on.

    Args:
        *operands: Two of: a recipe; base.yaml+overlay.yaml; REV:path, a recipe of a revision;
            run:FOLDER and ckpt:FILE, what a run was; defaults. With --base the recipes or folders
            to compare, configs/ if none is given.
        base: A revision, such as origin/main. All recipes are compared with what they were where
            the branch left it.
        stage: The stage to resolve for; that of the run, or fit.
        format: text; markdown, for a comment; json, for programs; github, annotations in a log.
        fail_on: Exit with 3 if something in this group changes.
        all: Show also what is null, false, 0 or empty in a class that came or went.
        files: Write config-diff.md and config-diff.json into this folder, too.

    Raises:
        ConfigError: An operand or a revision is missing.
    """
    if base is None and len(operands) != 2:
        raise ConfigError(
            f"config diff takes 2 configs, not {len(operands)}",
            "type:  places config diff resnet50.yaml vgg16.yaml",
            "or:    places config diff --base origin/main",
        )
    command = shlex.join(
        ["places", "config", "diff", *(["--base", base] if base else []), *operands]
    )
    if base is None:
        report = _compare_two(operand(operands[0]), operand(operands[1]), stage, fail_on, command)
    else:
        report = compare_pull_request(base, operands, stage or "fit", fail_on, command)
    if files is not None:
        write_text(files / "config-diff.md", f"{as_markdown(report, all)}\n")
        write_text(files / "config-diff.json", f"{_json(report)}\n")
    _FORMS[format](report, all)
    return report.exit_status


def _compare_two(
    before: Operand, after: Operand, stage: str | None, fail_on: Group | None, command: str
) -> Report:
    asked_stage = stage or before.stage or after.stage or "fit"
    with ExitStack() as stack:
        sides = [(asked, *found_side(asked, stack)) for asked in (before, after)]
        # Both are asked before the first answer is waited for.
        answers = [resolver.ask(files.request(asked_stage)) for asked, files, resolver in sides]
        left, right = (
            (asked.saved, files, answer.result(), resolver)
            for (asked, files, resolver), answer in zip(sides, answers, strict=True)
        )
        recipe = compared(after.name, left, right, both_matter=True)
    return Report(before.name, after.name, asked_stage, (recipe,), fail_on, command)


def _put_text(report: Report, show_all: bool) -> None:
    if not report.different:
        put(f"{report.before} and {report.after} resolve to the same config")
        return
    from rich.console import Group as Lines  # takes a while
    from rich.text import Text

    put(Lines(*(Text(line, style=style) for line, style in as_text(report, show_all))))


def _json(report: Report) -> str:
    return json.dumps(as_json(report), indent=2, allow_nan=False, ensure_ascii=False)


_FORMS: dict[Form, Callable[[Report, bool], None]] = {
    "text": _put_text,
    "markdown": lambda report, show_all: put(as_markdown(report, show_all)),
    "json": lambda report, _: put(_json(report)),
    "github": lambda report, _: put("\n".join(as_annotations(report))),
}
