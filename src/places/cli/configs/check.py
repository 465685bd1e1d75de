"""`places config check`: all that is wrong with recipes, not only the first of it."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from places.config.changes.as_json import annotation
from places.config.recipes import double_keys, find_recipe, flatten, read_config
from places.config.written import Place, Written, written_keys
from places.console import counted, printable, put
from places.errors import ConfigError, PlacesError

Stage = Literal["fit", "validate", "test", "predict"]
Form = Literal["text", "github"]
_MAX_PROBLEMS = 50  # of one recipe
_RECIPES = (".yaml", ".yml")
_TYPE = "type:  places config check RECIPE..."
_TWICE = re.compile(r" has the key \S+ twice, in line ")
_WORD = re.compile(r"[\w.]+")


@dataclass(frozen=True)
class Problem:
    """What is wrong in a place, in lines of which the first says it."""

    place: Place
    lines: tuple[str, ...]


def check(*files: str, stage: Stage = "fit", format: Form = "text") -> int:
    """Look for mistakes in recipes: each is parsed, and all that is wrong with it is told.

    That is: no YAML, a key twice, an unknown key, a value of a wrong type, a class path that
    cannot be imported, a secret. Nothing is built or run, but the modules of classes are imported.

    Args:
        *files: Recipes, or folders of them; configs/ if none is given.
        stage: The stage to check them for.
        format: text; github, annotations in a log.

    Returns:
        0; 1 if something is wrong; 2 if a file or folder is missing.

    Raises:
        ConfigError: None is given, and there is no configs/.
    """
    if not files and not Path("configs").is_dir():
        raise ConfigError("no recipes are named, and there is no folder configs here", _TYPE)
    recipes, missing = _recipes(files or ("configs",))
    problems = missing + [
        problem
        for recipe in recipes
        for problem in sorted(problems_of(recipe, stage), key=lambda found: found.place.line or 0)
    ]
    for problem in problems:
        first, *rest = map(printable, problem.lines)
        if format == "github":
            text = "\n".join([first, *rest])
            put(annotation("error", problem.place.file, problem.place.line, "config", text))
        else:
            put("\n".join([f"{problem.place}: {first}", *(f"  {line}" for line in rest)]))
    found = counted(len(problems), "problem") if problems else "nothing wrong"
    put(f"{counted(len(recipes), 'recipe')}: {found}")
    if missing:
        return 2
    return 1 if problems else 0


def problems_of(recipe: Path, stage: str) -> Iterator[Problem]:
    """Yield all that is wrong with a recipe, in no special order."""
    shown = str(recipe)
    try:
        for key, first, second in double_keys(recipe):
            lines = (
                f"{key} is here twice, first in line {first}",
                "remove one: the last would win",
            )
            yield Problem(Place(shown, second), lines)
        written = written_keys([(recipe, shown)], is_strict=False)
        config = read_config(recipe, is_strict=False)
    except ConfigError as error:
        line = re.search(r"line (\d+)", error.message)
        place = Place(shown, int(line[1]) if line else None)
        message = error.message.removeprefix(f"{place}").replace(f"{shown}, line", "line")
        message = re.sub(rf"^line {place.line}:? ", "", message.strip())
        yield Problem(place, (message, *error.hint))
        return
    yield from _refused(config, written, shown, stage)


def _refused(
    config: dict[str, Any], written: Mapping[str, Written], shown: str, stage: str
) -> Iterator[Problem]:
    """Yield what the parser refuses: what it named is removed before it is asked again."""
    # Needs the real parser, hence torch.
    from places.cli.resolve import resolve

    with tempfile.TemporaryDirectory() as folder:
        file, last_line = Path(folder, "recipe.yaml"), 0
        for _ in range(_MAX_PROBLEMS):
            if not flatten(config):
                return  # nothing but what was wrong
            file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
            try:
                resolve([stage, "--config", str(file)])
            except PlacesError as error:
                hints = [line for line in error.hint if str(file) not in line]
                key = _key_in(error.message, written)
                place = Place(shown, written[key].place.line if key else None)
                last_line = max(last_line, place.line or 0)
                if not _TWICE.search(error.message):  # that is told already
                    yield Problem(place, (error.message.replace(str(file), shown), *hints))
                if key is None or not _remove(config, key.split(".")):
                    return
            else:
                return
    more = f"perhaps more: only the first {_MAX_PROBLEMS} values that are refused are told"
    yield Problem(Place(shown, last_line or None), (more, "correct these and check again"))


def _key_in(message: str, written: Mapping[str, Written]) -> str | None:
    """Return the key that a message is about: the longest that is written and that it names."""
    named = [word.strip(".") for word in _WORD.findall(message)]
    ways = [
        ".".join(word.split(".")[:end]) for word in named for end in range(1, word.count(".") + 2)
    ]
    plain = {re.sub(r"\[.*?\]", "", key): key for key in written}
    found = [way for way in ways if way in plain]
    return plain[max(found, key=len)] if found else None


def _remove(config: Any, way: list[str]) -> bool:  # noqa: ANN401  # of a recipe
    """Remove a key, written with or without `init_args`, and tell whether it was there."""
    way = [re.sub(r"\[.*?\]", "", part) for part in way]
    if isinstance(config, list):
        return sum(_remove(item, way) for item in config) > 0  # from all of them
    if not isinstance(config, dict):
        return False
    for end in range(len(way), 0, -1):
        for name in (".".join(way[:end]), f"{'.'.join(way[:end])}+"):
            if name in config:
                if end == len(way):
                    del config[name]
                    return True
                if _remove(config[name], way[end:]):
                    return True
    return "init_args" in config and _remove(config["init_args"], way)


def _recipes(names: Sequence[str]) -> tuple[list[Path], list[Problem]]:
    """Return the recipes that files and folders name, and what is wrong with these names."""
    found: list[Path] = []
    problems = []
    for name in names:
        path = Path(name)
        inside = sorted(p for p in path.rglob("*") if p.suffix in _RECIPES and p.is_file())
        try:
            if not path.is_dir():
                inside = [find_recipe(name)]
            elif not inside:
                raise ConfigError("no recipes in this folder", _TYPE)
        except ConfigError as error:
            problems.append(Problem(Place(name, None), (error.message, *error.hint)))
        found += inside
    return found, problems
