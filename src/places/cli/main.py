"""The table of commands. Imports nothing heavy: help, version and mistyped words answer at once."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from places import __version__
from places.console import show
from places.errors import PlacesError

# For each command the function that runs it and what it does. The function takes the words
# after `places`, the command's own first, and returns the exit status or nothing.
COMMANDS = {
    "fit": ("places.cli.stages:main", "train a network, validating as it goes"),
    "validate": ("places.cli.stages:main", "score a checkpoint on the validation split"),
    "test": (
        "places.cli.stages:main",
        "score a checkpoint and write result.json or the submission file",
    ),
    "predict": ("places.cli.stages:main", "classify pictures and write predictions.csv"),
    "sample": ("places.synthetic.sample:main", "draw a small synthetic Places365 and pack it"),
    "pack": ("places.data.packing.pack:main", "turn archives or labelled folders into tar shards"),
    "verify": ("places.data.packing.verify:main", "check shards against their manifest"),
    "config": ("places.cli.config:main", "show or compare resolved recipes"),
    "bench": ("places.bench.command:main", "measure the loader and the training step"),
}
_EXAMPLES = """\
  places sample --root data/sample
  places fit --config demo.yaml
  places test --ckpt_path runs/demo/0/checkpoints/best.ckpt
  places predict --data ImageFiles --data.images photos --ckpt_path best.ckpt"""
# Those of signals are those that a shell reports.
_EXIT_HELP = """\
exit status: 0 all is well, 1 something is wrong or differs, 2 a mistake in what was given,
  130 Ctrl-C, 143 or 138 `fit` was ended by SIGTERM or SIGUSR1: go on with  --ckpt_path last"""

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
    command = words[0] if words else "--help"
    if command in ("-h", "--help", "help"):
        print(_help())
        return 0
    if command in ("-V", "--version"):
        print(f"places {__version__}")
        return 0
    if command not in COMMANDS:
        raise _unknown(command)
    module, function = COMMANDS[command][0].split(":")
    status: int | None = getattr(importlib.import_module(module), function)(words)
    return status or 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            "places: train, validate, test and run scene classifiers on Places365",
            "",
            "usage: places COMMAND [options]",
            "",
            "commands:",
            *(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()),
            "",
            "examples:",
            _EXAMPLES,
            "",
            _EXIT_HELP,
            "",
            "`places COMMAND --help` lists the options of a command; --debug shows the traceback",
            "of an error; --version prints the version.",
        ]
    )


def _unknown(command: str) -> PlacesError:
    import difflib  # only needed here, and start-up time is a feature

    nearest = difflib.get_close_matches(command, COMMANDS, n=2, cutoff=0.4)
    hints = [f"nearest:   {', '.join(nearest)}"] if nearest else []
    return PlacesError(f"no command {command!r}", *hints, f"commands:  {', '.join(COMMANDS)}")
