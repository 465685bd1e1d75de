from pathlib import Path
from typing import Literal

import pytest

from places.cli.tool_parser import run_tool
from places.errors import ConfigError


def tool(
    source: list[Path],
    root: Path = Path("data"),
    split: Literal["a", "b"] | None = None,
    num: int = 3,
    md5: bool = True,
    skip_all: bool = False,
) -> int:
    """Do something.

    In several lines.

    Args:
        source: Where from,
            in two lines.
        root: Where to.
        split: Which one.
        num: How many.
        md5: Compare.
        skip_all: Skip.

    Returns:
        The exit status.
    """
    print(source, root, split, num, md5, skip_all)
    return 7


def one(root: Path, decode: bool = False) -> int:
    """Look.

    Args:
        root: Where.
        decode: How.
    """
    print(root, decode)
    return 0


def none(root: Path = Path("data"), num: int = 1) -> int:
    """Make.

    Args:
        root: Where.
        num: How many.
    """
    print(root, num)
    return 0


def run(*words: str) -> int:
    return run_tool(tool, "pack", words)


def test_what_was_typed_becomes_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("x", "y", "--root", "z", "--split=b", "--num", "5", "--no-md5", "--skip-all") == 7
    assert run("x") == 7
    assert run_tool(one, "verify", ["x", "--decode"]) == 0
    assert run_tool(none, "sample", ["--num", "2"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "[PosixPath('x'), PosixPath('y')] z b 5 False True",
        "[PosixPath('x')] data None 3 True False",
        "x True",
        "data 2",
    ]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["--num", "1"], ["missing:  source", "  type:         places pack SOURCE..."]),
        (["x", "--splt", "a"], ["no option --splt", "  nearest:      --split"]),
        (["x", "--zzzzz"], ["no option --zzzzz"]),
        (["x", "--roo", "a"], ["no option --roo", "  nearest:      --root"]),
        (["x", "--split", "c"], ["wrong value for split: c", "  takes:        a, b, null"]),
        (["x", "--split="], ["wrong value for split: ''", "  takes:        a, b, null"]),
        (["x", "--num", "many"], ["wrong value for num: many", "  takes:        int"]),
        (["x", "--num"], ["no value for --num"]),
    ],
)
def test_mistakes_are_answered_in_few_lines(words: list[str], lines: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        run(*words)
    assert str(error.value).splitlines() == [*lines, "  all options:  places pack --help"]


def test_the_docstring_is_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("--help")
    assert exit_.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "usage: places pack " in text
    assert "Do something. In several lines. positional" in text
    assert "source Where from, in two lines." in text
    assert "--split SPLIT Which one." in text
    assert "--md5, --no_md5 Compare." in text
    assert "--skip_all Skip." in text
