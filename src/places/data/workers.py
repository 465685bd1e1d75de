"""What both data modules need under a Lightning trainer: who decodes what, and its device."""

import os
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.core.hooks import DataHooks

from places.data.streaming.batches import Workers


class TensorsToDevice(DataHooks):
    """A part of a data module: moves the tensors of a batch, and passes on what else is in it."""

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """Move a batch; see Lightning.

        Lightning looks for tensors in every key string of a batch, at 256 pictures for 0.8 ms.
        """
        tensors = {name: value for name, value in batch.items() if isinstance(value, torch.Tensor)}
        return {**batch, **super().transfer_batch_to_device(tensors, device, dataloader_idx)}


def workers_of(data: LightningDataModule, num_threads: int | None) -> Workers:
    """Return who decodes how much under the trainer of a data module.

    Without `num_threads` each process takes as many as pay of its share of the node's cores.
    """
    trainer = attached_trainer(data)
    num_cores = len(os.sched_getaffinity(0))
    return Workers(
        rank=trainer.global_rank,
        num_ranks=trainer.world_size,
        num_threads=num_threads or max(1, num_cores // trainer.num_devices),
        can_be_fewer=num_threads is None,
        pin_memory=trainer.strategy.root_device.type == "cuda",
        num_ranks_per_node=trainer.num_devices,
    )


def attached_trainer(data: LightningDataModule) -> Trainer:
    """Return the trainer that runs a data module.

    Raises:
        RuntimeError: There is no trainer; a mistake in code that calls this.
    """
    if data.trainer is None:
        raise RuntimeError(f"{type(data).__name__} is used without a Trainer")
    return data.trainer
