"""Checks that no output of the network is NaN or infinite: an error, or a warning in `fit`."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from places.classifier import SceneClassifier
from places.console import counted, say
from places.reports.not_finite import refusal as refusal


class FiniteScores(Callback):
    """Ends `validate` and `test` with an error if the network gave outputs that are not finite.

    This happens before any score is logged, plotted or written. `fit` says so and goes on: the
    scores of that validation are NaN, which no other is worse than, and `val/not_finite` is the
    number of pictures. A loss that is not finite ends it, see `places.resume.divergence`.
    """

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse such scores, or warn of them while training.

        Raises:
            CheckpointError: `validate` met outputs that are not finite.
        """
        num_not_finite, num = _count(trainer, pl_module)
        if trainer.sanity_checking or not num_not_finite:
            return
        if trainer.state.fn != TrainerFn.FITTING:
            raise refusal("scores", num_not_finite, num)
        pl_module.log("val/not_finite", float(num_not_finite))
        say(
            f"validation after step {trainer.global_step}: the outputs of the network are NaN or "
            f"infinite for {num_not_finite:,} of {counted(num, 'picture')}, so it has no scores"
        )

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse such scores.

        Raises:
            CheckpointError: `test` met outputs that are not finite.
        """
        num_not_finite, num = _count(trainer, pl_module)
        if num_not_finite:
            raise refusal("scores", num_not_finite, num)


def _count(trainer: Trainer, pl_module: LightningModule) -> tuple[int, int]:
    """Count over all processes, before the module reduces its sums.

    Lightning calls this hook of the callbacks before that of the module.
    """
    if not isinstance(pl_module, SceneClassifier):
        return 0, 0
    # Those of the average are empty where there is none.
    sums = (pl_module.evaluation, pl_module.average_evaluation)
    own = [max(each.num_not_finite for each in sums), pl_module.evaluation.count]
    total = trainer.strategy.reduce(torch.tensor(own, device=pl_module.device), reduce_op="sum")
    num_not_finite, num = total.tolist()
    return num_not_finite, num
