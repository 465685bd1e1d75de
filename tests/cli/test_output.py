"""What is written for people: only text reaches a terminal, and what cannot be written is told."""

import csv
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from rich.table import Table
from tests.integration.stages import MACHINE, run

from places.cli.main import main
from places.console import put, show
from places.reports.table_formats import as_text

ROOT = Path(__file__).parents[2]
EVIL = "\x1b]0;title\x9c\x1b[31m\u202eevil"
SHOWN = r"\x1b]0;title\x9c\x1b[31m\u202eevil"
TOOLS = [
    ["--help"],
    ["--version"],
    ["config"],
    ["verify", "--help"],
    ["pack", "--help"],
    ["verify", "SAMPLE"],
    ["sample", "--root", "SAMPLE"],
]
SLOW = [["config", "diff", "demo.yaml", "demo.yaml"], ["fit", "--help_all"]]
MARKS = [pytest.mark.slow, pytest.mark.no_cover]  # measured where they have tests of their own
COMMANDS = [*TOOLS, *(pytest.param(words, marks=MARKS) for words in SLOW)]


def _run(
    words: list[str], redirection: str, sample: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell, which can close files."""
    words = [str(sample) if word == "SAMPLE" else word for word in words]
    if words[0] == "sample":
        words += ["--num_train", "96", "--num_val", "36", "--num_test", "26"]
    paths = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, "-m", "places", *words],
        env={**os.environ, **paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_what_was_asked_for_and_cannot_be_written_is_an_error(
    words: list[str], redirection: str, sample: Path
) -> None:
    done = _run(words, redirection, sample)
    reason = "No space left on device" if "full" in redirection else "Bad file descriptor"
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines() == [
        f"places: error: cannot write to stdout: {reason}",
        "  see where it goes: to a full disk, or closed?",
    ]


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2>&- <&-"])
def test_nobody_has_to_read_what_is_said_beside(redirection: str, sample: Path) -> None:
    done = _run(["verify", "SAMPLE"], redirection, sample)
    assert (done.returncode, done.stderr) == (0, "")
    assert "all is well" in done.stdout
    done = _run(["verfy"], redirection, sample)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_letter_ends_a_command(words: list[str], sample: Path) -> None:
    done = _run(words, "", sample, PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stdout.isascii()


def test_tables_show_what_is_in_their_cells_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("name", title=EVIL)
    table.add_row(f"[bold]{EVIL}[/bold]")
    show(table)
    put(table)
    for text in capsys.readouterr():
        assert text.count(SHOWN) == 2
        assert f"[bold]{SHOWN}[/bold]" in text
        assert not {"\x1b", "\x9c", "\u202e"} & set(text)


def test_the_colours_of_a_table_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", terminal)
    put(Table("name", title="numbers"))
    assert "\x1b[" in terminal.getvalue()
    assert "numbers" in terminal.getvalue()


def test_names_of_files_reach_no_terminal_raw(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / f"{EVIL}.jpg").write_text("no picture")
    (photos / f"{EVIL}.txt").touch()
    Image.new("RGB", (40, 40)).save(photos / f"{EVIL}.png")
    words = ["--data", "ImageFiles", "--data.images", "photos", "--data.image_size", "32"]
    words += ["--random_weights=true", "--model.net=tests.networks.Tiny"]
    assert run("predict", *words) == 1
    shards = tmp_path / EVIL
    shards.mkdir()
    for path in sample.glob("val*"):
        (shards / path.name).symlink_to(path)
    (shards / f"val-{EVIL}.tar").touch()
    assert main(["verify", str(shards)]) == 1
    assert main(["verify", str(tmp_path / f"{EVIL}2")]) == 2
    for text in capsys.readouterr():
        assert not {"\x1b", "\x9c", "\u202e"} & set(text)
        assert SHOWN in text


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+2.jpg", "'=1+2.jpg"),
        ("+a", "'+a"),
        ("-a", "'-a"),
        ("@a", "'@a"),
        ("\t=a", "'\t=a"),
        ("\r=a", "'\r=a"),
        ("\uff1da", "'\uff1da"),
        ("\n=a", "'\n=a"),
        ("'=a", "''=a"),
        ("'a", "'a"),
        ("photos/=a", "photos/=a"),
        ("", ""),
    ],
)
def test_a_cell_is_no_formula(cell: str, written: str) -> None:
    assert as_text(cell) == written


def test_no_row_of_predictions_is_a_formula(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["+b.jpg", "-c.jpg", "=a.jpg", "@d.jpg", "\t=e.jpg", "plain.jpg"]
    monkeypatch.chdir(tmp_path)
    for name in names:
        Image.new("RGB", (40, 40)).save(name, format="JPEG")
    words = ["--data", "ImageFiles", "--data.images", ".", "--data.image_size", "32"]
    words += ["--random_weights=true", "--model.net=tests.networks.Tiny", *MACHINE]
    assert main(["predict", *words]) == 0
    (file,) = tmp_path.rglob("predictions.csv")
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == len(names)
    assert all(not row["path"].startswith(tuple("=+-@\t\r")) for row in rows)
    assert all(0 <= float(row["probability_1"]) <= 1 for row in rows)
