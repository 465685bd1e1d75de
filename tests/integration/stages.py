"""How integration tests call the four stages: small, on the CPU, with few options."""

import csv
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

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

# Processes that tests kill are forked from one that has imported everything.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.integration.stages", "places.cli.stages"])


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
    if "wandb" in sys.modules:  # or the process shares W&B's service, which outlives it
        sys.modules["wandb"].teardown()
    process = FORKS.Process(target=_run_and_exit, args=(stage, list(map(str, words))))
    process.start()
    while process.is_alive() and not is_time_to_die():
        process.join(0.002)
    process.kill()
    process.join()
    return process.exitcode


def _run_and_exit(stage: str, words: Sequence[str]) -> None:
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
