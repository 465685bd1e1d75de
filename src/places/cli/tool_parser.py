"""The command line of a plain function: signature and docstring are its interface."""

import difflib
import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, get_type_hints

from jsonargparse import ActionYesNo, ArgumentParser

from places.errors import ConfigError


class ToolParser(ArgumentParser):
    """A parser that says in one to four lines what is wrong with what was typed."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Refuse what was typed.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(*self._explain(message), f"all options:  {self.prog} --help") from ex

    def _explain(self, message: str) -> list[str]:
        if unknown := re.search(r"unrecognized arguments: (\S+)", message):
            names = [name for action in self._actions for name in action.option_strings]
            nearest = difflib.get_close_matches(unknown[1].partition("=")[0], names, n=1)
            hints = [f"nearest:      {nearest[0]}"] if nearest else []
            return [f"no option {unknown[1]}", *hints]
        if missing := re.search(r"arguments are required: (.+)", message):
            return [f"missing:  {missing[1]}"]
        key = re.search(r'Parser key "([^"]+)"', message)
        value = re.search(r"(?:Given|Got) value: (.*)", message)
        if key and value:
            kind = re.search(r"Literal\[([^\]]+)\]|<class '(\w+)'>", message)
            hints = [f"takes:        {kind[1] or kind[2]}"] if kind else []
            return [f"wrong value for {key[1]}: {value[1]}", *hints]
        return [message.splitlines()[0]]


def unknown_part(command: str, word: str, parts: Sequence[str]) -> ConfigError:
    """Return what to say of a word after a command that has other parts."""
    nearest = difflib.get_close_matches(word, parts, n=1)
    hints = [f"nearest:  {nearest[0]}"] if nearest else []
    return ConfigError(f"{command} has no part {word!r}", *hints, f"parts:    {', '.join(parts)}")


def run_tool(
    function: Callable[..., int],
    words: Sequence[str],
    positional: str | None = None,
    many: bool = False,
) -> int:
    """Call a function with what was typed.

    Args:
        function: The tool; its docstring is the help. Parameters with a default of `False` become
            flags such as `--decode`; those with `True` can be switched off: `--no-md5`.
        words: The command line after `places`, the tool's own name first.
        positional: The parameter that is given without its name: a path, or text such as a URL.
        many: Whether it takes several paths.

    Returns:
        What the function returns: the exit status.

    Raises:
        ConfigError: What was typed is not accepted.
    """
    doc = inspect.getdoc(function) or ""
    found = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", doc, flags=re.MULTILINE)
    texts = {name: " ".join(text.split()) for name, text in found}
    parameters = inspect.signature(function).parameters
    flags = {name: p.default for name, p in parameters.items() if isinstance(p.default, bool)}
    parser = ToolParser(
        prog=f"places {words[0]}", description=doc.partition("\n\nArgs:")[0], allow_abbrev=False
    )
    if positional:
        nargs = "+" if many else None
        kind = str if get_type_hints(function)[positional] is str else Path
        parser.add_argument(positional, type=kind, nargs=nargs, help=texts[positional])
    parser.add_function_arguments(function, as_group=False, skip={positional or "", *flags})
    for name, default in flags.items():
        action = ActionYesNo if default else "store_true"
        parser.add_argument(f"--{name}", action=action, default=default, help=texts[name])
    typed = [_with_underscores(word) for word in words[1:]]
    return function(**vars(parser.parse_args(typed)))


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"
