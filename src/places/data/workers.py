"""Who decodes what under a Lightning trainer."""

import os

from lightning.pytorch import LightningDataModule, Trainer

from places.data.streaming.batches import Workers


def workers_of(data: LightningDataModule, num_threads: int | None) -> Workers:
    """Return who decodes how much under the trainer of a data module.

    Args:
        data: The data module.
        num_threads: Decoding threads per process; `None` gives each its share of the node's cores.
    """
    trainer = attached_trainer(data)
    num_cores = len(os.sched_getaffinity(0))
    return Workers(
        rank=trainer.global_rank,
        num_ranks=trainer.world_size,
        num_threads=num_threads or max(1, num_cores // trainer.num_devices),
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
