"""The table of commands. Imports nothing heavy: help, version and mistyped words answer at once."""

import importlib
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

from places import __version__
from places.console import discard_output, flush_output, is_first_process, put, show, show_warnings
from places.endings import signals
from places.errors import ConfigError, LostProcessError, PlacesError
from places.files import storage_error

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
    "index": (
        "places.data.index_shards:index",
        "make WebDataset shards of others readable where they lie",
    ),
    "verify": ("places.data.packing.verify:verify", "check shards against their manifest"),
    "config show": ("places.cli.configs.show:show", "print a config with all its defaults"),
    "config check": ("places.cli.configs.check:check", "find all mistakes in recipes"),
    "config schema": ("places.cli.configs.schema:schema", "describe recipes to an editor"),
    "config diff": ("places.cli.configs.diff:diff", "compare configs, or a whole pull request"),
    "doctor": (
        "places.doctor.command:doctor",
        "say whether this machine is ready, and what to type",
    ),
    "completion": (
        "places.cli.completion:completion",
        "print a script that completes what is typed",
    ),
    "runs": ("places.reports.run_list:runs", "list the runs, how far they came, their best score"),
    "report": (
        "places.reports.page.command:report",
        "make one page of a run, or of several beside each other",
    ),
    "leaderboard": (
        "places.reports.leaderboard.command:leaderboard",
        "show results beside each other and beside published ones",
    ),
    "leaderboard score": (
        "places.reports.leaderboard.submission_score:score",
        "count the errors of a submission file as the official scorer does",
    ),
    "export": ("places.exports.command:export", "write a trained network as one file for others"),
    "models": (
        "places.models.command:models",
        "list the networks, what each costs, who has weights",
    ),
    "bench loader": ("places.bench.loader:bench_loader", "measure how fast pictures come"),
    "bench step": ("places.bench.step:bench_step", "measure what fit adds to a bare PyTorch loop"),
    "bench networks": (
        "places.bench.networks:bench_networks",
        "measure what networks cost, in training and inference",
    ),
}
# What other tools call what ours do.
_OTHER_WORDS = {
    **dict.fromkeys(("train", "training", "resume", "finetune"), "fit"),
    **dict.fromkeys(("val", "valid", "validation"), "validate"),
    **dict.fromkeys(("eval", "evaluate", "score", "benchmark"), "test"),
    **dict.fromkeys(("classify", "infer", "inference", "run"), "predict"),
    **dict.fromkeys(("shard", "convert"), "pack"),
    **dict.fromkeys(("list", "ls", "history"), "runs"),
    **dict.fromkeys(("check", "validate-data"), "verify"),
    **dict.fromkeys(("env", "info", "collect_env"), "doctor"),
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

exit status: 0 all is well, 1 something is wrong or differs, 2 a mistake in what was given or
  a disk that refuses, 130 Ctrl-C, 143, 138 or 129 ended by SIGTERM, SIGUSR1 or SIGHUP;
  `fit` says how to go on:  --ckpt_path last

`places COMMAND --help` lists the options of a command; --debug shows the traceback
of an error; --version prints the version."""

_MAX_LINE = 600  # of an error, in characters
_EXIT_BROKEN_PIPE = 1
_EXIT_USER_ERROR = 2
_EXIT_INTERRUPTED = 130


def main(args: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        args: The words after `places`; those of the command line by default.

    Returns:
        0 if all is well; 1 if the command found something wrong or different, as `verify` and
        `config diff` may; 2 for a mistake in what was typed or given, and for a disk that refuses;
        130 after Ctrl-C; 143, 138 and 129 after SIGTERM, SIGUSR1 and SIGHUP.
    """
    words = list(sys.argv[1:] if args is None else args)
    show_traceback = "--debug" in words
    show_warnings()
    try:
        status = _dispatch([word for word in words if word != "--debug"])
        flush_output()
        return status
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; a run is not ended without a word.
        for text in signals.advice():
            signals.say_last(f"nobody reads the output any more: {text}")
        return _EXIT_BROKEN_PIPE
    except PlacesError as error:
        return _report(error, show_traceback)
    except OSError as error:  # that nobody expected: of the machine, and not of places
        where = f"cannot use {error.filename}" if error.filename else "the system refused"
        return _report(_refused_output() or storage_error(where, error), show_traceback)
    except signals.Stopped as stopped:
        signals.say_last(signals.last_line(stopped.number))
        return 128 + stopped.number
    except KeyboardInterrupt:  # before there was anything to end
        show("places: interrupted")
        return _EXIT_INTERRUPTED
    finally:
        discard_output()


def _refused_output() -> PlacesError | None:
    """Return the error that stdout cannot be written, if a library was refused just now."""
    try:
        flush_output()
    except PlacesError as error:
        return error
    except BrokenPipeError:
        return None
    return None


def _report(error: PlacesError, show_traceback: bool) -> int:
    _wait_to_speak(error)
    if show_traceback:
        traceback.print_exc()
    # A value may be as long as a file.
    lines = f"places: error: {error}".split("\n")
    show("\n".join(x if len(x) <= _MAX_LINE else f"{x[:_MAX_LINE]}..." for x in lines))
    return _EXIT_USER_ERROR


def _dispatch(words: list[str]) -> int:
    """Find the command and run it.

    Raises:
        ConfigError: There is no such command.
    """
    first = words[0] if words else "--help"
    if first in ("-h", "--help", "help"):
        put(_HELP.format(commands="\n".join(_table(COMMANDS))))
        return 0
    if first in ("-V", "--version"):
        put(f"places {__version__}")
        return 0
    pair = " ".join(words[:2])
    name = pair if pair in COMMANDS else first
    if name not in COMMANDS:
        return _show_parts(first, words[1:])
    if name in STAGES and not {"-h", "--help"}.isdisjoint(words):
        from places.cli.short_help import show_help

        return show_help(name)
    if name in STAGES:
        from places.cli.early_checks import check_early
        from places.endings.family import end_with_starter, wait_for_children

        check_early(words)
        words = ["--help" if word == "--help_all" else word for word in words]

        end_with_starter()
    module, _, function_name = COMMANDS[name][0].partition(":")
    function = getattr(importlib.import_module(module), function_name)
    if name in STAGES:
        status = _ended(partial(function, words))
        wait_for_children()
        return status
    from places.cli.tool_parser import run_tool  # what needs no jsonargparse answers without it

    return _ended(partial(run_tool, function, name, words[name.count(" ") + 1 :]))


def _ended(command: Callable[[], int | None]) -> int:
    """Run a command to its end, whatever ends it, and return its exit status."""
    try:
        with signals.raised():
            status = command() or 0
    except SystemExit as exit_:
        # Lightning and jsonargparse end the process this way, after --help for instance.
        if isinstance(exit_, signals.Stopped):
            raise
        status = exit_.code if isinstance(exit_.code, int) else _EXIT_USER_ERROR * bool(exit_.code)
    except Exception as error:
        if number := signals.received():  # what follows from it
            raise signals.Stopped(number) from error
        if not isinstance(error, PlacesError | OSError):
            _wait_to_speak(error)
        raise
    return status


def _wait_to_speak(error: Exception) -> None:
    is_lost = isinstance(error, LostProcessError)
    if is_lost or not is_first_process():
        from places.endings.family import wait_to_speak  # of a run with several processes

        wait_to_speak(is_lost)


def _show_parts(command: str, words: list[str]) -> int:
    """List the parts of a command such as `config`.

    Raises:
        ConfigError: There is no such command, or no such part of it.
    """
    if command.startswith("-"):
        hint = f"type:  places COMMAND {command}, such as  places fit --config demo.yaml"
        if command.startswith("--ver") or command == "-v":
            hint = "type:  places --version"
        raise ConfigError(f"{command} stands before a command", hint, "all:   places --help")
    parts = [name.partition(" ")[2] for name in COMMANDS if name.startswith(f"{command} ")]
    if not parts:
        raise _unknown(f"no command {command!r}", command, "commands:", COMMANDS)
    if words and words[0] not in ("-h", "--help"):
        raise _unknown(f"{command} has no part {words[0]!r}", words[0], "parts:", parts)
    lines = _table([f"{command} {part}" for part in parts], prefix="places ")
    usage = f"usage: places {command} PART [options]"
    put("\n".join([usage, "", *lines, "", f"`places {command} PART --help` lists the options."]))
    return 0


def _table(names: Collection[str], prefix: str = "") -> list[str]:
    """Return a line for each command."""
    width = max(map(len, names))
    return [f"  {prefix}{name:<{width}}  {COMMANDS[name][1]}" for name in names]


def _unknown(message: str, word: str, title: str, choices: Iterable[str]) -> ConfigError:
    import difflib  # only needed here, and start-up time is a feature

    words = {choice: choice for choice in choices}
    words |= {other: ours for other, ours in _OTHER_WORDS.items() if ours in words}
    close = difflib.get_close_matches(word.lower(), words, 2, 0.4)
    nearest = list(dict.fromkeys(words[name] for name in close))
    lines = {"nearest:": nearest, title: choices} if nearest else {title: choices}
    width = max(map(len, lines))
    return ConfigError(message, *(f"{t:<{width}}  {', '.join(c)}" for t, c in lines.items()))
