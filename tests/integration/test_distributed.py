"""Evaluation and prediction by two processes give the same files as by one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.stages import FIT, run

pytestmark = pytest.mark.slow


def _run_on(num_processes: int, stage: str, *words: object) -> None:
    # In a process of its own: Lightning starts the others by running the same command again.
    ddp = ["--trainer.strategy", "ddp_find_unused_parameters_false"] if num_processes > 1 else []
    command = [sys.executable, "-m", "places", stage, *FIT[10:], *map(str, words)]
    command += ["--trainer.devices", str(num_processes), *ddp]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def trained(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch."""
    root = tmp_path_factory.mktemp("trained")
    words = ["--data.root", sample, "--trainer.max_epochs", 1, "--trainer.default_root_dir", root]
    assert run("fit", *words) == 0
    return root / "fit" / "0"


def test_scores_do_not_depend_on_the_number_of_processes(trained: Path, tmp_path: Path) -> None:
    results = []
    for num_processes in (1, 2, 3):
        root = tmp_path / str(num_processes)
        # The same batch per process: in a batch of another size logits may be rounded differently.
        words = ["--ckpt_path", trained, "--data.batch_size", 5 * num_processes]
        _run_on(num_processes, "test", *words, "--trainer.default_root_dir", root)
        (file,) = root.rglob("result.json")
        results.append(json.loads(file.read_text()))
    assert [result["num_images"] for result in results] == [36, 36, 36]
    assert results[0]["scores"] == results[1]["scores"] == results[2]["scores"]


def test_predictions_do_not_depend_on_the_number_of_processes(
    trained: Path, tmp_path: Path
) -> None:
    texts = []
    for num_processes in (1, 2):
        root = tmp_path / str(num_processes)
        words = ["--ckpt_path", trained, "--data.batch_size", 3 * num_processes]
        _run_on(num_processes, "predict", *words, "--trainer.default_root_dir", root)
        (file,) = root.rglob("predictions.csv")
        texts.append(file.read_text())
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) == 1 + 26


def test_two_processes_train_on_the_order_of_one(sample: Path, tmp_path: Path) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 1, *FIT[:10]]
    _run_on(2, "fit", *words, "--data.batch_size", 16, "--trainer.default_root_dir", tmp_path)
    assert len(list(tmp_path.rglob("best.ckpt"))) == 1
    assert [path.name for path in (tmp_path / "fit").iterdir()] == ["0"]
