"""Mistyped options, keys and recipes, told before the seconds that the imports of a stage take.

Only what is surely wrong is told here, in the words that the parser would use. All else, such as
options of a class that is chosen by its name, is left to the parser.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from places.cli.main import STAGES
from places.cli.option_table import OTHER_DATA, load_options
from places.cli.suggestions import locate, nearest_option, other_stage, usual_option
from places.config.recipes import as_typed, find_recipes, read_keys
from places.config.secrets import refuse_secrets_in, refuse_typed_secrets
from places.errors import ConfigError

_PLAIN = ("trainer", "checkpoint", "resume", "predictions", "test")  # groups of one class each
# What is taken where no class is named, and what chooses another one.
_CLASSES = {
    "model": "places.classifier.SceneClassifier",
    "data": "places.data.places365.Places365",
}
_CHOOSING = ("class_path", "init_args", "dict_kwargs", "help")
_OTHERS = {"h", "help", "help_all", "c", "config", "print_config", "debug"}
_CHECKPOINT = "--ckpt_path"


def check_early(words: Sequence[str]) -> None:
    """Refuse what is surely wrong in a command line of a stage.

    Args:
        words: The command line after `places`.

    Raises:
        ConfigError: There is no such option or recipe, a recipe is not valid or has an unknown key,
            or one of them holds a secret.
    """
    refuse_typed_secrets(_without_checkpoint(words))
    recipes, _ = find_recipes(words)
    for recipe in recipes:
        refuse_secrets_in(recipe)
    stage = words[0]
    for name in (*_typed(words), *_written(recipes)):
        known = _known_beside(name, words, recipes)
        if known is not None:
            raise _unknown(name, known, stage, words, recipes)


def _without_checkpoint(words: Sequence[str]) -> list[str]:
    """Return a command line without its checkpoint, whose URL may be signed: that is kept apart."""
    pairs = zip(["", *words], words, strict=False)
    return [w for before, w in pairs if before != _CHECKPOINT and not w.startswith(_CHECKPOINT)]


def _typed(words: Sequence[str]) -> Iterator[str]:
    """Yield the names of the options in a command line."""
    for word in words[1:]:
        if word == "--":
            return
        if word.startswith("--"):
            yield word[2:].partition("=")[0].removesuffix("+")


def _written(recipes: Sequence[Path]) -> Iterator[str]:
    """Yield the keys of recipes that hold values, as one types them; an empty part has none."""
    for recipe in recipes:
        keys = [key for key, _ in read_keys(recipe)]
        groups = {key.rpartition(".")[0] for key in keys}
        yield from (as_typed(key) for key in keys if key not in groups)


def _known_beside(name: str, words: Sequence[str], recipes: Sequence[Path]) -> set[str] | None:
    """Return the names that might have been meant if there surely is no such option, else `None`.

    Of an option of a class they have no start of its way, as in the messages of the parser.
    """
    options = load_options(words[0])
    first, _, rest = name.partition(".")
    second = rest.partition(".")[0]
    if first not in {option.partition(".")[0] for option in options} | _OTHERS:
        return {as_typed(option) for option in options}
    if not rest:
        return None
    if first in _PLAIN:
        is_known = f"{first}.{second}" in options or second in _CHOOSING
        return None if is_known else set(options)
    if first not in _CLASSES or words[0] == "predict" or second in _CHOOSING:
        return None
    if "." in rest or _is_chosen(first, words, recipes):
        return None
    if any(f"{first}.{second}" in load_options(name) for name in (*STAGES, OTHER_DATA)):
        return None  # of this class, or of another one, which the parser says
    return {option[len(first) + 1 :] for option in options if option.startswith(f"{first}.")}


def _is_chosen(group: str, words: Sequence[str], recipes: Sequence[Path]) -> bool:
    """Tell whether the class of a group may be another than the default."""
    flags = (f"--{group}", f"--{group}.class_path", "--ckpt_path")
    if any(word.partition("=")[0] in flags for word in words):
        return True
    keys = {key for recipe in recipes for key, _ in read_keys(recipe)}
    return not keys.isdisjoint({f"{group}.class_path", "ckpt_path"})


def _unknown(
    name: str, known: set[str], stage: str, words: Sequence[str], recipes: Sequence[Path]
) -> ConfigError:
    first, _, rest = name.partition(".")
    of_class = _CLASSES.get(first) if rest and first not in _PLAIN else None
    found = locate(name, words, recipes)
    lines = [f"given in:     {found[1]}"] if found else []
    if owner := other_stage(name, known):
        lines.append(f"belongs to:   {owner}")
    elif usual := usual_option(name):
        lines.append(f"nearest:      {usual}")
    elif nearest := nearest_option(rest if of_class else name, known):
        lines.append(f"nearest:      {f'{first}.' if of_class else ''}{nearest}")
    option = f"{first}.help {of_class}" if of_class else "help_all"
    return ConfigError(f"no option '{name}'", *lines, f"all options:  places {stage} --{option}")
