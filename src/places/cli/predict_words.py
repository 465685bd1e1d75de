"""`places predict PICTURES...`: the pictures as plain words among the options."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from places.cli.error_messages import NO_PICTURES, PICTURES_HINTS
from places.config.recipes import as_typed, find_recipes, read_keys
from places.config.secrets import without_credentials
from places.console import say
from places.data.folder_pictures import is_picture
from places.data.picture_sources import LISTS
from places.data.remote.urls import is_url
from places.data.shards.manifest import NO_SHARDS
from places.errors import ConfigError, PlacesError
from places.files import name_as_text

_DATA = "places.data.image_files.ImageFiles"
_IMAGES = ("--data.images", "--data.images+")
# Options after which no value needs to follow.
_ALONE = ("--help", "-h", "--random_weights", "--print_config")
_SEVERAL = ("--trust",)  # options that take several values
# What tells of data; a checkpoint has a config, with the shards that it was trained on.
_OF_DATA = ("--data", "-c", "--config", "--ckpt_path")
_HELP = ("-h", "help", "--print_config")
_LAYERS = ("-c", "--config")  # options of which each adds to those before


def with_pictures(words: Sequence[str]) -> list[str]:
    """Return a command line in which words that belong to no option are the pictures to classify.

    Pictures that are given by several `--data.images` follow each other.

    Args:
        words: The command line after `places`, beginning with `predict`.

    Raises:
        ConfigError: Pictures are given in two ways, or an option twice.
    """
    options = list(_options(words[1:]))
    _refuse_repeated(options)
    pictures = [value for flag, value, _ in options if not flag]
    by_flag = [value for flag, value, _ in options if flag in _IMAGES]
    if pictures and by_flag:
        raise ConfigError(
            f"pictures are given twice: {pictures[0]}, and with {_IMAGES[0]}",
            "type all of them as words:  places predict PICTURES...",
        )
    if not (pictures or by_flag):
        if not any(flag.startswith(_OF_DATA) or flag.endswith(_HELP) for flag, _, _ in options):
            raise ConfigError(NO_PICTURES, *PICTURES_HINTS)
        return list(words)
    for picture in pictures:
        _refuse_signed(picture)
    kept = [(flag, text) for flag, _, text in options if flag and flag not in _IMAGES]
    _tell_of_recipe([word for _, text in kept for word in text])
    if not any(flag == "--data" or flag.startswith("--data.class_path") for flag, _ in kept):
        # Before its options, and behind recipes whose data are others.
        of_data = (n for n, (flag, _) in enumerate(kept) if flag.startswith("--data."))
        kept.insert(next(of_data, len(kept)), ("--data", [f"--data={_DATA}"]))
    rest = [word for _, text in kept for word in text]
    texts = list(map(name_as_text, pictures)) or [t for value in by_flag for t in _texts_in(value)]
    return [words[0], *rest, f"{_IMAGES[0]}={_in_yaml(texts)}"]


def _in_yaml(texts: list[str]) -> str:
    """Return texts as JSON that is YAML, too: there a character is no pair of halves."""
    halves = r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}"
    return re.sub(halves, lambda pair: str(json.loads(f'"{pair[0]}"')), json.dumps(texts))


def without_pictures(words: Sequence[str], error: PlacesError) -> PlacesError:
    """Return what to say where no pictures were given, and the data of before are not there.

    Args:
        words: The command line after `places`.
        error: What went wrong.
    """
    is_given = any(flag.startswith("--data") or not flag for flag, _, _ in _options(words[1:]))
    if words[:1] != ["predict"] or is_given or not error.message.startswith(NO_SHARDS):
        return error
    return ConfigError(f"{NO_PICTURES}, and {error.message}", *PICTURES_HINTS)


def _options(words: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each option with its value and the words that make it; plain words have no name."""
    number = 0
    while number < len(words):
        word, number = words[number], number + 1
        following = words[number] if number < len(words) else None
        flag, equals, value = word.partition("=")
        if word == "--":  # all that follows is plain
            yield from (("", rest, [rest]) for rest in words[number:])
            return
        if not word.startswith("-") or word == "-":
            is_recipe = word.endswith((".yaml", ".yml")) and Path(word).is_file()
            yield (word, "", [word]) if is_recipe else ("", word, [word])
        elif equals or following is None:
            yield flag, value, [word]
        elif word == "--random_weights" and following in ("true", "false"):
            yield flag, following, [word, following]
            number += 1
        elif word in _ALONE:
            yield flag, "", [word]
        else:
            end = number + 1
            while flag in _SEVERAL and end < len(words) and _is_package(words[end]):
                end += 1
            yield flag, following, [word, *words[number:end]]
            number = end


def _is_package(word: str) -> bool:
    """Tell whether a word names a package of Python rather than a picture."""
    if not all(part.isidentifier() for part in word.split(".")):
        return False
    path = Path(word.replace(".", "/"))
    is_code = (path / "__init__.py").is_file() or path.with_suffix(".py").is_file()
    is_file = is_picture(word) or word.endswith((".tar", *LISTS))
    return is_code or not (is_file or os.path.lexists(word))


def _texts_in(value: str) -> list[str]:
    """Return the pictures that `--data.images` takes: a text, or a list in YAML."""
    if value.startswith("[") and not os.path.lexists(value):
        try:
            found = yaml.safe_load(value)
        except yaml.YAMLError:
            found = value
        if isinstance(found, list):
            return [name_as_text(str(text)) for text in found]
    return [name_as_text(value)]


def _refuse_repeated(options: Sequence[tuple[str, str, list[str]]]) -> None:
    """Refuse an option that is given twice with two values: the first would be forgotten.

    Lists are built from the left, so what belongs to `--trainer.callbacks+=A` may follow again.
    """
    adding = tuple(f"{flag[:-1]}." for flag, _, _ in options if flag.endswith("+"))
    before: dict[str, str] = {}
    for flag, value, text in options:
        is_free = flag in ("", *_IMAGES, *_LAYERS) or flag.endswith("+")
        if is_free or flag.startswith(adding) or not flag.startswith("-"):
            continue
        value = " ".join([value, *text[2:]])
        if before.setdefault(flag, value) != value:
            raise ConfigError(
                f"{flag} is given twice: {before[flag]}, and {value}", "leave one of them out"
            )


def _refuse_signed(text: str) -> None:
    """Refuse a URL with a query: the config of the run would hold it.

    A user and a password in it are refused as everywhere, see `places.config.secrets`.
    """
    url = text.removeprefix("@")
    if is_url(url) and "?" in url and without_credentials(url.partition("?")[0]) in url:
        raise ConfigError(
            f"{without_credentials(url)} has a query, which would be saved with the run",
            "put the URL into a list, which is not saved:  places predict @FILE",
        )


def _tell_of_recipe(words: Sequence[str]) -> None:
    """Say that the pictures of a recipe are not taken, since others are given."""
    recipes, _ = find_recipes(words)
    for recipe in recipes:
        for key, line in read_keys(recipe):
            if as_typed(key) == "data.images":
                say(f"the pictures of {recipe}, line {line}, are not taken: others are given")
