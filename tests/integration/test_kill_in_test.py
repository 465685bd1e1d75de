"""A test that is killed leaves whole files or none."""

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest
from tests.integration.stages import fit_in, run_apart

from places.cli.main import main
from places.reports.result_schema import SCHEMA

pytestmark = pytest.mark.slow

NUM_RANDOM_KILLS = 6


@pytest.fixture(scope="module")
def trained(mixed_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch."""
    words = ["--data.root", mixed_sample, "--trainer.max_epochs", 1]
    return fit_in(tmp_path_factory.mktemp("trained"), *words)


def _check_whole(root: Path) -> set[str]:
    """Read all files that have their own name, and return these."""
    found = set()
    for path in root.rglob("result.json"):
        found.add(path.name)
        jsonschema.validate(json.loads(path.read_text()), json.loads(SCHEMA.read_text()))
        assert path.with_name("scores.parquet").is_file()
        assert main(["leaderboard", str(path), "--no-published"]) == 0
    for path in root.rglob("scores.parquet"):
        found.add(path.name)
        assert pq.read_table(path).num_rows == 36
    for path in root.rglob("submission.txt"):
        found.add(path.name)
        lines = path.read_text().splitlines()
        assert len(lines) == 26
        assert all(len(line.split(" ")) == 6 for line in lines)
    return found


@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("name", "moment", "whole"),
    [
        ("scores.parquet", "half write", set()),
        ("scores.parquet", "after rename", {"scores.parquet"}),
        ("result.json", "half write", {"scores.parquet"}),
        ("result.json", "before rename", {"scores.parquet"}),
        ("result.json", "after rename", {"scores.parquet", "result.json"}),
        ("submission.txt", "half write", set()),
        ("submission.txt", "after rename", {"submission.txt"}),
    ],
)
def test_no_file_is_left_half_written(
    trained: Path, name: str, moment: str, whole: set[str]
) -> None:
    words: list[object] = ["--ckpt_path", trained, "--data.batch_size", 8]
    words += ["--data.test_split", "test"] if name == "submission.txt" else []
    words += ["--trainer.callbacks+=tests.deaths.DeathAtFile"]
    words += ["--trainer.callbacks.name", name, "--trainer.callbacks.moment", moment]
    assert run_apart("test", words) == -signal.SIGKILL
    assert _check_whole(Path("runs")) == whole


@pytest.mark.no_cover
def test_kills_at_random_moments_leave_whole_files(trained: Path) -> None:
    chance = random.Random(0)
    words = ["--ckpt_path", trained, "--data.batch_size", 4, "--test.crops", 10]
    for number in range(NUM_RANDOM_KILLS):
        split = ("val", "test")[number % 2]
        root = Path("killed", str(number))
        more = ["--data.test_split", split, "--trainer.default_root_dir", root]
        status = run_apart("test", [*words, *more], _soon_after(root, chance.uniform(0, 0.2)))
        assert status in (0, -signal.SIGKILL)
        _check_whole(root)


def _soon_after(root: Path, delay_s: float) -> Callable[[], bool]:
    """Return a function that says when a run has had its folder for a while."""

    def is_time() -> bool:
        has_begun = any(root.rglob("config.yaml"))
        if has_begun:
            time.sleep(delay_s)
        return has_begun

    return is_time
