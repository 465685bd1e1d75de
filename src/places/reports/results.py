"""Writes `result.json` after `test` and prints its scores."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from rich.table import Table

from places.categories import load_categories, load_settings
from places.checkpoints.contents import check_parts, read_checkpoint
from places.classifier import SceneClassifier
from places.console import counted, put, show
from places.data.places365 import Places365
from places.data.shards.manifest import Manifest
from places.errors import CheckpointError
from places.files import write_text
from places.lightning_internals import data_module, is_trial
from places.processes import run_folder
from places.reports.complete_scores import is_complete
from places.reports.picture_scores import PictureScores, can_write
from places.reports.result_file import hardware_of, result_of, scores_of, training_of
from places.reports.result_schema import INSTALL_PARQUET, PICTURES, in_json
from places.reports.scoring_protocol import num_reported_ranks

FILE_NAME = "result.json"


class Results(Callback):
    """Writes `result.json` after `test` on a split with labels, and prints its scores as a table.

    Prints those of `validate` too, of the network and of the average of its weights.

    Writes nothing if only a part of the split was scored, which `CompleteScores` refuses earlier
    except with `fast_dev_run`, or if outputs are not finite, which `FiniteScores` refuses.
    """

    _start_s = 0.0
    _pictures: PictureScores | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the clock, and open the table of pictures."""
        self._start_s = time.monotonic()
        data, self._pictures = data_module(trainer), None
        is_labelled = isinstance(data, Places365) and data.manifests[data.test_split].labelled
        if is_labelled and isinstance(pl_module, SceneClassifier) and can_write():
            self._pictures = PictureScores(trainer)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's type; ours is the mapping that test_step returns
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch to the table of pictures."""
        if self._pictures is not None:
            self._pictures.add(batch, outputs, batch_idx)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the scores, unless a training goes on."""
        data = data_module(trainer)
        if trainer.state.fn != TrainerFn.VALIDATING or is_trial(trainer):
            return
        if not isinstance(data, Places365) or not isinstance(pl_module, SceneClassifier):
            _show_logged(trainer)
            return
        if not (trainer.is_global_zero and is_complete(trainer, pl_module, "val")):
            return
        named = {"val/": pl_module.evaluation}
        if pl_module.average is not None:
            named["val_ema/"] = pl_module.average_evaluation
        for prefix, sums in named.items():
            if sums.count and not sums.num_not_finite:
                scores = scores_of(sums, load_categories(), load_settings())
                put(score_table(scores, sums.count, data.manifests["val"], prefix))

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file and print the table."""
        seconds = time.monotonic() - self._start_s
        data = data_module(trainer)
        folder = run_folder(trainer)
        if not isinstance(data, Places365) or not isinstance(pl_module, SceneClassifier):
            _show_logged(trainer)
            return
        manifest = data.manifests[data.test_split]
        complete = is_complete(trainer, pl_module, data.test_split)
        pictures = None if self._pictures is None else self._pictures.finish(keep=complete)
        if not (trainer.is_global_zero and complete):
            return
        evaluation = pl_module.evaluation
        num_ranks = num_reported_ranks(trainer)
        scores = scores_of(evaluation, load_categories(), load_settings(), num_ranks)
        show(score_table(scores, evaluation.count, manifest))
        path = folder / "config.yaml"
        config = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else None
        checkpoint = Path(trainer.ckpt_path) if trainer.ckpt_path else _weights_in(config)
        result = result_of(
            scores,
            manifest,
            views=pl_module.views,
            config=config,
            checkpoint=checkpoint,
            pictures=pictures,
            training=_training_behind(checkpoint),
            seconds=seconds,
            hardware=hardware_of(pl_module.device, trainer.world_size),
        )
        text = json.dumps(in_json(result), indent=2, allow_nan=False)
        write_text(folder / FILE_NAME, f"{text}\n")
        show(f"scores: {folder / FILE_NAME}")
        if pictures is not None:
            num_wrong = evaluation.count - int(evaluation.confusion.trace())
            num = counted(evaluation.count, "picture")
            show(f"{num_wrong:,} of {num} wrong: where top1 is not label in {folder / PICTURES}")
        if not can_write():
            show(f"the scores of each picture are not kept: {INSTALL_PARQUET}")


def _weights_in(config: Mapping[str, Any] | None) -> Path | None:
    """Return the file of weights that a config names."""
    weights = ((config or {}).get("model") or {}).get("init_args", {}).get("weights")
    return Path(weights) if weights else None


def _training_behind(weights: Path | None) -> dict[str, Any] | None:
    """Return what a file tells of the training of its weights; `None` if it is none of ours."""
    if weights is None:
        return None
    try:
        checkpoint = read_checkpoint(weights)
        check_parts(checkpoint, weights)
    except CheckpointError:
        return None
    return training_of(checkpoint)


def _show_logged(trainer: Trainer) -> None:
    """Show what a network of others, or one on other data, logged."""
    if trainer.is_global_zero and trainer.callback_metrics and not is_trial(trainer):
        table = Table("score", "value")
        for name, value in trainer.callback_metrics.items():
            table.add_row(name, f"{float(value):.4f}")
        put(table)


def score_table(scores: dict[str, Any], count: int, manifest: Manifest, prefix: str = "") -> Table:
    """Return the scores and their intervals as a table.

    Args:
        scores: What `scores_of` returned.
        count: Number of pictures.
        manifest: Of the split.
        prefix: What names of scores begin with.
    """
    pictures = counted(count, "synthetic picture" if manifest.synthetic else "picture")
    table = Table(title=f"{pictures} of split '{manifest.split}'", title_justify="left")
    table.add_column("score")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    intervals = scores["intervals"]
    for name, value in scores["scores"].items():
        is_share = name in intervals or name == "calibration_error"
        interval = " to ".join(f"{end:.2%}" for end in intervals.get(name, ()))
        table.add_row(prefix + name, f"{value:.2%}" if is_share else f"{value:.4f}", interval)
    return table
