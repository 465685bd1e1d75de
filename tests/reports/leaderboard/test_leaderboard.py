"""`places leaderboard`, over results of real tests, and over what somebody changed in them."""

import csv
import hashlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow.parquet as pq
import pytest
from tests.integration.stages import fit_in, run

from places.cli.main import main
from places.errors import DataError
from places.reports.leaderboard.entries import Entry, published_entries, read_hits
from places.reports.leaderboard.table import boards_of
from places.training.intervals import paired_test, wilson

_TINY = (
    *("--model.net", "tests.networks.Tiny"),
    *("--data.image_size", 32, "--data.resize_size", 36),
)


CONFUSED = {"categories": ["airfield", "beach"], "second_as_first": 0}


@pytest.fixture(scope="module")
def tested(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs: 0 a training, 1 its test, 2 the test of random weights."""
    root = tmp_path_factory.mktemp("tested")
    trained = fit_in(root, "--data.root", sample, "--trainer.max_epochs", 3)
    words: tuple[object, ...] = ("--trainer.default_root_dir", root)
    assert run("test", "--ckpt_path", trained, *words) == 0
    assert run("test", "--data.root", sample, "--random_weights", *words, *_TINY) == 0
    return root


def _results(tested: Path) -> list[Path]:
    return sorted(path.parent for path in tested.rglob("result.json"))


def _board(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert main(["leaderboard", *map(str, words), "--format", "json"]) == 0
    board: dict[str, Any] = json.loads(capsys.readouterr().out)
    return board


def test_every_score_follows_from_the_scores_of_pictures(tested: Path) -> None:
    for folder in _results(tested):
        scores = json.loads((folder / "result.json").read_text())["scores"]
        columns = pq.read_table(folder / "scores.parquet").to_pydict()
        labels = np.array(columns["label"])
        guesses = np.stack([columns[f"top{rank}"] for rank in range(1, 6)], axis=1)
        hits = (guesses == labels[:, None]).cumsum(axis=1)
        for rank in range(1, 6):
            assert scores[f"top{rank}"] == hits[:, rank - 1].mean()
        mean = np.mean([hits[labels == label, 0].mean() for label in np.unique(labels)])
        assert scores["mean_class_accuracy"] == pytest.approx(mean)
        loss = -np.log(np.array(columns["probability"], np.float64)).mean()
        assert scores["loss"] == pytest.approx(loss, abs=1e-5)
        assert len(set(columns["key"])) == len(labels) == 36


def test_results_stand_in_their_own_table_beside_the_published_ones(
    tested: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = _board(capsys, *_results(tested))
    assert board["format"] == "places.leaderboard"
    own, *published = board["tables"]
    assert "36 drawn pictures" in own["data"]
    assert [row["top1"] for row in own["rows"]] == sorted(
        (row["top1"] for row in own["rows"]), reverse=True
    )
    assert len(own["rows"]) == 2
    rows = [row for table in published for row in table["rows"]]
    assert {row["name"] for row in rows} >= {"ResNet-50", "ResNet-18", "InternImage"}
    assert all(row["source"] for row in rows)
    protocols = {table["protocol"] for table in published}
    assert protocols >= {"1 crop of 224 px from 256", "10 crops", "crops not said"}
    assert len(_board(capsys, *_results(tested), "--no-published")["tables"]) == 1


@pytest.mark.parametrize("form", ["table", "markdown", "csv", "html"])
def test_every_form_has_every_row(
    tested: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    assert main(["leaderboard", *map(str, _results(tested)), "--format", form]) == 0
    out = capsys.readouterr().out
    assert "55.93%" in out
    assert "61.20%" in out
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(out)))
        assert len(rows) == 2 + len(published_entries())
        assert not any(cell.startswith("=") for row in rows for cell in row.values())
    if form == "markdown":
        assert out.count("| 61.20% |") == 1


def _entry(name: str, num_hits: int, num: int = 1000, **more: Any) -> Entry:  # noqa: ANN401  # of any kind
    interval = wilson(num_hits, num)
    return Entry(name, "data", "protocol", num_hits / num, interval, None, "x.json", **more)


def test_rows_are_grouped_by_what_can_be_told_apart() -> None:
    hits = [("a", 700), ("b", 690), ("c", 640), ("d", 630), ("e", 500)]
    entries = [_entry(name, num) for name, num in reversed(hits)]
    (board,) = boards_of(entries, lambda path: {})
    assert [(group, entry.name) for group, entry in board.rows] == [
        (1, "a"),
        (1, "b"),
        (2, "c"),
        (2, "d"),
        (3, "e"),
    ]


def test_the_paired_test_tells_apart_what_intervals_do_not() -> None:
    keys = [str(key) for key in range(1000)]
    right = {Path("a"): dict.fromkeys(keys, True), Path("b"): dict.fromkeys(keys, True)}
    for key in keys[:300]:
        right[Path("a")][key] = right[Path("b")][key] = False
    for key in keys[300:320]:
        right[Path("b")][key] = False
    entries = [_entry("a", 700, pictures=Path("a")), _entry("b", 680, pictures=Path("b"))]
    (board,) = boards_of(entries, right.__getitem__)
    assert [group for group, _ in board.rows] == [1, 2]
    assert paired_test(20, 0) < 0.05
    del right[Path("b")]["7"]  # other pictures cannot be paired
    (board,) = boards_of(entries, right.__getitem__)
    assert [group for group, _ in board.rows] == [1, 1]


def _change(result: dict[str, Any], way: str, value: object) -> None:
    *parts, last = way.split(".")
    for part in parts:
        result = result[part]
    result[last] = value


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        ("scores.top1", 0.99, "scores.top1"),
        ("scores.top5", 0.99, "scores.top5"),
        ("scores.mean_class_accuracy", 0.99, "scores.mean_class_accuracy"),
        ("num_images", 37, "num_images"),
        ("intervals.top1", [0.5, 0.9], "intervals.top1.low"),
        ("scores.top3", 0.99, "scores.top3"),
        ("scores.indoor_or_outdoor", 0.99, "scores.indoor_or_outdoor"),
        ("scores.loss", 0.01, "scores.loss"),
        ("scores.calibration_error", 0.0, "scores.calibration_error"),
        ("intervals.top4", [0.5, 0.9], "intervals.top4.low"),
        ("reliability", [{"num_images": 1}], "reliability.0.num_images"),
        ("confused", [{**CONFUSED, "first_as_second": 99}], "confused.first_as_second is 99"),
        ("protocol.crops", 10, "protocol.crops is 10, its config makes it 1"),
        ("protocol.flip", True, "protocol.flip"),
        ("protocol.image_size", 331, "protocol.image_size"),
        ("protocol.precision", "64-true", "protocol.precision"),
        ("config_hash", "0" * 64, "config_hash"),
        ("checkpoint.sha256", "0" * 64, "another checkpoint"),
        ("pictures.sha256", "0" * 64, "another pictures"),
        ("config.seed_everything", 7, "another config"),
        ("scores.top1", float("nan"), "no JSON"),
        ("scores.top1", "0.5", "damaged"),
        ("scores.top1", 10**400, "damaged"),
        ("num_images", 0, "damaged"),
        ("checkpoint.path", "x" * 5000, "damaged"),
        ("scores", None, "damaged"),
        ("categories", [1], "damaged"),
        ("data", {}, "damaged"),
        ("protocol", "one crop", "damaged"),
        ("format", "x", "no result"),
        ("version", 1, "version 1"),
        ("version", "\x1b[31m", "version"),
    ],
)
def test_a_result_that_was_changed_is_refused_by_name(
    tested: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    way: str,
    value: object,
    said: str,
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(_results(tested)[0], folder)
    result = json.loads((folder / "result.json").read_text())
    _change(result, way, value)
    (folder / "result.json").write_text(json.dumps(result))
    assert main(["leaderboard", str(folder)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert str(folder / "result.json") in error
    assert len(error.splitlines()) <= 4
    assert "\x1b" not in error


def test_pictures_that_somebody_made_right_do_not_match_the_scores(
    tested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(_results(tested)[0], folder)
    table = pandas.read_parquet(folder / "scores.parquet")
    table["top1"] = table["label"]
    table.to_parquet(folder / "scores.parquet")
    assert main(["leaderboard", str(folder)]) == 2
    assert "another pictures" in capsys.readouterr().err
    result = json.loads((folder / "result.json").read_text())
    content = (folder / "scores.parquet").read_bytes()
    result["pictures"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "result.json").write_text(json.dumps(result))
    assert main(["leaderboard", str(folder)]) == 2
    assert "scores.parquet makes it 1\n" in capsys.readouterr().err


def test_a_run_whose_scores_of_pictures_are_gone_is_refused_a_copy_without_them_listed(
    tested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(_results(tested)[0], folder)
    (folder / "scores.parquet").unlink()
    assert main(["leaderboard", str(folder)]) == 2
    assert f"{folder / 'scores.parquet'}, which is missing" in capsys.readouterr().err
    shutil.copy(folder / "result.json", tmp_path)
    (row,) = _board(capsys, tmp_path / "result.json", "--no-published")["tables"][0]["rows"]
    assert row["top5_interval"] == pytest.approx(wilson(round(36 * row["top5"]), 36))


@pytest.mark.parametrize(
    "text",
    ["seed_everything: [", "a: &a [x, x]\nb: [*a, *a]\na: 1", "a: !!python/name:os.system x", "\0"],
)
def test_a_config_that_is_none_is_refused(
    tested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(_results(tested)[0], folder)
    (folder / "config.yaml").write_text(text)
    assert main(["leaderboard", str(folder)]) == 2
    assert str(folder / "config.yaml") in capsys.readouterr().err


def test_a_config_with_numbers_that_json_does_not_know_matches_its_result(
    tested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((_results(tested)[0] / "result.json").read_text())["config"]
    root = config["data"]["init_args"]["root"]
    stopping = "EarlyStopping --trainer.callbacks.monitor val/loss"
    options = f"--trainer.callbacks+={stopping} --trainer.callbacks.divergence_threshold .inf"
    assert run("test", "--data.root", root, "--random_weights", *options.split(), *_TINY) == 0
    (result,) = Path("runs").rglob("result.json")
    assert main(["leaderboard", str(result.parent)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]", "\xff"])
def test_what_is_no_result_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "result.json").write_text(text)
    assert main(["leaderboard", str(tmp_path)]) == 2
    assert main(["leaderboard", str(tmp_path / "none")]) == 2
    assert all(len(line) < 300 for line in capsys.readouterr().err.splitlines())


def test_published_rows_are_shares_with_a_source() -> None:
    for entry in published_entries():
        assert 0.4 < entry.top1 < 0.7
        assert entry.top5 is None or entry.top1 < entry.top5 < 1
        assert entry.source
        assert entry.top1_interval[0] < entry.top1 < entry.top1_interval[1]


def test_scores_of_pictures_that_cannot_be_read_are_named(
    tested: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(_results(tested)[0], folder)
    table, content = folder / "scores.parquet", b"PAR1" + bytes(99)
    table.write_bytes(content)
    result = json.loads((folder / "result.json").read_text())
    result["pictures"]["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "result.json").write_text(json.dumps(result))
    assert main(["leaderboard", str(folder)]) == 2
    assert f"cannot read {table}" in capsys.readouterr().err
    with pytest.raises(DataError, match=f"cannot read {table}: ") as caught:
        read_hits(table)
    assert len(str(caught.value).splitlines()) <= 4
