"""`places runs`, over runs of every kind and over whatever else lies there."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.integration.stages import fit_in, run

from places.cli.main import main
from places.reports.run_file import process_of


def _listed(capsys: pytest.CaptureFixture[str], root: Path) -> dict[str, dict[str, Any]]:
    capsys.readouterr()
    assert main(["runs", "--root", str(root), "--format", "json"]) == 0
    return {row["run"]: row for row in json.loads(capsys.readouterr().out)}


def test_every_kind_of_run_is_listed(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--trainer.default_root_dir", tmp_path)
    trained = fit_in(tmp_path, "--data.root", sample, "--trainer.max_epochs", 2)
    assert run("validate", "--ckpt_path", trained, *where) == 0
    assert run("test", "--ckpt_path", trained, *where) == 0
    assert run("predict", sample / "pictures", "--ckpt_path", trained, *where) == 0
    rows = _listed(capsys, tmp_path)
    assert [row["stage"] for row in rows.values()] == ["fit", "validate", "test", "predict"]
    fit, validate, test, predict = rows.values()
    assert fit["outcome"] == "finished, 2 epochs"
    assert validate["outcome"] == test["outcome"] == "finished"
    (result,) = tmp_path.rglob("result.json")
    assert test["score"] == json.loads(result.read_text())["scores"]["top1"]
    assert validate["score"] == pytest.approx(test["score"])  # logged in 32 bits
    assert fit["score"] >= validate["score"]
    num = len(list((sample / "pictures").iterdir()))
    assert predict["outcome"] == f"finished, {num} pictures"
    assert fit["size_bytes"] == sum(p.stat().st_size for p in trained.rglob("*") if p.is_file())
    assert main(["runs", "--root", str(tmp_path)]) == 0
    assert "fit/0" in capsys.readouterr().out


def test_a_run_that_stopped_early_says_how_far_it_came(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--data.root", sample, "--trainer.max_epochs", 3)
    fit_in(tmp_path, *words, "--trainer.max_steps", 6)
    assert _listed(capsys, tmp_path)["fit/0"]["outcome"] == "finished early, 1 of 3 epochs"


def test_how_a_run_ended_is_told(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--data.root", sample, "--trainer.default_root_dir", tmp_path)
    assert run("fit", *words, "--trainer.max_epochs", 2, "--trainer.limit_val_batches", 0) == 0
    assert run("fit", *words, "--trainer.max_epochs", -1, "--trainer.max_steps", 3) == 0
    failing = ("--model.net", "tests.networks.Overflowing")
    assert run("fit", *words, *failing, "--trainer.max_epochs", 3) == 2
    record = json.loads((tmp_path / "fit" / "2" / "run.json").read_text())
    assert record["outcome"] == "failed"
    killed = tmp_path / "fit" / "3"
    shutil.copytree(tmp_path / "fit" / "2", killed)
    gone = {"outcome": None, "ended": None, "process": process_of() | {"started": 0}}
    (killed / "run.json").write_text(json.dumps(record | gone))
    going_on = tmp_path / "fit" / "4"
    shutil.copytree(killed, going_on)
    alive = {"outcome": None, "ended": None, "process": process_of()}
    (going_on / "run.json").write_text(json.dumps(record | alive))
    rows = _listed(capsys, tmp_path)
    assert [(row["state"], row["outcome"]) for row in rows.values()] == [
        ("complete", "finished, 2 epochs"),
        ("complete", "finished, 1 epoch"),
        ("failed", "0 of 3 epochs"),
        ("interrupted", "0 of 3 epochs"),
        ("going on", "0 of 3 epochs"),
    ]
    assert main(["runs", "--root", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "how it ended" in out
    assert "failed, 0 of 3 epochs" in out
    assert " 0.0 MB" not in out
    assert main(["report", str(tmp_path / "fit" / "2")]) == 0
    page = (tmp_path / "fit" / "2" / "report.html").read_text()
    assert "This run ended with an error; 0 of 3 epochs." in page
    assert "Go on with <code>places fit --ckpt_path " in page
    shutil.rmtree(killed / "checkpoints")
    assert main(["report", str(killed)]) == 0
    page = (killed / "report.html").read_text()
    assert "This run was interrupted; 0 of 3 epochs." in page
    assert "Go on with" not in page  # there is nothing to go on from


@pytest.mark.parametrize("name", ["config.yaml", "metrics.csv", "result.json"])
@pytest.mark.parametrize("text", ["", "\0", "[[", "{}", "# places fit\n[", "a,b\n1", "[" * 9999])
def test_damaged_files_are_survived(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    folder = tmp_path / "\x1b[31m" / "0"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / name).write_text(text)
    (folder.parent / "notes.txt").touch()
    (rows,) = _listed(capsys, tmp_path).values()
    assert rows["score"] is None
    assert main(["runs", "--root", str(tmp_path)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_without_runs_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--root", str(tmp_path)]) == 0
    assert "no run in" in capsys.readouterr().out
    assert main(["runs", "--root", str(tmp_path / "none")]) == 2


def test_numbers_that_no_run_has_are_survived(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "fit" / "3"
    folder.mkdir(parents=True)
    config = folder / "config.yaml"
    # More digits than Python writes; and a day of which no calendar knows, where a disk takes it.
    config.write_text(f"# places fit\ntrainer: {{max_epochs: 0x{'f' * 5000}}}\n")
    os.utime(config, (0, 2**38))
    (folder / "metrics.csv").write_text("step,epoch,val/top1\n0,0,0.25\n4,1,0.5\n")
    (folder / "link").symlink_to(config)
    (row,) = _listed(capsys, tmp_path).values()
    assert (row["stage"], row["outcome"], row["score"]) == ("fit", "2 epochs", 0.5)
    files = (config, folder / "metrics.csv")
    assert row["size_bytes"] == sum(path.stat().st_size for path in files)
    assert main(["report", str(folder)]) == 0
    assert "2 epochs" in (folder / "report.html").read_text()
