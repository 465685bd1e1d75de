"""Several processes compute what one does, and end together when one of them fails."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch
from tests.integration.stages import (
    CHILD,
    MACHINE,
    TINY_RECIPE,
    fit_in,
    load_weights,
    read_config,
    read_metrics,
    run_together,
)
from tests.networks import FAILURE

from places.data.shards.index import load_index
from places.data.shards.manifest import load_manifest
from places.data.streaming.plan import train_batch, train_order

pytestmark = pytest.mark.slow

TIME_LIMIT_S = 150
TIME_LIMIT_AFTER_FAILURE_S = 60
# In 64 bits, where the different rounding of sums of gradients is not mistaken for anything else.
RTOL, ATOL = 1e-9, 1e-12


def _launch(num_processes: int, stage: str, *words: object, failure: str = "") -> tuple[int, str]:
    """Run a stage as users do; return its exit status and errors, once all processes have ended.

    Args:
        num_processes: Number of processes.
        stage: The stage.
        words: Its options.
        failure: What is said when one fails. All have to end within a minute of it.
    """
    # In a process of its own: Lightning starts the others by running the same command again.
    ddp = ["--trainer.strategy", "ddp_find_unused_parameters_false"]
    command = [sys.executable, "-m", "places", stage, *MACHINE, *map(str, words)]
    command += ["--trainer.devices", str(num_processes), *ddp]
    process = subprocess.Popen(
        command,
        env={**os.environ, **CHILD},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    lines: list[str] = []
    has_failed = threading.Event()

    def read(pipe: IO[str]) -> None:
        for line in pipe:
            lines.append(line)
            if failure and failure in line:
                has_failed.set()
        has_failed.set()

    # Ends when all have closed the pipe, and so with those that Lightning started too.
    reader = threading.Thread(target=read, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        assert has_failed.wait(TIME_LIMIT_S), lines
        reader.join(TIME_LIMIT_AFTER_FAILURE_S)
        assert not reader.is_alive(), lines
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
    return process.returncode, "".join(lines)


def _run_on(num_processes: int, stage: str, *words: object) -> None:
    assert run_together(num_processes, stage, *words) == [0] * num_processes


@pytest.fixture(scope="module")
def trained(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch."""
    return _trained(sample, tmp_path_factory)


@pytest.fixture(scope="module")
def trained_mixed(mixed_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch on shards of raw pictures and JPEGs."""
    return _trained(mixed_sample, tmp_path_factory)


def _trained(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["--data.root", sample, "--trainer.max_epochs", 1]
    return fit_in(tmp_path_factory.mktemp("trained"), *words)


@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("run", "numbers"),
    [
        ("trained", {"test": [1, 2], "validate": [1, 2]}),
        ("trained_mixed", {"test": [1, 3], "validate": [1, 2]}),
    ],
)
def test_scores_do_not_depend_on_the_number_of_processes(
    run: str, numbers: dict[str, list[int]], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    trained: Path = request.getfixturevalue(run)
    results, tables, metrics = [], [], []
    for stage, num_processes in [(name, number) for name in numbers for number in numbers[name]]:
        root = tmp_path / f"{stage} {num_processes}"
        # The same batch per process: in a batch of another size logits may be rounded differently.
        words = ["--ckpt_path", trained, "--data.batch_size", 5 * num_processes]
        words += ["--test.crops", 10] if stage == "test" else []
        _run_on(num_processes, stage, *words, "--trainer.default_root_dir", root)
        if stage == "test":
            (file,) = root.rglob("result.json")
            results.append(json.loads(file.read_text()))
            tables.append(file.with_name("scores.parquet").read_bytes())
        else:
            metrics.append(read_metrics(*root.glob("*/0")))
    assert [result["num_images"] for result in results] == [36, 36]
    assert [result["hardware"]["num_processes"] for result in results] == numbers["test"]
    for part in ("scores", "intervals", "categories", "confused", "reliability", "pictures"):
        assert results[0][part] == results[1][part], part
    assert results[0]["protocol"]["crops"] == 10
    assert tables[0] == tables[1]
    assert metrics[0] == metrics[1]
    assert "val/top1" in {name for _, name in metrics[0]}


@pytest.mark.no_cover
def test_the_submission_does_not_depend_on_the_number_of_processes(
    trained: Path, trained_mixed: Path, tmp_path: Path
) -> None:
    texts = []
    # Of the same weights on shards of both kinds: the same pixels, so the same answers.
    data = read_config(trained_mixed)["data"]["init_args"]["root"]
    for num_processes, more in ((1, []), (2, []), (3, ["--data.root", data])):
        root = tmp_path / str(num_processes)
        words = [*more, "--ckpt_path", trained, "--data.batch_size", 3 * num_processes]
        words += ["--data.test_split", "test", "--test.crops", 10]
        _run_on(num_processes, "test", *words, "--trainer.default_root_dir", root)
        (file,) = root.rglob("submission.txt")
        assert not [path for path in file.parent.iterdir() if "submission.txt." in path.name]
        texts.append(file.read_text())
    assert texts[0] == texts[1] == texts[2]
    assert len(texts[0].splitlines()) == 26


@pytest.mark.no_cover
def test_predictions_do_not_depend_on_the_number_of_processes(
    trained_mixed: Path, tmp_path: Path
) -> None:
    texts = []
    for num_processes in (1, 2):
        root = tmp_path / str(num_processes)
        words = ["--ckpt_path", trained_mixed, "--data.batch_size", 3 * num_processes]
        _run_on(num_processes, "predict", *words, "--trainer.default_root_dir", root)
        (file,) = root.rglob("predictions.csv")
        texts.append(file.read_text())
    assert texts[0] == texts[1]
    assert len(texts[0].splitlines()) == 1 + 26


def test_two_processes_leave_the_files_and_the_count_of_skipped_pictures_of_one(
    raw_sample: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    number = _damage_a_picture_of_the_second_process(raw_sample, tmp_path / "data")[0]
    orders = [train_order([96], seed=0, epoch=epoch) for epoch in range(2)]
    ranks = {int(np.flatnonzero(order == number)[0]) % 16 // 8 for order in orders}
    assert ranks == {0, 1}, "each process meets the picture in one of the epochs"
    words = ["--data.root", tmp_path / "data", "--trainer.max_epochs", 2, *TINY_RECIPE]
    words += ["--data.batch_size", 16, "--data.bad_samples", "skip"]
    said = tmp_path / "said"
    words += ["--trainer.default_root_dir", runs]
    assert run_together(2, "fit", *words, said_in=said) == [0, 0]
    errors = said.read_text()
    assert errors.count("places: skipped sample") == 1, errors
    assert len(list(runs.rglob("best.ckpt"))) == 1
    assert [path.name for path in (runs / "fit").iterdir()] == ["0"]
    metrics = read_metrics(runs / "fit" / "0")
    counts = [value for (_, name), value in metrics.items() if name == "train/bad_samples"]
    assert counts == ["1.0", "1.0"]


@pytest.mark.first_covers
@pytest.mark.parametrize("pixels", ["sample", "mixed_sample"])
def test_two_processes_train_as_one_with_the_same_global_batch(
    pixels: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    sample: Path = request.getfixturevalue(pixels)
    # 96 pictures: 4 steps and 16 pictures that no step takes.
    words = ["--data.root", sample, "--trainer.max_epochs", 1, *TINY_RECIPE]
    words += ["--model.net", "tests.networks.Frozen", "--data.batch_size", 20]
    words += ["--trainer.precision", "64-true"]
    weights = []
    for num_processes in (1, 2):
        root = tmp_path / str(num_processes)
        _run_on(num_processes, "fit", *words, "--trainer.default_root_dir", root)
        weights.append(load_weights(root / "fit" / "0" / "checkpoints" / "last.ckpt"))
    assert weights[0].keys() == weights[1].keys()
    for key, weight in weights[0].items():
        torch.testing.assert_close(weights[1][key], weight, rtol=RTOL, atol=ATOL)


def test_a_process_that_fails_ends_all_with_its_own_message(sample: Path) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 1, *TINY_RECIPE]
    words += ["--model.net", "tests.networks.Failing", "--model.net.rank", 1]
    status, errors = _launch(2, "fit", *words, failure=FAILURE)
    assert status != 0
    assert FAILURE in errors
    assert errors.count("RuntimeError: the network of process 1 failed") == 1
    assert errors.count("Traceback") == 1, errors


def test_a_damaged_picture_in_one_process_ends_all_with_its_name(
    sample: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    _, place = _damage_a_picture_of_the_second_process(sample, root)
    words = ["--data.root", root, "--trainer.max_epochs", 1, *TINY_RECIPE]
    status, errors = _launch(2, "fit", *words, "--data.batch_size", 16)
    assert status != 0
    assert errors.count("places: error: damaged JPEG") == 1
    assert place in errors
    assert "Traceback" not in errors


def _damage_a_picture_of_the_second_process(sample: Path, root: Path) -> tuple[int, str]:
    """Copy the sample, overwrite a picture of the third step and return its number and place."""
    shutil.copytree(sample, root, ignore=shutil.ignore_patterns("archives", "pictures"))
    manifest = load_manifest(root, "train")
    order = train_order([shard.num_samples for shard in manifest.shards], seed=0, epoch=0)
    number = train_batch(order, 16, 2, rank=1, num_ranks=2)[1]
    entry = np.array(load_index(manifest)[number])
    offset = int(entry["offset"])
    with manifest.shard_paths[int(entry["shard"])].open("r+b") as tar:
        tar.seek(offset)
        tar.write(bytes(int(entry["size_bytes"])))
    return int(number), f"at byte {offset:,}"


def test_two_processes_say_everything_once(sample: Path, trained: Path, tmp_path: Path) -> None:
    root = ["--trainer.default_root_dir", tmp_path]
    words = ["--data.root", sample, *TINY_RECIPE, *root, "--report", "false"]
    stopping = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val/loss"]
    stopping += ["--trainer.callbacks.min_delta=10", "--trainer.callbacks.patience=1"]
    last = trained / "checkpoints" / "last.ckpt"
    resumed: list[object] = [
        "--ckpt_path",
        last,
        "--trainer.max_epochs",
        1,
        "--model.label_smoothing",
        0.1,
    ]
    cases: list[tuple[list[object], list[str]]] = [
        (["--trainer.max_epochs", 4, *stopping], ["this run is ", "ended early: "]),
        (resumed, ["not as in the checkpoint:", "this run is ", "nothing was left to do"]),
        (["--checkpoint.monitor", "val/tpo1"], ["error: checkpoint.monitor is"]),
    ]
    for number, (options, expected) in enumerate(cases):
        said_in = tmp_path / f"{number}.txt"
        statuses = run_together(2, "fit", *words, *options, said_in=said_in)
        errors = said_in.read_text()
        assert statuses[0] == (2 if "error" in expected[0] else 0), errors
        lines = [line for line in errors.splitlines() if line.strip()]
        for each in expected:
            assert sum(line.startswith(f"places: {each}") for line in lines) == 1, errors
        assert len(lines) == len(set(lines)), errors
