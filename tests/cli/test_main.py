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
    def interrupt(words: list[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("places.data.packing.verify.main", interrupt)
    assert main(["verify"]) == 130
    assert capsys.readouterr().err == "places: interrupted\n"
