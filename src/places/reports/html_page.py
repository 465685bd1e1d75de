"""Pages of one file: a template, its style and its scripts, and nothing fetched."""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

_THEME = Path(__file__).with_name("theme.js")


def page_parts(folder: Path) -> "tuple[Environment, dict[str, str]]":
    """Return what makes a page from a folder with templates, `page.css` and `page.js`.

    Args:
        folder: The folder.

    Returns:
        The environment of the templates, which escapes all that it is given; and what each page is
        given beside its own content: `css`, `js`, and `policy`, which lets nothing but these two
        run, whatever the names in the content try, and nothing be fetched.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # nobody else needs it

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # tojson escapes <, >, & and ', and with ensure_ascii all that is not ASCII.
    environment.policies["json.dumps_kwargs"] = {
        "allow_nan": False,
        "ensure_ascii": True,
        "separators": (",", ":"),
    }
    css = (folder / "page.css").read_text("utf-8")
    js = (folder / "page.js").read_text("utf-8") + _THEME.read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src '{_hash(js)}'; style-src '{_hash(css)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return environment, {"css": css, "js": js, "policy": policy}


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
