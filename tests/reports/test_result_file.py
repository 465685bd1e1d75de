"""`result.json`: its schema, its numbers against numpy and SciPy, and what identifies it."""

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from scipy import stats
from tests.integration.stages import fit_in, run

from places.reports.result_file import config_hash, scores_of
from places.reports.result_schema import SCHEMA
from places.reports.revision import git_revision, source_digest
from places.training.scores import EvaluationSums
from places.training.views import Views

NAMES = ("beach", "church/outdoor", "kitchen", "attic", "street", "tower", "bar")
SETTINGS = ("outdoor", "outdoor", "indoor", "indoor", "outdoor", "outdoor", "indoor")


def _scored() -> tuple[dict[str, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    labels = rng.choice([0, 1, 2, 3, 4, 5], size=200, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05])
    logits = rng.normal(size=(200, 7)).astype(np.float32)
    logits[np.arange(200), labels] += 1
    sums = EvaluationSums(7)
    sums.update(torch.from_numpy(logits), torch.from_numpy(labels))
    return scores_of(sums, NAMES, SETTINGS), logits, labels


def test_scores_and_intervals_equal_numpy_and_scipy() -> None:
    found, logits, labels = _scored()
    order = np.argsort(-logits, axis=1)
    hits = (order == labels[:, None]).cumsum(axis=1)[:, :5]
    indoor = np.array([setting == "indoor" for setting in SETTINGS])
    expected = {f"top{rank}": hits[:, rank - 1].sum() for rank in range(1, 6)}
    expected["indoor_or_outdoor"] = (indoor[order[:, 0]] == indoor[labels]).sum()
    for name, num in expected.items():
        assert found["scores"][name] == num / 200
        interval = stats.binomtest(num, 200).proportion_ci(method="wilson")
        assert found["intervals"][name] == pytest.approx([interval.low, interval.high])
    low, high = found["intervals"]["mean_class_accuracy"]
    assert low < found["scores"]["mean_class_accuracy"] < high


def test_categories_and_pairs_equal_numpy() -> None:
    found, logits, labels = _scored()
    guess = logits.argmax(axis=1)
    for label, row in enumerate(found["categories"]):
        mine = labels == label
        assert (row["category"], row["label"]) == (NAMES[label], label)
        assert row["num_images"] == mine.sum()
        assert row["num_predicted"] == (guess == label).sum()
        assert row["top1"] == ((guess[mine] == label).mean() if mine.any() else None)
    counts = {}
    for first in range(7):
        for second in range(first + 1, 7):
            to = ((labels == first) & (guess == second)).sum()
            back = ((labels == second) & (guess == first)).sum()
            if to + back:
                counts[NAMES[first], NAMES[second]] = (to, back)
    assert len(found["confused"]) == min(20, len(counts))
    totals = []
    for pair in found["confused"]:
        both = (pair["first_as_second"], pair["second_as_first"])
        assert both == counts[tuple(pair["categories"])]
        totals.append(sum(both))
    assert totals == sorted(totals, reverse=True)
    assert totals[0] == max(map(sum, counts.values()))


def test_a_result_holds_to_its_schema(sample: Path, tmp_path: Path) -> None:
    trained = fit_in(tmp_path / "trained", "--data.root", sample, "--trainer.max_epochs", 2)
    assert run("test", "--ckpt_path", trained) == 0
    (path,) = (tmp_path / "runs").rglob("result.json")
    result = json.loads(path.read_text())
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(result, schema)
    training = result["training"]
    assert training["config"]["trainer"]["max_epochs"] == 2
    assert training["num_images_seen"] == training["num_steps"] * 16 == 192
    assert result["code"] == {"revision": git_revision(), "source_sha256": source_digest()}
    assert sum(row["num_images"] for row in result["categories"]) == result["num_images"]
    assert result["cost"]["images_per_second"] > 0
    assert result["cost"]["training_images"] == 192
    assert result["cost"]["training_hours"] == training["hours"] > 0
    for part in ("scores", "data", "training"):
        damaged = {key: value for key, value in result.items() if key != part}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(damaged, schema)


def test_a_result_of_weights_without_a_checkpoint_holds_to_the_schema(
    sample: Path, tmp_path: Path
) -> None:
    words = ("--model.net", "tests.networks.Tiny", "--data.image_size", 32, "--random_weights")
    assert run("test", "--data.root", sample, *words) == 0
    (path,) = (tmp_path / "runs").rglob("result.json")
    result = json.loads(path.read_text())
    jsonschema.validate(result, json.loads(SCHEMA.read_text()))
    assert result["training"] is result["checkpoint"] is None


def test_the_hash_depends_on_what_a_score_depends_on() -> None:
    def config(**changes: object) -> dict[str, Any]:
        model = {"net": "x", "mean": [1], "label_smoothing": 0.1}
        data = {"image_size": 224, "batch_size": 8, "root": "a"}
        base: dict[str, Any] = {
            "model": {"init_args": model},
            "data": {"init_args": data},
            "trainer": {"precision": None, "devices": 1},
        }
        for key, value in changes.items():
            part, _, name = key.partition("__")
            (base[part] if part == "trainer" else base[part]["init_args"])[name] = value
        return base

    plain = config_hash(config(), Views())
    same = [config(data__batch_size=9), config(data__root="b"), config(trainer__devices=2)]
    others = [config(data__image_size=160), config(model__net="y"), config(trainer__precision="16")]
    assert {config_hash(one, Views()) for one in same} == {plain}
    views = [Views(10), Views(1, flip=True)]
    hashes = [config_hash(one, Views()) for one in others]
    hashes += [config_hash(config(), each) for each in views]
    assert len({plain, *hashes}) == 6
    assert config_hash(None, Views()) is None


def test_the_revision_tells_whether_files_differ_from_the_commit(tmp_path: Path) -> None:
    source = tmp_path / "src" / "places"
    source.mkdir(parents=True)
    assert git_revision(source) is None
    (source / "a.py").write_text("1\n")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    clean, digest = git_revision(source), source_digest(source)
    assert clean is not None
    assert len(clean) == 40
    (source / "a.py").write_text("2\n")
    assert git_revision(source) == f"{clean}-dirty"
    assert source_digest(source) != digest
