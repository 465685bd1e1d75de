"""Weights & Biases: whether runs would arrive there. Nothing is asked over the network."""

import netrc
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from places.doctor.finding import Finding

_HOST = "https://api.wandb.ai"


def wandb_findings(environment: Mapping[str, str], home: Path) -> Iterator[Finding]:
    """Tell whether wandb is installed and knows a key. The key itself is neither shown nor tried.

    Args:
        environment: Variables of the environment.
        home: Folder with the file `.netrc`, where `wandb login` keeps keys.
    """
    topic = "Weights & Biases"
    if find_spec("wandb") is None:
        yield Finding(topic, "not installed; overlays/wandb.yaml needs pip install 'places[wandb]'")
        return
    mode = environment.get("WANDB_MODE", "online")
    if mode in ("offline", "disabled"):
        then = "; upload later: wandb sync" if mode == "offline" else ""
        yield Finding(topic, f"{mode}, by WANDB_MODE{then}")
    elif environment.get("WANDB_API_KEY"):
        yield Finding(topic, "a key is in WANDB_API_KEY")
    elif _has_login(home, urlsplit(environment.get("WANDB_BASE_URL", _HOST)).hostname or ""):
        yield Finding(topic, "logged in, by .netrc")
    else:
        # Most people need none, so this is nothing wrong.
        yield Finding(topic, "not logged in; before overlays/wandb.yaml: wandb login")


def _has_login(home: Path, host: str) -> bool:
    try:
        return netrc.netrc(home / ".netrc").authenticators(host) is not None
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        return False
