import os
import subprocess
import sys

import pytest

from places import __version__
from places.cli.main import COMMANDS, main

_TRACE = (
    "import sys, places.cli.main; status = places.cli.main.main(sys.argv[1:]); print(*sys.modules)"
)


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(f"\n  {command} " in output for command in COMMANDS)
    assert main([]) == 0
    assert capsys.readouterr().out == output


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"places {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["fti"],
        ["pack", "--help"],
        ["verify", "--help"],
        ["sample", "--help"],
        ["config", "--help"],
    ],
)
def test_what_needs_no_torch_loads_none(words: list[str]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _TRACE, *words], capture_output=True, text=True, check=True
    )
    modules = run.stdout.splitlines()[-1].split()
    assert "places.cli.main" in modules
    assert not {"torch", "lightning", "torchvision", "matplotlib", "webdataset"} & set(modules)


def test_a_mistyped_command_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["predit"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "places: error: no command 'predit'"
    assert lines[1].startswith("  nearest:   predict")
    assert len(lines) == 3


def test_debug_shows_where_an_error_came_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predit", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_closed_pipe_is_no_traceback() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "places", "--help"]
    run = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert "Traceback" not in run.stderr


def test_an_interrupt_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("places.data.packing.verify.verify", interrupt)
    assert main(["verify"]) == 130
    assert capsys.readouterr().err == "places: interrupted\n"


def test_the_parts_of_a_command_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["bench"], ["bench", "--help"]):
        assert main(words) == 0
        assert "\n  places bench loader  " in capsys.readouterr().out
    assert main(["bench", "loder"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "places: error: bench has no part 'loder'",
        "  nearest:  loader",
        "  parts:    loader, step",
    ]
