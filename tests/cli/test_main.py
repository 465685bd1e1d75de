import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from places import __version__
from places.cli.main import COMMANDS, main
from places.endings import signals

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


def test_a_run_whose_reader_has_gone_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write(root: Path) -> int:
        """Write.

        Args:
            root: A folder.
        """
        signals.advise("resume with  --ckpt_path last")
        raise BrokenPipeError

    monkeypatch.setattr("places.data.packing.verify.verify", write)
    assert main(["verify", "."]) == 1
    expected = "places: nobody reads the output any more: resume with  --ckpt_path last\n"
    assert capsys.readouterr().err == expected


def test_an_error_of_the_system_that_nobody_expected_is_told_in_two_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(root: Path) -> int:
        """Read.

        Args:
            root: A folder.
        """
        raise OSError(errno.EIO, "Input/output error", "/data/x")

    monkeypatch.setattr("places.data.packing.verify.verify", read)
    assert main(["verify", "."]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "places: error: cannot use /data/x: Input/output error",
        "  check the disk or the network behind it",
    ]


def test_the_parts_of_a_command_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["bench"], ["bench", "--help"]):
        assert main(words) == 0
        assert "\n  places bench loader  " in capsys.readouterr().out
    assert main(["bench", "loder"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "places: error: bench has no part 'loder'",
        "  nearest:  loader",
        "  parts:    loader, step, networks",
    ]


def test_an_error_is_no_longer_than_a_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x" * 100_000]) == 2
    assert all(len(line) < 700 for line in capsys.readouterr().err.splitlines())
