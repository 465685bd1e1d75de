"""The table of commands. Imports nothing heavy: help, version and mistyped words answer at once."""

import importlib
import os
import sys
import traceback
from collections.abc import Collection, Iterable, Sequence

from places import __version__
from places.console import show, show_warnings
from places.errors import ConfigError, PlacesError

STAGES = ("fit", "validate", "test", "predict")
_RUN_STAGE = "places.cli.stages:run_stage"
# For each command its function, and what it does. A stage takes the words after `places`; the
# signature and the docstring of any other function are its command line, see `run_tool`.
COMMANDS = {
    "fit": (_RUN_STAGE, "train a network, validating as it goes"),
    "validate": (_RUN_STAGE, "score a checkpoint on the validation split"),
    "test": (_RUN_STAGE, "score a checkpoint and write result.json or the submission file"),
    "predict": (_RUN_STAGE, "classify pictures and write predictions.csv"),
    "sample": ("places.synthetic.sample:sample", "draw a small synthetic Places365 and pack it"),
    "download": ("places.data.packing.download:download", "fetch the official archives"),
    "pack": ("places.data.packing.pack:pack", "turn archives or labelled folders into tar shards"),
    "verify": ("places.data.packing.verify:verify", "check shards against their manifest"),
    "config show": ("places.cli.config:show", "print a recipe with all its defaults"),
    "config diff": ("places.cli.config:diff", "compare two recipes with all their defaults"),
    "bench loader": ("places.bench.loader:bench_loader", "measure how fast pictures come"),
    "bench step": ("places.bench.step:bench_step", "measure what fit adds to a bare PyTorch loop"),
}
# The exit statuses of signals are those that a shell reports.
_HELP = """\
places: train, validate, test and run scene classifiers on Places365

usage: places COMMAND [options]

commands:
{commands}

examples:
  places sample --root data/sample
  places fit --config demo.yaml
  places test --ckpt_path runs/demo/0/checkpoints/best.ckpt
  places predict photos --ckpt_path runs/demo/0

exit status: 0 all is well, 1 something is wrong or differs, 2 a mistake in what was given,
  130 Ctrl-C, 143 or 138 `fit` was ended by SIGTERM or SIGUSR1: resume with  --ckpt_path last

`places COMMAND --help` lists the options of a command; --debug shows the traceback
of an error; --version prints the version."""

_EXIT_BROKEN_PIPE = 1
_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        args: The words after `places`; those of the command line by default.

    Returns:
        0 if all is well; 1 if the command found something wrong or different, as `verify` and
        `config diff` may; 2 for a mistake in what was typed or given; 130 after Ctrl-C; 143 and
        138 after SIGTERM and SIGUSR1, once `fit` has saved its state.
    """
    words = list(sys.argv[1:] if args is None else args)
    show_traceback = "--debug" in words
    show_warnings()
    words = [word for word in words if word != "--debug"]
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; Python would complain when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _EXIT_BROKEN_PIPE
    except PlacesError as error:
        if show_traceback:
            traceback.print_exc()
        show(f"places: error: {error}")
        return _EXIT_USER_ERROR
    except KeyboardInterrupt:
        show("places: interrupted")
        return _EXIT_INTERRUPTED
    except SystemExit as exit_:
        # Lightning and jsonargparse end the process this way, after --help for instance.
        return exit_.code if isinstance(exit_.code, int) else _EXIT_USER_ERROR * bool(exit_.code)


def _dispatch(words: list[str]) -> int:
    first = words[0] if words else "--help"
    if first in ("-h", "--help", "help"):
        print(_HELP.format(commands="\n".join(_table(COMMANDS))))
        return 0
    if first in ("-V", "--version"):
        print(f"places {__version__}")
        return 0
    name = first if first in COMMANDS else " ".join(words[:2])
    if name not in COMMANDS:
        return _show_parts(first, words[1:])
    module, _, function_name = COMMANDS[name][0].partition(":")
    function = getattr(importlib.import_module(module), function_name)
    if name in STAGES:
        function(words)
        return 0
    from places.cli.tool_parser import run_tool  # what needs no jsonargparse answers without it

    return run_tool(function, name, words[name.count(" ") + 1 :])


def _show_parts(command: str, words: list[str]) -> int:
    """List the parts of a command such as `config`.

    Raises:
        ConfigError: There is no such command, or no such part of it.
    """
    parts = [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{command} ")]
    if not parts:
        raise _unknown(f"no command {command!r}", command, "commands:", COMMANDS)
    if words and words[0] not in ("-h", "--help"):
        raise _unknown(f"{command} has no part {words[0]!r}", words[0], "parts:", parts)
    lines = _table([f"{command} {part}" for part in parts], prefix="places ")
    print(f"usage: places {command} PART [options]", "", *lines, "", sep="\n")
    print(f"`places {command} PART --help` lists the options.")
    return 0


def _table(names: Collection[str], prefix: str = "") -> list[str]:
    """Return a line for each command."""
    width = max(map(len, names))
    return [f"  {prefix}{name:<{width}}  {COMMANDS[name][1]}" for name in names]


def _unknown(message: str, word: str, title: str, choices: Iterable[str]) -> ConfigError:
    import difflib  # only needed here, and start-up time is a feature

    nearest = difflib.get_close_matches(word, choices, n=2, cutoff=0.4)
    lines = {"nearest:": nearest, title: choices} if nearest else {title: choices}
    width = max(map(len, lines))
    return ConfigError(message, *(f"{t:<{width}}  {', '.join(c)}" for t, c in lines.items()))
