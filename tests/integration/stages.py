"""How integration tests call the four stages: small, on the CPU, with few options."""

from pathlib import Path
from typing import Any

import torch
import yaml

from places.cli import main

FIT = [
    *("--model.net", "tests.networks.Tiny"),
    *("--model.schedule", "constant"),
    *("--data.batch_size", "16"),
    *("--data.image_size", "32"),
    *("--data.resize_size", "36"),
    *("--trainer.accelerator", "cpu"),
    *("--trainer.deterministic", "true"),
    *("--trainer.log_every_n_steps", "2"),
    *("--trainer.enable_progress_bar", "false"),
    *("--trainer.enable_model_summary", "false"),
]


def run(stage: str, *words: object) -> int:
    """Run a stage and return its exit status."""
    options = FIT if stage == "fit" else FIT[10:]
    return main([stage, *options, *map(str, words)])


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config.yaml of a run."""
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    return config


def load_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint."""
    weights: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights
