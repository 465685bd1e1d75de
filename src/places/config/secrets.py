"""Secrets stay out of configs, and so out of all that is made of them: files, logs, messages.

A value is one by the name of its key, a URL by its user and password, its query or its fragment.
This is the one place that tells.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from places.errors import ConfigError

MASK = "********"

# `hf_token` is one, `token_pooling` and `special_tokens` are none: those only at the end of a key.
_KEY = re.compile(
    r"(api|access|account|private|secret|shared|signing|encryption|subscription)[_-]?key"
    r"|password|passwd|passphrase|secret|credential|connection[_-]?string"
    r"|(token|pwd|bearer|authorization|auth|cookie|signature)$",
    re.IGNORECASE,
)
_PLACE = re.compile(r"[_-](file|path|folder|dir|env|var|variable|name)$", re.IGNORECASE)
# User and password, or for HTTP anything before an @: there a token may stand alone. The last form
# has a slash or a question mark in the password: no server takes it, but it is one all the same.
_LOGIN = re.compile(
    r"\w://[^/?#\s@]*:[^/?#\s@]*@|(?i:https?)://[^/?#\s@]+@|\w://[^/?#\s]*:(?!\d+([/?#]|$))\S*@"
)
# In what a database takes, and in what is no whole JSON.
_PAIR = re.compile(
    r"(password|passwd|pwd|secret|(api|account|access)_?key)[\"']?\s*[=:]\s*[^\s,;}]", re.IGNORECASE
)
_QUERY = re.compile(r"\w://[^\s?#]*[?#]\S")
_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
}


def refuse_secrets(config: Mapping[str, Any], place: str) -> None:
    """Refuse a config that holds a secret: it would be saved with each run and each checkpoint.

    Args:
        config: Nested mappings and lists.
        place: Where it was given, such as "the command line".

    Raises:
        ConfigError: See above; the secret itself is not shown.
    """
    for key, value in _leaves(config, (), set()):
        name = ".".join(part for part in key if part != "init_args")
        if is_secret(key, value):
            raise ConfigError(
                f"{name} looks like a secret, which would be saved with the run",
                f"given in:  {place}",
                "leave it out and use the variable in the environment that its library reads, "
                "such as WANDB_API_KEY",
            )
        if isinstance(value, str) and (what := _secret_part(value)):
            raise ConfigError(
                f"{name} has {what}, which would be saved with the run",
                f"given in:  {place}",
                *_instead(value, key[0]),
            )


def refuse_typed_secrets(words: Sequence[str]) -> None:
    """Refuse a command line that holds a secret, before anything reads or shows it.

    Raises:
        ConfigError: See `refuse_secrets`.
    """
    key = ""
    for word in words:
        if word.startswith("--"):
            key, _, word = word[2:].partition("=")
        refuse_secrets({key.rstrip("+") or "a word": _parsed(word)}, "the command line")


def refuse_secrets_in(recipe: Path) -> None:
    """Refuse a recipe that holds a secret.

    Raises:
        ConfigError: See `refuse_secrets`.
    """
    refuse_secrets({"": _parsed(recipe.read_text(encoding="utf-8"))}, str(recipe))


def is_secret(key: str | Sequence[str], value: object) -> bool:
    """Tell whether the value of a key is a secret by the name of the key, or of one above it."""
    parts = key.split(".") if isinstance(key, str) else key
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        return False
    if parts[-1] == "class_path":
        return False
    names = [part for part in parts if _KEY.search(part) and not _PLACE.search(part)]
    # A number may be a password, but hardly a token.
    return any(isinstance(value, str) or not name.lower().endswith("token") for name in names)


def masked(value: Any, key: Sequence[str] = ()) -> Any:  # noqa: ANN401  # of any config
    """Return a config, or a value in one, in which no secret can be read."""
    if isinstance(value, Mapping):
        return {name: masked(item, (*key, *str(name).split("."))) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [masked(item, key) for item in value]
    if key and is_secret(key, value):
        return MASK
    if not isinstance(value, str) or not _secret_part(value):
        return value
    return MASK if _PAIR.search(value) else without_credentials(value)


def without_credentials(url: str) -> str:
    """Return a URL without user, password, query and fragment."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority = re.split("[/?#]", rest)[0]
    if "@" in authority or _has_password(authority):  # else an @ belongs to the path or the query
        rest = (
            rest.rpartition("@")[2] if "@" not in authority else rest[authority.rindex("@") + 1 :]
        )
    return f"{scheme}://{re.split('[?#]', rest)[0]}".rstrip("/")


def without_secrets(text: str, url: str) -> str:
    """Return a text, such as that of an error, without credentials and queries of URLs.

    Args:
        text: The text.
        url: The URL that was asked; what is secret in it is removed wherever it is.
    """
    parts = urlsplit(url)
    values = [pair.partition("=")[2] for pair in parts.query.split("&")]
    for secret in (parts.query, parts.fragment, parts.password or parts.username, *values):
        for spelling in {secret, unquote(secret)} if secret and len(secret) > 3 else ():
            text = text.replace(spelling, "***")
    text = re.sub(r"(\w://)[^/\s@]*@", r"\1", text)
    return re.sub(r"(\w://[^\s?#'\"]*)[?#][^\s'\")]*", r"\1", text)


def _parsed(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):  # the parser will say what is wrong with it
        return text


def _leaves(
    value: object, key: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield all values with their keys; what a YAML alias repeats is looked at once for a key."""
    if isinstance(value, Mapping | list | tuple):
        if id(value) in seen:
            return
        seen.add(id(value))
        pairs = value.items() if isinstance(value, Mapping) else [("", item) for item in value]
        for name, item in pairs:
            yield from _leaves(item, (*key, *filter(None, str(name).split("."))), seen)
    elif key:
        yield key, value


def _has_password(authority: str) -> bool:
    """Tell whether a colon stands before something else than a port or a part of IPv6."""
    return re.search(r":(?!\d+$)", authority.rpartition("]")[2]) is not None


def _secret_part(text: str) -> str:
    """Return what is secret in a text, in words; an empty string for nothing."""
    if _LOGIN.search(text):
        return "a user and a password in its URL"
    if _PAIR.search(text):
        return "a password in its text"
    return "a query or fragment in its URL" if _QUERY.search(text) else ""


def _instead(text: str, key: str) -> list[str]:
    """Return what to do instead of writing credentials into a URL."""
    found = re.search(r"([A-Za-z][\w+.-]*)://", text)
    if key == "ckpt_path":
        return ["give it as a flag, of which nothing secret is saved:  --ckpt_path URL"]
    if key != "data" or found is None:
        return ["give it in the environment or the configuration of the library that reads it"]
    scheme = found[1]
    host = without_credentials(text[found.start() :]).partition("://")[2]
    if scheme.lower() in ("http", "https"):
        line = f"machine {re.split('[:/]', host)[0]} login USER password PASSWORD"
        return ["type the URL without it, and put into ~/.netrc:", line]
    variables = _VARIABLES.get(scheme, f"variables FSSPEC_{scheme.upper()}_...")
    return [f"type the URL without it, and put the credentials into:  {variables}"]
