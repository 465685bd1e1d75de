"""Options are looked up by their names; jsonargparse goes through all of them each time.

Parsing one command line asks 5,000 times which of about 150 options has a name. There is no setting
for it, so its function that searches is wrapped. `tests/cli/test_quick_lookup.py` compares both.
"""

import functools
from collections import defaultdict
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from jsonargparse import _actions, _core, _subcommands

# It types what is public only.
_ITS: Any = _subcommands
_ACTIONS: Any = _actions
_CORE: Any = _core


class _Index(NamedTuple):
    ids: tuple[int, ...]  # of the options that there were
    by_name: dict[str, list[Any]]
    has_subcommands: bool


_INDEXES: "WeakKeyDictionary[Any, _Index]" = WeakKeyDictionary()


@functools.cache
def look_up_by_name() -> None:
    """Have options found by their names, in whatever parser."""
    search = _ITS.find_action_and_subcommand
    last_choice = (_ACTIONS._ActionConfigLoad, _ACTIONS.ActionFail)

    def find(parser: Any, dest: str, exclude: Any = None) -> tuple[Any, str | None]:  # noqa: ANN401  # its own
        index = _index_of(parser)
        if index.has_subcommands:  # a few options, and the parsers below
            found: tuple[Any, str | None] = search(parser, dest, exclude)
            return found
        chosen = None
        for action in index.by_name.get(dest, ()):
            if exclude is not None and isinstance(action, exclude):
                continue
            chosen = action
            if not isinstance(action, last_choice):
                break
        return chosen, None

    for module in (_ITS, _CORE):
        setattr(module, search.__name__, find)


def _index_of(parser: Any) -> _Index:  # noqa: ANN401  # jsonargparse's
    actions = parser._actions
    ids = tuple(map(id, actions))
    index = _INDEXES.get(parser)
    if index is None or index.ids != ids:
        by_name: defaultdict[str, list[Any]] = defaultdict(list)
        parsing = _ACTIONS.filter_non_parsing_actions(actions)
        for action in parsing:
            names = {name.removeprefix("--") for name in action.option_strings if name[:2] == "--"}
            for name in names | {action.dest}:
                by_name[name].append(action)
        has_subcommands = any(isinstance(action, _ITS.ActionSubCommands) for action in parsing)
        index = _INDEXES[parser] = _Index(ids, dict(by_name), has_subcommands)
    return index
