"""`leaderboard/` in the repository: its results are right, and its tables are built from them."""

import contextlib
import io
import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from places.reports.result_schema import SCHEMA

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what makes the tables."""
    shutil.copytree(ROOT / "leaderboard", tmp_path / "leaderboard")
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "leaderboard.py", tmp_path / "scripts")
    return tmp_path


def _build(root: Path, *words: str) -> tuple[int, str]:
    main = runpy.run_path(str(root / "scripts" / "leaderboard.py"))["main"]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        return main(list(words)), said.getvalue()


def test_the_tables_are_fresh() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "leaderboard.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), "type: make leaderboard"


def test_results_hold_to_the_schema_and_tell_of_no_place() -> None:
    results = sorted((ROOT / "leaderboard").glob("*/result.json"))
    assert results
    for path in results:
        result = json.loads(path.read_text("utf-8"))
        jsonschema.validate(result, json.loads(SCHEMA.read_text("utf-8")))
        assert path.with_name("scores.parquet").is_file()
        assert result["training"]["recipe"] in path.parent.name
        assert not Path(result["checkpoint"]["path"]).is_absolute()
        assert result["code"]["revision"]
        assert not result["code"]["revision"].endswith("-dirty")


def test_the_sample_and_the_published_table_stand_each_under_its_own_data() -> None:
    text = (ROOT / "leaderboard" / "README.md").read_text("utf-8")
    tables = text.split("### ")[1:]
    assert "600 drawn pictures" in tables[0]
    assert "ResNet-18" in tables[0]
    assert "InternImage" not in tables[0]
    assert any("36,500 pictures" in table and "55.93%" in table for table in tables[1:])


def test_a_stale_table_is_named_and_built_again(checkout: Path) -> None:
    table = checkout / "leaderboard" / "README.md"
    text = table.read_text("utf-8")
    table.write_text(text.replace("ResNet", "Resnet"), encoding="utf-8")
    status, error = _build(checkout, "--check")
    assert status == 1
    assert error.startswith("stale: leaderboard/README.md\n")
    assert _build(checkout) == (0, "")
    assert table.read_text("utf-8") == text


def test_a_result_that_was_changed_builds_no_table(checkout: Path) -> None:
    path = next((checkout / "leaderboard").glob("*/result.json"))
    result = json.loads(path.read_text("utf-8"))
    result["scores"]["top1"] = 0.999
    path.write_text(json.dumps(result), encoding="utf-8")
    status, error = _build(checkout)
    assert status == 2
    assert "contradicts itself" in error
