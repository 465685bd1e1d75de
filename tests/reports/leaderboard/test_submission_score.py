"""`places leaderboard score`, beside what the official development kit says and numpy counts."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from places.cli.main import main

Rows = list[tuple[str, list[int]]]


def _write(path: Path, rows: Rows) -> Path:
    path.write_text("\n".join(" ".join([name, *map(str, values)]) for name, values in rows))
    return path


def _score(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = main(["leaderboard", "score", *map(str, words)])
    return status, *capsys.readouterr()


def test_errors_are_those_of_the_official_scorer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The README of the development kit gives these errors for its demo file of 36,500 lines. How
    # many pictures are right with the first guess, the second, and so on, follows from them.
    expected = [0.9974, 0.9944, 0.9920, 0.9893, 0.9867]
    num = 36_500
    num_right = np.diff([0, *(round(num * (1 - error)) for error in expected)])
    places = np.repeat(np.arange(5), num_right).tolist()
    places += [-1] * (num - len(places))
    rng = np.random.default_rng(0)
    rng.shuffle(places)
    names = [f"Places365_val_{number:08}.jpg" for number in range(1, num + 1)]
    labels = rng.integers(365, size=num).tolist()
    guesses: Rows = []
    for name, label, place in zip(names, labels, places, strict=True):
        others = [(label + 1 + int(step)) % 365 for step in rng.choice(364, 5, replace=False)]
        if place >= 0:
            others[place] = label
        guesses.append((name, others))
    _write(tmp_path / "labels.txt", [(n, [x]) for n, x in zip(names, labels, strict=True)])
    rng.shuffle(guesses)
    submission = _write(tmp_path / "demo.val.pred.txt", guesses)
    words = (submission, "--labels", tmp_path / "labels.txt")

    status, out, _ = _score(capsys, *words)
    assert status == 0
    assert all(f"{error:.4f}" in out for error in expected)
    assert "36,500 pictures" in out
    interval = binomtest(int(num_right[0]), num).proportion_ci(method="wilson")
    assert f"{interval.low:.2%} to {interval.high:.2%}" in out

    _, out, _ = _score(capsys, *words, "--format", "json")
    result = json.loads(out)
    right = dict(zip(names, labels, strict=True))
    hits = np.array([[guess == right[name] for guess in five] for name, five in guesses])
    assert result["num_images"] == num
    assert result["errors"] == [1 - hits[:, :n].any(axis=1).sum() / num for n in range(1, 6)]


def test_a_label_that_is_guessed_twice_counts_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(tmp_path / "labels.txt", [("a.jpg", [7]), ("b.jpg", [8])])
    _write(tmp_path / "s.txt", [("a.jpg", [1, 7, 7, 7, 7]), ("b.jpg", [1, 2, 3, 4, 5])])
    words = (tmp_path / "s.txt", "--labels", tmp_path / "labels.txt", "--format", "json")
    assert json.loads(_score(capsys, *words)[1])["errors"] == [1, 0.5, 0.5, 0.5, 0.5]


GOOD = "a.jpg 1 2 3 4 5"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a.jpg 1 2 3 4", "line 1"),
        (f"{GOOD}\nb.jpg 1 2 3 4 5 6", "line 2"),
        (f"{GOOD}\nb.jpg 1 2 3 4 365", "line 2"),
        (f"{GOOD}\nb.jpg 1 2 3 4 -1", "line 2"),
        (f"{GOOD}\nb.jpg 1 2 3 4 1.0", "line 2"),
        (f"{GOOD}\nb.jpg 1 2 3 4 ²", "line 2"),
        (f"{GOOD}\n\n{GOOD}", "line 3: a.jpg a second time"),
        (GOOD, "1 are only in {labels}, the first:  b.jpg"),
        (f"{GOOD}\nb.jpg 1 2 3 4 5\nc.jpg 1 2 3 4 5", "the first:  c.jpg"),
        ("\x1b[31m 1 2 3 4", "line 1"),
        ("x" * 10_000, "line 1"),
        ("\n".join("x 1" for _ in range(9)), "and 7 more"),
    ],
)
def test_a_bad_file_is_named_by_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    labels = _write(tmp_path / "labels.txt", [("a.jpg", [1]), ("b.jpg", [2])])
    (tmp_path / "s.txt").write_text(text)
    status, _, error = _score(capsys, tmp_path / "s.txt", "--labels", labels)
    assert status == 2
    assert said.format(labels=labels) in error
    assert "s.txt" in error
    assert len(error.splitlines()) <= 4
    assert "\x1b" not in error


def test_mistakes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    submission = tmp_path / "s.txt"
    submission.write_text(GOOD)
    assert "--labels places365_val.txt" in _score(capsys, submission)[2]
    assert "no file at" in _score(capsys, submission, "--labels", tmp_path / "none")[2]
    assert "folder" in _score(capsys, submission, "--labels", tmp_path)[2]
    swapped = _write(tmp_path / "labels.txt", [("a.jpg", [1])])
    assert "not a name and 5 labels" in _score(capsys, swapped, "--labels", submission)[2]
