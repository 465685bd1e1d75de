"""Tells the loggers of a run what they do not get by themselves."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.trainer.states import TrainerFn
from matplotlib.figure import Figure
from torch.optim import Optimizer

from places.categories import load_categories, load_settings
from places.classifier import SceneClassifier
from places.lightning_internals import data_module, log_every_n_steps
from places.reports.complete_scores import is_complete
from places.reports.figures import confusion_figure, reliability_figure
from places.reports.result_file import scores_of
from places.reports.scoring_protocol import num_reported_ranks
from places.reports.tracking.facts import facts_of, record_of
from places.reports.tracking.guard import Guard
from places.reports.tracking.guesses import NUM_PICTURES, Guess, guesses_of
from places.reports.tracking.memory import memory_peaks
from places.reports.tracking.mlflow_tracker import MlflowTracker
from places.reports.tracking.tensorboard_tracker import TensorBoardTracker
from places.reports.tracking.tracker import Tracker
from places.reports.tracking.wandb_tracker import WandbTracker
from places.resume.best import BestCheckpoint
from places.training.views import Views

# A logger that is none of these gets settings and numbers.
TRACKERS: dict[type[Logger], Callable[[Any], Tracker] | None] = {
    WandbLogger: WandbTracker,
    TensorBoardLogger: TensorBoardTracker,
    MLFlowLogger: MlflowTracker,
    CSVLogger: None,  # has a column for each metric, and config.yaml beside it
    DummyLogger: None,  # of a trial
}
_CATEGORY_COLUMNS = (
    *("category", "num_images", "num_predicted"),
    *("top1", "from", "to", "top5", "top5_from", "top5_to"),
)
_RELIABILITY_COLUMNS = (
    *("from", "to", "num_images", "mean_confidence"),
    *("accuracy", "accuracy_from", "accuracy_to"),
)


class Tracking(Callback):
    """Shows a run in the loggers that were asked for beside the table of metrics.

    When a run begins: its config without secrets, its hash, versions, the commit of the code, the
    digests of the data, the machine. While it trains: memory. After each validation: the best
    scores so far, and some pictures with what the network says of them. At the end: scores of each
    category, confusion matrix, reliability, cost. A logger that fails ends no run, see `Guard`.
    """

    def __init__(self) -> None:
        self._trackers: list[tuple[Tracker, Guard]] = []
        self._guesses: list[Guess] = []
        self._best: dict[str, float] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the loggers, on the first process."""
        self._trackers = []
        for logger in trainer.loggers if trainer.is_global_zero else ():
            makes = (make for kind, make in TRACKERS.items() if isinstance(logger, kind))
            make = next(makes, Tracker)
            if make is not None:
                tracker = make(logger)
                self._trackers.append((tracker, Guard(logger, tracker.finish)))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what the run is."""
        self._begin(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what the run is, unless it is a training; take pictures anew."""
        self._guesses = []
        if trainer.state.fn == TrainerFn.VALIDATING:
            self._begin(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what the run is."""
        self._guesses = []
        self._begin(trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell what the run is."""
        self._begin(trainer, pl_module)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Every few steps, tell how much memory was taken.

        `metrics.csv` does without: a resumed run repeats all that is in there, and takes other
        memory.
        """
        every = log_every_n_steps(trainer)
        if self._trackers and every and (trainer.global_step + 1) % every == 0:
            peaks = memory_peaks(pl_module.device)
            self._each(lambda x: x.numbers(peaks, trainer.global_step))

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's type
        batch: Any,  # noqa: ANN401  # likewise
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take the first few pictures."""
        self._take(batch, outputs, Views())

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's type
        batch: Any,  # noqa: ANN401  # likewise
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take the first few pictures."""
        self._take(batch, outputs, _views_of(pl_module))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the pictures and the best scores; all scores, if no training goes on."""
        if not self._trackers or trainer.sanity_checking:
            return
        self._show_pictures(trainer, "val")
        if trainer.state.fn == TrainerFn.FITTING:
            if self._is_best(trainer):
                self._each(lambda x: x.summary(self._best, _step(trainer)))
        else:
            self._show_scores(trainer, pl_module, "val")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show all scores of the last validation, and the cost."""
        self._show_scores(trainer, pl_module, "val")
        self._show_cost(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the pictures and all scores."""
        split = getattr(data_module(trainer), "test_split", "test")
        self._show_pictures(trainer, "test")
        self._show_scores(trainer, pl_module, split, "test")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Show what a training cost, though it was ended."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._show_cost(trainer)

    def state_dict(self) -> dict[str, Any]:
        """Return the best scores, so that a resumed run knows them."""
        return {"best": dict(self._best)} if self._best else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the best scores; a checkpoint may hold anything."""
        best = state_dict.get("best")
        pairs = best.items() if isinstance(best, dict) else ()
        self._best = {str(k): float(v) for k, v in pairs if isinstance(v, int | float)}

    def _each(self, tell: Callable[[Tracker], None]) -> None:
        for tracker, guard in self._trackers:
            guard.attempt(tell, tracker)

    def _begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._trackers:
            facts = facts_of(trainer, pl_module)
            self._each(lambda x: x.begin(facts))

    def _take(self, batch: object, outputs: object, views: Views) -> None:
        num = NUM_PICTURES - len(self._guesses)
        if self._trackers and num > 0:
            self._guesses += guesses_of(batch, outputs, load_categories(), num, views)

    def _show_pictures(self, trainer: Trainer, stage: str) -> None:
        if self._guesses:
            name, step = f"{stage}/predictions", _step(trainer)
            self._each(lambda x: x.pictures(name, self._guesses, step))

    def _is_best(self, trainer: Trainer) -> bool:
        """Take the scores of this validation if they are the best, as the best checkpoint is."""
        found = trainer.callback_metrics
        scores = {f"best/{name}": float(found[name]) for name in filter(_is_score, found)}
        monitor, is_min = _judged_by(trainer)
        name = f"best/{monitor}"
        if name not in scores:
            return False
        before = self._best.get(name)
        sign = -1 if is_min else 1
        if before is not None and not sign * scores[name] > sign * before:
            return False
        step, epoch = float(_step(trainer)), float(trainer.current_epoch)
        self._best = {**scores, "best/step": step, "best/epoch": epoch}
        return True

    def _show_scores(
        self, trainer: Trainer, pl_module: LightningModule, split: str, stage: str = "val"
    ) -> None:
        if not self._trackers or not isinstance(pl_module, SceneClassifier):
            return
        if not is_complete(trainer, pl_module, split):
            return
        names, step = load_categories(), _step(trainer)
        num_ranks = num_reported_ranks(trainer)
        scores = scores_of(pl_module.evaluation, names, load_settings(), num_ranks)
        rows = [_category_row(row) for row in scores["categories"] if row["num_images"]]
        self._each(lambda x: x.table(f"{stage}/categories", _CATEGORY_COLUMNS, rows, step))
        bins = [_reliability_row(row) for row in scores["reliability"]]
        self._each(lambda x: x.table(f"{stage}/reliability", _RELIABILITY_COLUMNS, bins, step))
        figures = {
            "confusion": partial(confusion_figure, pl_module.evaluation.confusion, names),
            "reliability_diagram": partial(reliability_figure, scores["reliability"]),
        }
        for name, draw in figures.items():
            self._each(partial(_draw, f"{stage}/{name}", draw, step))
        values = {f"{stage}/{name}": value for name, value in scores["scores"].items()}
        for name, (low, high) in scores["intervals"].items():
            values |= {f"{stage}/{name}_from": low, f"{stage}/{name}_to": high}
        # The others were logged after the evaluation, as those of any validation.
        new = {
            name: value for name, value in values.items() if name not in trainer.callback_metrics
        }
        self._each(lambda x: x.summary(new, step))

    def _show_cost(self, trainer: Trainer) -> None:
        """Tell what the training has cost so far, with all that came before a resumption."""
        record = record_of(trainer) if self._trackers else None
        cost = record.cost_so_far() if record else None
        if cost is None:
            return
        values = {"cost/hours": cost["seconds"] / 3600}
        if cost["num_images"] and cost["seconds"] > 0:  # batches of others do not tell
            values["cost/images_seen"] = float(cost["num_images"])
            values["cost/images_per_second"] = cost["num_images"] / cost["seconds"]
        self._each(lambda x: x.summary(values, _step(trainer)))


def _is_score(name: str) -> bool:
    stage, _, score = name.partition("/")
    return stage in ("val", "val_ema") and score not in ("bad_samples", "skipped")


def _views_of(module: LightningModule) -> Views:
    return module.views if isinstance(module, SceneClassifier) else Views()


def _step(trainer: Trainer) -> int:
    """Return the step under which Lightning logs what follows it: the first one is 0."""
    return max(trainer.global_step - 1, 0)


def _draw(name: str, draw: Callable[[], Figure], step: int, tracker: Tracker) -> None:
    tracker.figure(name, draw(), step)


def _category_row(row: Mapping[str, Any]) -> list[Any]:
    (low, high), (low5, high5) = row["top1_interval"], row["top5_interval"]
    parts = {**row, "from": low, "to": high, "top5_from": low5, "top5_to": high5}
    return [parts[name] for name in _CATEGORY_COLUMNS]


def _reliability_row(row: Mapping[str, Any]) -> list[Any]:
    low, high = row["accuracy_interval"]
    parts = {**row, "accuracy_from": low, "accuracy_to": high}
    return [parts[name] for name in _RELIABILITY_COLUMNS]


def _judged_by(trainer: Trainer) -> tuple[str, bool]:
    """Return by which score the best checkpoint is chosen, and whether less is better."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, BestCheckpoint) and callback.monitor:
            return callback.monitor, callback.mode == "min"
    return "val/top1", False
