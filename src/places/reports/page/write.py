"""From what runs tell to the file of their page."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from places.files import write_text
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
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # nobody else needs it

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    # tojson escapes <, >, & and ', and with ensure_ascii all that is not ASCII.
    environment.policies["json.dumps_kwargs"] = {
        "allow_nan": False,
        "ensure_ascii": True,
        "separators": (",", ":"),
    }
    parts = {name: (_FOLDER / f"page.{name}").read_text("utf-8") for name in ("css", "js")}
    # Nothing but these two runs, whatever the names in a run try, and nothing is fetched.
    hashes = {name: _hash(text) for name, text in parts.items()}
    policy = (
        f"default-src 'none'; script-src '{hashes['js']}'; style-src '{hashes['css']}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(**context, **parts, policy=policy)


def _breakable(name: str) -> str:
    """Return a name that may be broken into lines where its words end."""
    from markupsafe import Markup, escape  # part of Jinja

    text = escape(name)
    return Markup(str(text).replace("_", "_<wbr>").replace("/", "/<wbr>"))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
