"""Random numbers of a training batch that do not depend on the batches before it."""

import random

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from places.hashing import hash_of
from places.lightning_internals import global_seed
from places.resume.between_batches import before_each_batch

_STREAM = 6  # apart from other hashes of a seed and a batch


class StepSeeds(Callback):
    """Seeds all random number generators before each training batch.

    The seed depends on `seed_everything`, the number of the batch and the process. So a resumed run
    draws the same numbers, for dropout for instance, as one that was not interrupted. Checkpoints
    need no generator states, of which the one process that writes them knows only its own.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have the generators seeded before each batch, if `seed_everything` is not off."""
        seed = global_seed()

        def seed_batch() -> None:
            assert seed is not None
            # `total_batch_idx` is that of the batch before; -1 before the first.
            batch = trainer.fit_loop.total_batch_idx + 1
            _seed_generators(hash_of(seed, batch, trainer.global_rank, _STREAM) >> 1)  # 63 bits

        if stage == "fit" and seed is not None:
            before_each_batch(trainer, seed_batch, "StepSeeds.before_batch")


def _seed_generators(seed: int) -> None:
    """Seed the generators that exist, so that they draw the same as after `torch.manual_seed`.

    That function also formats the stack for each kind of device that is not initialised, to be
    shown if initialising it later should fail. This costs 0.1 to 0.6 ms, the rest of it 0.01 ms.
    """
    torch.default_generator.manual_seed(seed)
    # A device that a run trains on is initialised before its first batch. None is waited for.
    for device in (torch.cuda, torch.xpu):
        if device.is_initialized():
            device.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
