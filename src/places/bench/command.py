"""`places bench`: which part of the tool is measured."""

from collections.abc import Sequence

from places.bench.loader import bench_loader
from places.cli.tool_parser import run_tool, unknown_part

_HELP = """\
usage: places bench loader ROOT [options]    how fast pictures come from shards, and why not faster
       places bench step ROOT [options]      what a step of `places fit` costs, and why

`places bench PART --help` lists the options."""


def main(words: Sequence[str]) -> int:
    """Run one of the benchmarks.

    Args:
        words: The command line after `places`.

    Raises:
        PlacesError: The command line is wrong, or the data.
    """
    part = words[1] if len(words) > 1 else "--help"
    if part in ("-h", "--help"):
        print(_HELP)
        return 0
    if part == "loader":
        return run_tool(bench_loader, ["bench loader", *words[2:]], positional="root")
    if part == "step":
        from places.bench.step import (
            bench_step,
        )  # imports lightning, which the loader can do without

        return run_tool(bench_step, ["bench step", *words[2:]], positional="root")
    raise unknown_part("bench", part, ["loader", "step"])
