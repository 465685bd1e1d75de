"""`places runs`, over runs of every kind and over whatever else lies there."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.stages import fit_in, run

from places.cli.main import main


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
    assert _listed(capsys, tmp_path)["fit/0"]["outcome"] == "1 of 3 epochs"


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
