"""Checks that scores cover all pictures of a split: an error, or a warning while training."""

from typing import NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from places.classifier import SceneClassifier
from places.console import counted, say
from places.data.places365 import Places365
from places.errors import ConfigError, DataError
from places.lightning_internals import data_module, is_trial


class _Counts(NamedTuple):
    """Pictures of a split, over all processes."""

    num_expected: int
    num_scored: int
    num_missing: int  # those that the scores leave out
    num_unreadable: int


class CompleteScores(Callback):
    """Ends `validate` and `test` with an error if not every picture of the split was scored.

    This happens before any score is logged, plotted or written. `fit` needs scores to choose the
    best checkpoint: it warns instead, and logs the number of missing pictures as `val/skipped`.
    With `fast_dev_run` there are no scores at all.
    """

    _num_missing = 0

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse incomplete scores, or warn of them while training.

        Raises:
            DataError: `validate` did not score every picture of the split; `ConfigError` if it was
                not to.
        """
        counts = _count(trainer, pl_module, "val")
        if trainer.sanity_checking or counts is None:
            return
        if trainer.state.fn != TrainerFn.FITTING:
            _refuse(counts, trainer, "val", "val")
            return
        if counts.num_missing:
            pl_module.log("val/skipped", float(counts.num_missing))
        if counts.num_missing > self._num_missing:
            say(
                f"validation scored {counts.num_scored:,} of the "
                f"{counted(counts.num_expected, 'picture')} of split 'val': "
                "its scores compare the checkpoints of this run, and nothing else"
            )
        self._num_missing = counts.num_missing

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse incomplete scores.

        Raises:
            DataError: `test` did not score every picture of a split with labels; `ConfigError` if
                it was not to.
        """
        data = data_module(trainer)
        if isinstance(data, Places365) and data.manifests[data.test_split].labelled:
            counts = _count(trainer, pl_module, data.test_split)
            _refuse(counts, trainer, data.test_split, "test")


def is_complete(trainer: Trainer, module: SceneClassifier, split: str) -> bool:
    """Return whether there are scores of the last evaluation, and for a whole split.

    They are those of all processes. A network with outputs that are not finite has none.
    """
    if module.evaluation.num_not_finite:
        return False
    data = data_module(trainer)
    if not isinstance(data, Places365):
        return module.evaluation.count > 0
    return module.evaluation.count == data.manifests[split].num_samples


def _count(trainer: Trainer, pl_module: LightningModule, split: str) -> _Counts | None:
    """Count over all processes, before the module reduces its sums; `None` if there are no scores.

    Lightning calls this hook of the callbacks before that of the module.
    """
    data = data_module(trainer)
    if not isinstance(data, Places365) or not isinstance(pl_module, SceneClassifier):
        return None
    if is_trial(trainer):
        pl_module.on_validation_epoch_start()  # resets the scores
        return None
    own = [pl_module.evaluation.count, data.skipped[split].count]
    total = trainer.strategy.reduce(torch.tensor(own, device=pl_module.device), reduce_op="sum")
    num_scored, num_unreadable = total.tolist()
    num_expected = data.manifests[split].num_samples
    return _Counts(num_expected, num_scored, num_expected - num_scored, num_unreadable)


def _refuse(counts: _Counts | None, trainer: Trainer, split: str, stage: str) -> None:
    data = data_module(trainer)
    if counts is None or not counts.num_missing or not isinstance(data, Places365):
        return
    if not data.manifests[split].labelled:
        raise DataError(
            f"no scores: the pictures of split '{split}' have no labels",
            "of shards with labels in a .json:  places index SHARDS --root ROOT "
            f"--split {split} --label_key KEY",
        )
    hints = []
    if counts.num_unreadable:
        check = f"places verify {data.root} --decode"
        hints.append(f"{counts.num_unreadable:,} could not be read; repair the split:  {check}")
    if counts.num_missing > counts.num_unreadable:
        limit = getattr(trainer, f"limit_{stage}_batches", None)
        is_whole = limit is None or (isinstance(limit, float) and limit == 1)  # 1 is one batch
        hints.append(
            f"see which have no label:  places index SHARDS --root ROOT --split {split}"
            if is_whole
            else f"score it as a whole: leave out  --trainer.limit_{stage}_batches"
        )
    error = DataError if counts.num_unreadable else ConfigError  # of what was typed
    raise error(
        f"no scores: {counts.num_scored:,} of the {counted(counts.num_expected, 'picture')} "
        f"of split '{split}' were scored",
        *hints,
    )
