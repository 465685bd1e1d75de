"""How integration tests call the four stages: small, on the CPU, with few options."""

import csv
import multiprocessing
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from lightning.pytorch.utilities import rank_zero_only
from tests.conftest import COVERAGE_OF_CHILDREN

from places.cli.main import main

# What a recipe says; stages after fit take it from the checkpoint.
TINY_RECIPE = [
    *("--model.net", "tests.networks.Tiny"),
    *("--model.schedule", "constant"),
    *("--data.batch_size", "16"),
    *("--data.image_size", "32"),
    *("--data.resize_size", "36"),
]
# What belongs to the machine and to what is shown; for every stage.
MACHINE = [
    *("--trainer.accelerator", "cpu"),
    *("--trainer.deterministic", "true"),
    *("--trainer.log_every_n_steps", "2"),
    *("--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
    *("--trust", "tests"),  # checkpoints name networks of these tests
]
FIT = [*TINY_RECIPE, *MACHINE]

# What a command in a process of its own has to be told to find this code, and nothing else.
_ROOT = Path(__file__).parents[2]
CHILD = {"PYTHONPATH": f"{_ROOT / 'src'}{os.pathsep}{_ROOT}", "OMP_NUM_THREADS": "1"}

# Processes that tests kill are forked from one that has imported everything.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.integration.stages", "places.cli.stages"])
# What tells them that they are measured; a test without coverage may be the first that forks.
_MEASURED = {name: os.environ[name] for name in {COVERAGE_OF_CHILDREN} & os.environ.keys()}


def run(stage: str, *words: object) -> int:
    """Run a stage and return its exit status."""
    return main([stage, *options_of(stage), *map(str, words)])


def options_of(stage: str) -> list[str]:
    """Return the options that a stage needs beside its data and its checkpoint."""
    no_page = ["--report", "false"] if stage in ("fit", "test") else []  # it takes a second
    return [*(FIT if stage == "fit" else MACHINE), *no_page]


def fit_in(root: Path, *words: object) -> Path:
    """Train into a folder and return the folder of the run."""
    assert run("fit", *words, "--trainer.default_root_dir", root) == 0
    return root / "fit" / "0"


def run_apart(
    stage: str, words: Sequence[object], is_time_to_die: Callable[[], bool] = lambda: False
) -> int | None:
    """Run a stage in a process of its own, and kill it when it is time.

    Returns:
        The exit status, negative for the signal that ended the process.
    """
    process = _forked(stage, words)
    while process.is_alive() and not is_time_to_die():
        process.join(0.002)
    process.kill()
    process.join()
    return process.exitcode


def run_together(
    num_processes: int, stage: str, *words: object, said_in: Path | None = None
) -> list[int | None]:
    """Run a stage in some processes at once, told of each other as torchrun tells them.

    They are forked, so nothing is imported anew: seconds less for each than a launcher takes.

    Args:
        num_processes: Number of processes.
        stage: The stage.
        words: Its options.
        said_in: A file for what all of them write to standard error.

    Returns:
        The exit status of each, by its rank. When one ends with another one than 0 and 1, the
        others are killed.
    """
    if num_processes == 1:
        return [run_apart(stage, words)]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    told: dict[str, object] = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    told |= {"TORCHELASTIC_RUN_ID": "none", "GROUP_RANK": 0}
    told |= {"WORLD_SIZE": num_processes, "LOCAL_WORLD_SIZE": num_processes}
    shape: list[object] = ["--trainer.devices", num_processes]
    shape += ["--trainer.strategy", "ddp_find_unused_parameters_false"]
    processes = [
        _forked(stage, [*words, *shape], told | {"RANK": rank, "LOCAL_RANK": rank}, said_in)
        for rank in range(num_processes)
    ]
    while None in {process.exitcode for process in processes} <= {None, 0, 1}:
        time.sleep(0.01)
    for process in processes:
        process.kill()
        process.join()
    return [process.exitcode for process in processes]


def _forked(
    stage: str,
    words: Sequence[object],
    environment: Mapping[str, object] | None = None,
    said_in: Path | None = None,
) -> BaseProcess:
    """Start a stage in a process of its own."""
    if "wandb" in sys.modules:  # or the process shares W&B's service, which outlives it
        sys.modules["wandb"].teardown()
    told = {name: str(value) for name, value in (environment or {}).items()}
    given = (stage, list(map(str, words)), told, said_in, sys.gettrace() is not None)
    process = FORKS.Process(target=_run_and_exit, args=given)
    with mock.patch.dict(os.environ, _MEASURED):  # the first one starts their server
        process.start()
    return process


def _run_and_exit(
    stage: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    said_in: Path | None,
    is_measured: bool,
) -> None:
    os.environ |= environment
    if not is_measured:
        sys.settrace(None)
        threading.settrace(None)
    if said_in is not None:
        os.dup2(os.open(said_in, os.O_WRONLY | os.O_CREAT | os.O_APPEND), sys.stderr.fileno())
    # Lightning reads it when it is imported.
    rank_zero_only.rank = int(environment.get("RANK", 0))  # type: ignore[attr-defined]  # not told
    torch.set_num_threads(1)
    raise SystemExit(run(stage, *words))


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config.yaml of a run."""
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return config


def load_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint."""
    weights: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights


def read_metrics(*folders: Path) -> dict[tuple[int, str], str]:
    """Return the last value of each metric at each step, over the runs that follow each other.

    What tells of the clock is left out: no two runs agree in it.
    """
    values = {}
    for folder in folders:
        path = folder / "metrics.csv"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for row in csv.DictReader(lines):
            for name, value in row.items():
                if value and not name.startswith("time/"):
                    values[int(row["step"]), name] = value
    return values
