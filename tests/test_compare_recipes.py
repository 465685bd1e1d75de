"""The script that compares recipes, as one calls it: small, ended and called again."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "benchmarks" / "compare_recipes.py"
RECIPE = ROOT / "configs" / "sample" / "resnet18_modern.yaml"
SMALL = {"batch_size": 16, "image_size": 32, "resize_size": 32, "start_image_size": 16}


def _compare(sample: Path, budget_s: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
    words = ["--root", str(sample), "--folder", "compared", "--budget_s", budget_s, "--seeds", "7"]
    words += ["--recipes", "small.yaml", "--num_steps", "6", "--cores_each", "1"]
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(command, env=environment, check=False, capture_output=True, text=True)


@pytest.mark.no_cover
@pytest.mark.slow
def test_a_comparison_trains_for_the_budget_and_is_not_repeated(
    sample: Path, tmp_path: Path
) -> None:
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    recipe["data"] |= SMALL
    recipe["trainer"]["log_every_n_steps"] = 2
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    done = _compare(sample, "2")
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "compared" / "comparison.json").read_text(encoding="utf-8"))
    planned, (record,) = written["plans"]["small"], written["records"]
    # 96 pictures in each epoch; in one more the budget would not have been kept.
    slowest, fastest = sorted(planned["rates"].values())
    assert planned["expected_s"] <= 2 or planned["epochs"] == 1
    assert 96 * planned["epochs"] / fastest <= planned["expected_s"] + 0.1
    assert 96 * (planned["epochs"] + 1) / slowest >= 2
    assert record["images"] == 96 * planned["epochs"]
    # What is in the table is what `places test` wrote of the last weights.
    (result,) = (tmp_path / "compared").rglob("result.json")
    found = json.loads(result.read_text(encoding="utf-8"))
    assert record["scores"] == found["scores"]
    assert found["checkpoint"]["path"].endswith("last.ckpt")
    assert found["config"]["model"]["init_args"]["use_average"] is True
    assert found["training"]["config"]["seed_everything"] == 7
    (metrics,) = (tmp_path / "compared" / "runs" / "small-7" / "fit").rglob("metrics.csv")
    with metrics.open(encoding="utf-8", newline="") as file:
        assert sum(bool(row["val/top1"]) for row in csv.DictReader(file)) == 1
    table = (tmp_path / "compared" / "comparison.md").read_text(encoding="utf-8")
    assert f"| `small` | {planned['epochs']} |" in table
    assert f"| {found['scores']['top1']:.1%} | {found['scores']['top1']:.1%} |" in table
    # Called again, it finds all complete; with another budget it is another comparison.
    stamp = result.stat().st_mtime_ns
    again = _compare(sample, "2")
    assert (again.returncode, again.stdout) == (0, f"{table}\n")
    assert result.stat().st_mtime_ns == stamp
    other = _compare(sample, "3")
    assert other.returncode == 1
    assert "compared holds another comparison: give --folder" in other.stderr
