"""`result.json`: the scores of `places test` and what is needed to reproduce them."""

import hashlib
import json
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.table import Table

from places.classifier import SceneClassifier
from places.console import show
from places.data.places365 import Places365
from places.data.shards.manifest import Manifest
from places.files import write_text
from places.lightning_internals import data_module
from places.processes import run_folder
from places.reports.complete_scores import is_complete

FILE_NAME = "result.json"
_FORMAT_VERSION = 1
_PACKAGES = ("places", "torch", "torchvision", "lightning", "numpy", "Pillow", "simplejpeg")


class Results(Callback):
    """Writes `result.json` after `test` on a split with labels, and prints its scores as a table.

    Writes nothing if only a part of the split was scored, which `CompleteScores` refuses earlier
    except with `fast_dev_run`, or if outputs are not finite, which `FiniteScores` refuses.
    """

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file and print the table."""
        data = data_module(trainer)
        folder = run_folder(trainer)
        if not isinstance(data, Places365) or not isinstance(pl_module, SceneClassifier):
            return
        manifest = data.manifests[data.test_split]
        if not (trainer.is_global_zero and is_complete(trainer, pl_module, data.test_split)):
            return
        scores, count = pl_module.evaluation.compute(), pl_module.evaluation.count
        show(_score_table(scores, count, manifest))
        result = _result(scores, count, manifest, folder, trainer.ckpt_path)
        write_text(folder / FILE_NAME, json.dumps(result, indent=2, allow_nan=False) + "\n")
        show(f"scores: {folder / FILE_NAME}")


def _result(
    scores: dict[str, float],
    count: int,
    manifest: Manifest,
    folder: Path,
    checkpoint: str | Path | None,
) -> dict[str, Any]:
    """Return the content of `result.json`, with the `config.yaml` of the run."""
    config = folder / "config.yaml"
    weights = None
    if checkpoint is not None:
        with Path(checkpoint).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        weights = {"path": str(checkpoint), "sha256": digest}
    return {
        "format": "places.result",
        "version": _FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "scores": scores,
        "num_images": count,
        "data": {
            "split": manifest.split,
            "variant": manifest.variant,
            "size": manifest.size,
            "synthetic": manifest.synthetic,
            "num_images": manifest.num_samples,
            "manifest_digest": manifest.digest,
        },
        "checkpoint": weights,
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
        "config": yaml.safe_load(config.read_text(encoding="utf-8")) if config.is_file() else None,
    }


def _score_table(scores: dict[str, float], count: int, manifest: Manifest) -> Table:
    kind = "synthetic pictures" if manifest.synthetic else "pictures"
    table = Table(title=f"{count:,} {kind} of split '{manifest.split}'", title_justify="left")
    table.add_column("score")
    table.add_column("value", justify="right")
    for name, value in scores.items():
        is_share = name in ("top1", "top5", "mean_class_accuracy", "calibration_error")
        table.add_row(name, f"{value:.2%}" if is_share else f"{value:.4f}")
    return table
