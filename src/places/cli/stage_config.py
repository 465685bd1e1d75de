"""The config of a stage: what flags, recipes, a checkpoint and the defaults say together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from places.checkpoints.runs import RUNS
from places.cli.empty_values import refuse_empty
from places.cli.error_messages import Refused
from places.cli.stage_parser import (
    PlacesParser,
    option_names,
    own_defaults,
    without_model,
)
from places.config.recipes import read_keys
from places.config.trust import as_packages
from places.errors import ConfigError, PlacesError

# What a stage alone has. jsonargparse takes anything for a group.
_MORE_GROUPS = {"predict": ["predictions"], "test": ["test"]}


class StageConfig:
    """Parses command lines of the stages. Flags go before recipes, these before defaults.

    The config of a checkpoint takes the place of the defaults, see `stored_config`.

    Args:
        parser: The parser of all stages.
        stage_parsers: The parser of each stage.
        recipes: The files that the command line names.
    """

    def __init__(
        self,
        parser: LightningArgumentParser,
        stage_parsers: Mapping[str, PlacesParser],
        recipes: Sequence[Path],
    ) -> None:
        self._parser = parser
        self._stage_parsers = stage_parsers
        self._recipes = list(recipes)
        self._first_defaults: dict[str, Any] = {}  # before flags chose other classes

    def parse(self, words: Sequence[str]) -> Namespace:
        """Return what a command line says: the stage as `subcommand`, its config below its name.

        Args:
            words: The stage and its options.

        Raises:
            ConfigError: It is no command line of that stage.
        """
        try:
            config = self._parser.parse_args(list(words))
        except Refused as refused:
            raise self._explained(refused, words) from refused
        asked = config[config.subcommand]
        more = _MORE_GROUPS.get(config.subcommand, [])
        for key in ("trainer", "checkpoint", "resume", *more):
            if not isinstance(found := asked.get(key), Namespace):
                raise ConfigError(f"{key} takes settings by their names, not {found!r:.60}")
        asked.trust = as_packages(asked.trust)  # null trusts nobody
        folder = asked.trainer.default_root_dir
        asked.trainer.default_root_dir = folder or str(RUNS)  # likewise
        return config

    def first_words(self, words: list[str]) -> list[str]:
        """Return the words that are parsed first, to find the checkpoint.

        The options of the model depend on its class, which the checkpoint may have to tell.
        """
        keys = (key for recipe in self._recipes for key, _ in read_keys(recipe))
        may_be_told = any("ckpt_path" in text for text in (*words, *keys))
        return without_model(words) if may_be_told else words

    def with_own_arguments(self, config: Namespace, words: Sequence[str]) -> Namespace:
        """Parse again where a class got arguments that were meant for the one before it.

        jsonargparse hands on what has the same name: AdamW would get the rate of SGD. So the
        classes that were chosen become the defaults, without the arguments of those before.

        Args:
            config: What the words led to.
            words: The stage and its options.
        """
        stage = config.subcommand
        parser = self._stage_parsers[stage]
        known = parser.get_defaults(skip_validation=True)
        before = {key: known[key].as_dict() for key in ("model", "data")}
        self._first_defaults = self._first_defaults or before
        after = {key: own_defaults(before[key], config[stage][key]) for key in before}
        parser.set_defaults(after)
        return config if before == after else self.parse(words)

    def resolved(self, stage: str, config: Namespace) -> dict[str, Any]:
        """Return the config of a stage with all its defaults, as it is written to files."""
        text = self._stage_parsers[stage].dump(config, skip_unset=False)
        resolved: dict[str, Any] = yaml.safe_load(text)
        return resolved

    def refuse_empty(self, resolved: dict[str, Any], words: Sequence[str]) -> None:
        """Refuse keys that were left empty where that means nothing.

        Raises:
            ConfigError: There is one.
        """
        try:
            refuse_empty(resolved, self._stage_parsers[words[0]].kinds)
        except Refused as refused:
            raise self._explained(refused, words) from refused

    def of_recipes(self, stage: str) -> dict[str, Any] | None:
        """Return what the recipes say without any flag, or nothing if they need flags."""
        self._stage_parsers[stage].set_defaults(self._first_defaults)
        words = [stage, *(word for path in self._recipes for word in ("--config", str(path)))]
        try:
            config = self.with_own_arguments(self.parse(words), words)
            return self.resolved(stage, config[stage])
        except (Refused, PlacesError):
            return None

    def _explained(self, refused: Refused, words: Sequence[str]) -> PlacesError:
        parser = self._stage_parsers[words[0]]
        return refused.explained(list(words), self._recipes, option_names(parser))
