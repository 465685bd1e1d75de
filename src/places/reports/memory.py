"""How much memory a training takes, logged beside its losses."""

import resource

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from places.lightning_internals import log_every_n_steps

_GIB = 2**30


class Memory(Callback):
    """Logs the peaks of memory so far, of the first process.

    `memory/process_gib` is what it had at most in the memory of the machine, `memory/device_gib`
    what its tensors took at most on a CUDA device. Neither waits for the device.
    """

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Every few steps, log them."""
        every = log_every_n_steps(trainer)
        if not every or (trainer.global_step + 1) % every:
            return
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux, which this is for
        pl_module.log("memory/process_gib", peak_kib * 1024 / _GIB)
        device = pl_module.device
        if device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(device)
            pl_module.log("memory/device_gib", peak / _GIB)
