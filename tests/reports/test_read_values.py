"""Values in the files of runs: numbers, times and moments, whatever stands there."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from places.reports.metric_curves import read_curves
from places.reports.page.about_run import day_of, duration
from places.reports.result_file import training_of
from places.reports.run_file import is_going_on
from places.resume.cost import Cost, cost_of


def test_cells_that_are_no_numbers_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    lines = ["step,epoch,loss,note", "0,0,0.5,fine", "1,0,0.4\r1", "2,0,1e-3,", "3,1,0x10,y"]
    path.write_bytes("\n".join(lines).encode())
    curves, epochs, notes = read_curves(path)
    assert curves["loss"] == [(0, 0.5), (2, 0.001)]
    assert epochs == [(0, 0), (2, 0), (3, 1)]
    assert "2 values of note left out: no finite numbers" in notes
    assert "1 value of loss left out: no finite numbers" in notes
    assert any("1 line" in note for note in notes)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.123, "0.12 s"),
        (59.6, "1 min 0 s"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (100 * 3600 + 125, "100 h 2 min"),
        (5_000_000, "1,388 h 53 min"),
    ],
)
def test_times_are_told_as_people_do(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_moment_is_told_as_people_do_or_as_it_stands() -> None:
    assert day_of("2026-11-26T17:05:00+00:00") == "26 November 2026, 17:05 UTC"
    assert day_of("2026-11-26T17:05:00") == "26 November 2026, 17:05"
    assert day_of("some day, " * 10) == "some day, some day, some day, some day, "


@pytest.mark.parametrize("written", ["yesterday", None, 3, "9999-99-99T00:00:00+00:00"])
def test_of_a_run_elsewhere_a_moment_that_is_none_tells_nothing(written: object) -> None:
    record: dict[str, Any] = {"process": {"host": "another", "pid": 1, "started": 1}}
    now = datetime.now(UTC)
    assert is_going_on(record | {"written": now.isoformat()})
    assert not is_going_on(record | {"written": (now - timedelta(hours=2)).isoformat()})
    assert not is_going_on(record | {"written": written})
    assert not is_going_on(record | {"written": now.replace(tzinfo=None).isoformat()})


@pytest.mark.parametrize(
    ("stored", "cost"),
    [
        ({"num_images": 96, "seconds": 1.5}, Cost(96, 1.5)),
        (None, None),
        ([96, 1.5], None),
        ({"num_images": 96}, None),
        ({"num_images": "96", "seconds": 1.5}, None),
        ({"num_images": -1, "seconds": 1.5}, None),
        ({"num_images": 96, "seconds": float("inf")}, None),
    ],
)
def test_the_cost_in_a_checkpoint_is_not_believed(stored: object, cost: Cost | None) -> None:
    assert cost_of({"cost": stored}) == cost


def test_without_its_cost_a_training_saw_its_batches() -> None:
    config = {"data": {"init_args": {"batch_size": 16}}}
    record = {"config": config, "recipe": "fit", "manifest_digest": "ab", "versions": {}}
    checkpoint: dict[str, Any] = {"places": record, "epoch": 2, "global_step": 12}
    assert training_of(checkpoint)["num_images_seen"] is None
    known = training_of(checkpoint | {"training": {"num_batches": 24}})
    assert (known["num_images_seen"], known["hours"]) == (24 * 16, None)
    record["cost"] = {"num_images": 96, "seconds": 3600.0}
    assert training_of(checkpoint)["num_images_seen"] == 96
    assert training_of(checkpoint)["hours"] == 1.0
