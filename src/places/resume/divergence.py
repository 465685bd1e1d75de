"""Stop a training whose loss became NaN or infinite."""

from collections import deque
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from places.console import counted, first_few
from places.errors import PlacesError
from places.lightning_internals import log_every_n_steps
from places.processes import Agreement

_NUM_UNLOGGED = 50  # batches after which to look where nothing is logged


class Divergence(Callback):
    """Ends the run when the loss becomes NaN or infinite, and names the step and its pictures.

    The losses of the last batches stay on the device until the next logging step, so that no step
    waits for it; on the CPU each is looked at. They are looked at too before a checkpoint is
    written, so the last one is from before.
    """

    def __init__(self) -> None:
        self._agreement = Agreement(1)  # a checkpoint may be written before any training
        self._recent: deque[tuple[int, list[str], Tensor]] = deque()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start with an empty list."""
        self._agreement = Agreement(trainer.world_size)
        self._recent.clear()
        is_cpu = pl_module.device.type == "cpu"
        self._num_kept = 1 if is_cpu else log_every_n_steps(trainer) or _NUM_UNLOGGED

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's type; ours is a mapping with the loss
        batch: Mapping[str, Any],
        batch_idx: int,
    ) -> None:
        """Remember the batch, and look at the list when it is long enough."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, Tensor):
            keys = batch.get("key", []) if isinstance(batch, Mapping) else []
            self._recent.append((trainer.global_step, keys, loss.detach().isfinite().all()))
        if len(self._recent) >= self._num_kept:
            self._look(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before such a network is validated."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look before the training could end well."""
        self._look(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Look before the state is written; all processes are asked for it."""
        self._look(trainer)

    def _look(self, trainer: Trainer) -> None:
        found = next(
            ((step, keys) for step, keys, is_finite in self._recent if not is_finite), None
        )
        self._recent.clear()
        if self._agreement.largest([found is not None])[0]:
            raise _error(min(entry for entry in self._agreement.all_of(found) if entry))


def _error(found: tuple[int, list[str]]) -> PlacesError:
    step, keys = found
    return PlacesError(
        f"the loss became NaN or infinite at step {step}",
        f"in a batch of {counted(len(keys), 'picture')}:  {first_few(keys)}",
        "the last resume point is from before:  --ckpt_path last",
        "lower the rate or clip:  --model.optimizer.lr, --trainer.gradient_clip_val",
    )
