"""From what runs tell to the file of their page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from places.files import write_text
from places.reports.html_page import page_parts
from places.reports.page.compared_runs import context_of_several
from places.reports.page.one_run import context_of_one
from places.reports.run_facts import RunFacts

_FOLDER = Path(__file__).parent


def write_page(
    runs: Sequence[RunFacts], path: Path, networks: Mapping[str, Any] | None = None
) -> None:
    """Write the page of a run, or of several, as a whole or not at all.

    Args:
        runs: What they tell.
        path: The file.
        networks: What `places bench networks` measured, if that is to be shown.

    Raises:
        StorageError: The system refuses to write.
    """
    if len(runs) == 1:
        write_text(path, _filled("one_run.html", context_of_one(runs[0], networks)))
    else:
        write_text(path, _filled("compared_runs.html", context_of_several(runs, networks)))


def _filled(template: str, context: dict[str, Any]) -> str:
    environment, parts = page_parts(_FOLDER)
    environment.filters["breakable"] = _breakable
    return environment.get_template(template).render(**context, **parts)


def _breakable(name: str) -> str:
    """Return a name that may be broken into lines where its words end."""
    from markupsafe import Markup, escape  # part of Jinja

    text = escape(name)
    return Markup(str(text).replace("_", "_<wbr>").replace("/", "/<wbr>"))
