"""The command line of a plain function: signature and docstring are its interface."""

import difflib
import inspect
import re
from collections.abc import Callable, Collection, Sequence
from collections.abc import Sequence as SequenceKind
from itertools import pairwise
from typing import NoReturn, get_origin, get_type_hints

from jsonargparse import ActionYesNo, ArgumentParser

from places.cli.error_messages import Finding, read_message
from places.console import put
from places.errors import ConfigError, PlacesError, with_prefix


class StageFlags(list[str]):
    """Flags of a stage: what a parameter of this type is given, wherever they stand."""


# What begins a flag of a stage, if a dot or the end of the name follows.
_STAGE_FLAG = re.compile(
    r"--(?:(?:trainer|checkpoint|resume|predictions)\.|(?:model|data)(?=[.=]|$)"
    r"|(?:seed_everything|random_weights|trust)(?==|$))"
)


class _ToolParser(ArgumentParser):
    """A parser that says in one to four lines what is wrong with what was typed."""

    options: Collection[str] = ()  # the names of all, to find the one that was meant
    typed: Sequence[str] = ()  # all words
    given: Sequence[str] = ()  # what has to be typed, such as RUNS...

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        lines = self._explain(read_message(message))
        raise ConfigError(*lines, f"all options:  {self.prog} --help") from ex

    def _print_message(self, message: str, file: object = None) -> None:
        put(message.removesuffix("\n"))  # argparse keeps silent about a disk that is full

    def _flag_before(self, word: str) -> list[str]:
        """Return what to say of a word that stands behind an option which takes no value."""
        before = next((a for a, b in pairwise(self.typed) if b == word), "")
        takes_none = before.startswith("--") and "=" not in before
        return [f"{before} takes no value: leave the word out"] if takes_none else []

    def _explain(self, finding: Finding) -> list[str]:
        if finding.unknown:
            typed = f"--{finding.unknown}"
            nearest = difflib.get_close_matches(typed, self.options, n=1)
            return [f"no option {typed}", *(f"nearest:      {name}" for name in nearest)]
        if finding.word:
            return [f"unexpected word {finding.word!r}", *self._flag_before(finding.word)]
        if finding.unvalued:
            return [f"no value for {finding.unvalued}"]
        if finding.missing:
            typed = " ".join((self.prog, *self.given))
            return [f"missing:  {finding.missing}", f"type:         {typed}"]
        if finding.option and finding.value is not None:
            takes = [f"takes:        {', '.join(finding.takes)}"] if finding.takes else []
            shown = finding.value or "''"  # what is empty could not be seen
            return [f"wrong value for {finding.option}: {shown}", *takes]
        return finding.lines[:1]


def run_tool(function: Callable[..., int], name: str, words: Sequence[str]) -> int:
    """Call a function with what was typed.

    Args:
        function: The tool; its docstring is the help. A parameter without a default is given
            without its name: a path, or text such as a URL; several if it is a list. Of those that
            are `*parameter`, or have the default `()`, there may be any number, none as well.
            Parameters with a default of `False` become flags such as `--decode`; those with `True`
            can be switched off: `--no-md5`.
        name: What the command is called, such as "config diff".
        words: The command line after the name.

    Returns:
        What the function returns: the exit status.

    Raises:
        ConfigError: What was typed is not accepted.
    """
    doc, hints = inspect.getdoc(function) or "", get_type_hints(function)
    texts = texts_of(doc)
    parameters = inspect.signature(function).parameters.values()
    rest = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL]
    optional = {*rest, *(p.name for p in parameters if p.default == ())}
    positional = [p.name for p in parameters if p.default is p.empty or p.default == ()]
    flags = {p.name: p.default for p in parameters if isinstance(p.default, bool)}
    handed_on = [p.name for p in parameters if hints[p.name] is StageFlags]
    description = doc.partition("\n\nArgs:")[0]
    parser = _ToolParser(prog=f"places {name}", description=description, allow_abbrev=False)
    parser.options = [f"--{p.name}" for p in parameters if p.name not in positional]
    for parameter in positional:
        is_list = get_origin(hints[parameter]) in (list, SequenceKind)
        kind = hints[parameter].__args__[0] if is_list else hints[parameter]
        is_many = is_list or parameter in rest
        nargs = ("*" if parameter in optional else "+") if is_many else None
        parser.add_argument(parameter, type=kind, nargs=nargs, help=texts[parameter])
        if parameter not in optional:
            parser.given = (*parser.given, f"{parameter.upper()}{'...' if is_many else ''}")
    skipped: set[str | int] = {*positional, *flags, *handed_on}
    parser.add_function_arguments(function, as_group=False, skip=skipped)
    for flag, default in flags.items():
        action = ActionYesNo if default else "store_true"
        parser.add_argument(f"--{flag}", action=action, default=default, help=texts[flag])
    own, passed_on = _split(words) if handed_on else (words, StageFlags())
    own = _options_last(own, flags) if rest else own
    parser.typed = words
    options = vars(parser.parse_args([_with_underscores(word) for word in own]))
    options |= dict.fromkeys(handed_on, passed_on)
    words_left = [value for name in rest for value in options.pop(name)]
    try:
        return function(*words_left, **options)
    except PlacesError as error:
        raise with_prefix(error, "--", options) from error


def texts_of(doc: str) -> dict[str, str]:
    """Return what the docstring of a tool says of each parameter, in one line each."""
    found = re.findall(r"^    \*?(\w+): (.+(?:\n {8}.+)*)", doc, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _split(words: Sequence[str]) -> tuple[list[str], StageFlags]:
    """Return the words of a tool, and the flags of a stage among them, each with its value."""
    own, flags, is_value = list[str](), StageFlags(), False
    for word in words:
        is_flag = _STAGE_FLAG.match(word) is not None
        (flags if is_flag or (is_value and not word.startswith("--")) else own).append(word)
        is_value = is_flag and "=" not in word
    return own, flags


def _options_last(words: Sequence[str], flags: Collection[str]) -> list[str]:
    """Return words with options behind all others: argparse takes none that come later.

    Args:
        words: The words.
        flags: The options that take no value.
    """
    others, options, is_value = list[str](), list[str](), False
    for word in words:
        is_option = word.startswith("--")
        (options if is_option or is_value else others).append(word)
        name = word[2:].replace("-", "_").removeprefix("no_")
        is_value = is_option and "=" not in word and name not in (*flags, "help")
    return [*others, *options]


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"
