"""The report of a profiler is shown in short and kept in the folder of its run."""

import re
from pathlib import Path

import pytest
from tests.integration.stages import fit_in, run

PROFILER = "--trainer.profiler"


@pytest.fixture(scope="module")
def trained(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was profiled."""
    root = tmp_path_factory.mktemp("profiled")
    return fit_in(root, "--data.root", sample, "--trainer.max_epochs", 1, PROFILER, "simple")


def _check(said: str, folder: Path, stage: str) -> None:
    report = folder / f"{stage}-profile.txt"
    assert f"places: all of the profile: {report}\n" in said
    shown = said.partition("places: where the time went, parts within others:\n")[2]
    rows = [re.fullmatch(r" +([\d.]+) s +[\d,]+ calls  (.+)", line) for line in shown.splitlines()]
    found = [row for row in rows if row]
    assert 3 <= len(found) <= 8
    times_s = [float(row[1]) for row in found]
    assert times_s == sorted(times_s, reverse=True)
    text = report.read_text()
    assert text.startswith(f"{stage.upper()} Profiler Report"), "as Lightning writes it"
    assert all(row[2][:30] in text for row in found if row)  # PyTorch cuts names


def test_a_training_leaves_its_report(trained: Path) -> None:
    text = (trained / "fit-profile.txt").read_text()
    assert text.startswith("FIT Profiler Report")
    assert "run_training_batch" in text


@pytest.mark.filterwarnings("ignore:The PyTorch Profiler default schedule")  # of few steps
@pytest.mark.parametrize("name", ["simple", "advanced", "pytorch"])
def test_validate_shows_it_with_each_profiler(
    trained: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run("validate", "--ckpt_path", trained, PROFILER, name) == 0
    _check(capsys.readouterr().err, Path("runs/fit/0"), "validate")


def test_so_do_test_and_predict(
    trained: Path, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("test", "--ckpt_path", trained, PROFILER, "simple") == 0
    _check(capsys.readouterr().err, Path("runs/fit/0"), "test")
    pictures = str(sample / "pictures")
    assert run("predict", pictures, "--ckpt_path", trained, PROFILER, "simple") == 0
    _check(capsys.readouterr().err, Path("runs/fit/1"), "predict")


def test_a_run_without_one_says_nothing_of_it(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("validate", "--ckpt_path", trained) == 0
    assert "profile" not in capsys.readouterr().err
    assert not list(Path("runs").rglob("*profile*"))


def test_a_name_of_the_users_is_kept(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [PROFILER, "SimpleProfiler", f"{PROFILER}.filename=mine", f"{PROFILER}.dirpath=there"]
    assert run("validate", "--ckpt_path", trained, *words) == 0
    assert Path("there/validate-mine.txt").is_file()
    assert "places: all of the profile: there/validate-mine.txt" in capsys.readouterr().err


def test_an_interrupted_run_keeps_what_was_measured(sample: Path) -> None:
    words = ["--data.root", sample, "--model.net", "tests.networks.Overflowing"]
    words += ["--trainer.max_epochs", 1, PROFILER, "simple"]
    assert run("fit", *words) != 0, "its loss is not finite"
    assert Path("runs/fit/0/fit-profile.txt").read_text().startswith("FIT Profiler Report")
