"""What the words after `places config diff` and `places config show` mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from places.checkpoints.runs import CONFIG_HEADER
from places.config.changes.change import Side
from places.config.recipes import find_recipe, read_config
from places.config.written import written_keys
from places.errors import ConfigError

DEFAULTS = "defaults"
_RUN, _CHECKPOINT = "run:", "ckpt:"
_STAGES = ("fit", "validate", "test", "predict")


@dataclass(frozen=True)
class Operand:
    """One side: recipes, perhaps of a revision; or a config that a run saved."""

    name: str  # as it was typed
    layers: tuple[str, ...] = ()  # recipes, of which later ones win
    revision: str = ""
    saved: Side | None = None
    stage: str = ""  # of the run


@dataclass(frozen=True)
class Files:
    """The recipes of a side, found: each with how it is shown."""

    layers: tuple[tuple[Path, str], ...] = ()

    def request(self, stage: str, flags: Sequence[str] = ()) -> dict[str, Any]:
        """Return the request for what they resolve to, see `worker.answer`."""
        files = [str(path) for path, _ in self.layers]
        return {"stage": stage, "files": files, "flags": list(flags)}

    def side(self, config: Mapping[str, Any]) -> Side:
        """Return the side, given what its recipes resolve to."""
        return Side(config, written_keys(self.layers))


def operand(word: str) -> Operand:
    """Return what a word means.

    Raises:
        ConfigError: It names a run or a checkpoint that is not there or cannot be read.
    """
    if word == DEFAULTS and not Path(word).is_file():
        return Operand(word)
    if word.startswith(_RUN):
        return _run(word)
    if word.startswith(_CHECKPOINT):
        return _checkpoint(word)
    if Path(word).is_file():
        return Operand(word, (word,))
    revision, colon, rest = word.partition(":")
    if colon and not Path(word.split("+")[0]).is_file():
        # A revision given once is that of all layers: a side has one code.
        layers = tuple(layer.removeprefix(f"{revision}:") for layer in rest.split("+"))
        if not revision or not all(layers):
            raise _unclear(word)
        return Operand(word, layers, revision)
    layers = tuple(word.split("+"))
    if not all(layers):
        raise _unclear(word)
    return Operand(word, layers)


def found(asked: Operand) -> Files:
    """Return the files of recipes that are checked out.

    Raises:
        ConfigError: One is missing.
    """
    return Files(tuple((path, str(path)) for path in map(find_recipe, asked.layers)))


def found_in(asked: Operand, tree: Path, inside: Path) -> Files:
    """Return the files of recipes of another revision.

    Args:
        asked: The operand.
        tree: The folder that the revision is checked out in.
        inside: The folder in it where the user is.

    Raises:
        ConfigError: One is missing.
    """
    layers = []
    for name in asked.layers:
        folders = (inside, tree, inside / "configs", tree / "configs")
        paths = [folder / f"{name}{end}" for folder in folders for end in ("", ".yaml")]
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise ConfigError(
                f"no recipe {name!r} in revision {asked.revision}",
                f"see what is there:  git ls-tree -r --name-only {asked.revision} configs/",
            )
        layers.append((path, f"{asked.revision}:{path.relative_to(tree).as_posix()}"))
    return Files(tuple(layers))


def _run(word: str) -> Operand:
    folder = Path(word.removeprefix(_RUN))
    path = folder if folder.is_file() else folder / "config.yaml"
    if not path.is_file():
        raise ConfigError(f"no config.yaml in {folder}", "see which runs there are:  places runs")
    config = read_config(path)
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    stage = next((s for s in _STAGES if first == CONFIG_HEADER.format(stage=s)), "")
    side = Side(config, written_keys([(path, str(path))]), recorded=str(path))
    return Operand(word, saved=side, stage=stage)


def _checkpoint(word: str) -> Operand:
    # Needs torch: imported when a checkpoint is asked for.
    from places.checkpoints.contents import CHECKPOINT_KEY, check_parts, read_checkpoint
    from places.checkpoints.runs import find_checkpoint

    path = find_checkpoint(Path(word.removeprefix(_CHECKPOINT)))
    content = read_checkpoint(path)
    check_parts(content, path)
    return Operand(word, saved=Side(content[CHECKPOINT_KEY]["config"], recorded=str(path)))


def _unclear(word: str) -> ConfigError:
    return ConfigError(
        f"{word!r} names no config",
        "takes:  a recipe, base.yaml+overlay.yaml, REV:path, run:FOLDER, ckpt:FILE, defaults",
    )
