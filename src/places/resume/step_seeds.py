"""Random numbers that do not depend on what happened before."""

import hashlib
import os
import random

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from places.resume.between_batches import before_each_batch


class StepSeeds(Callback):
    """Seeds all random numbers anew for each training batch.

    The seed is a function of `seed_everything`, the number of the batch and the process. So dropout
    and augmentation on the device go on after a resume as if nothing had happened, and a checkpoint
    needs no state of any generator, of which Lightning saves none and only one process could.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Listen to the batches."""
        # Lightning keeps seed_everything here; there is none when it was switched off.
        seed = os.environ.get("PL_GLOBAL_SEED")
        if stage == "fit" and seed is not None:
            before_each_batch(trainer, lambda: _seed(trainer, int(seed)))


def batch_seed(seed: int, batch: int, rank: int) -> int:
    """Return a seed in 0..2^63-1 for one batch on one process."""
    digest = hashlib.blake2b(f"{seed} {batch} {rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def _seed(trainer: Trainer, seed: int) -> None:
    number = batch_seed(seed, trainer.fit_loop.total_batch_idx + 1, trainer.global_rank)
    torch.manual_seed(number)  # of all devices; waits for none of them
    np.random.seed(number % 2**32)
    random.seed(number)
