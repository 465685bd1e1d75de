"""Options are found by their names as jsonargparse finds them by going through all."""

import argparse
import importlib.util
from typing import Any

import pytest
from jsonargparse import ArgumentParser, _actions, _core, _subcommands

from places.cli.main import main
from places.cli.quick_lookup import look_up_by_name
from places.cli.stage_config import StageConfig


def _search_of_its_own() -> Any:  # noqa: ANN401  # a function of jsonargparse
    """The function as it is written: of a module of its own, in which nothing was replaced."""
    spec = importlib.util.find_spec("jsonargparse._subcommands")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    its: Any = module
    its.ActionSubCommands = _subcommands.ActionSubCommands  # the parsers know this one
    return its.find_action_and_subcommand


@pytest.mark.parametrize("exclude", [None, _actions._ActionConfigLoad, argparse._StoreAction])
@pytest.mark.parametrize("stage", ["fit", "predict"])
def test_each_name_leads_to_the_same_option(
    stage: str, exclude: type | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsers: list[Any] = []
    parse = StageConfig.parse

    def note(configs: Any, words: list[str]) -> Any:  # noqa: ANN401  # passed on
        parsers.extend([configs._parser, configs._stage_parsers[stage]])
        return parse(configs, words)

    monkeypatch.setattr(StageConfig, "parse", note)
    assert main([stage, "--trainer.devices", "0"]) == 2
    look_up_by_name()
    for its in (_subcommands, _core):
        find: Any = vars(its)["find_action_and_subcommand"]
        assert find.__module__ == "places.cli.quick_lookup", "a release has renamed it"
        search = _search_of_its_own()
        for parser in parsers[:2]:
            names = {name for action in parsers[1]._actions for name in _names(action)}
            assert len(names) > 80
            names |= {f"{stage}.{name}" for name in names}
            for name in names | {"", "nothing", "trainer", "model.net.depth", stage, f"{stage}."}:
                assert find(parser, name, exclude) == search(parser, name, exclude), name


def _names(action: argparse.Action) -> set[str]:
    return {action.dest, *(option.lstrip("-") for option in action.option_strings)}


def test_an_option_that_came_later_is_found() -> None:
    look_up_by_name()
    find: Any = vars(_subcommands)["find_action_and_subcommand"]
    parser = ArgumentParser()
    assert find(parser, "late") == (None, None)
    late = parser.add_argument("--late", type=int)
    assert find(parser, "late") == (late, None)
    parser._actions.remove(late)
    assert find(parser, "late") == (None, None)
