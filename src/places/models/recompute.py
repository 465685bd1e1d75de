"""Trade time for memory: compute activations again in the backward pass instead of keeping them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def recomputed(part: nn.Module, images: Tensor, *more: Tensor | None) -> Tensor:
    """Run a part of a network and keep nothing but its input and its output.

    Gradients are the same to the last bit, for about one forward pass more per step. The part must
    draw no random numbers.

    Args:
        part: The part; its batch norms count each batch once.
        images: Its input.
        more: Its other inputs, such as random numbers that were drawn for it.
    """
    if not torch.is_grad_enabled():
        output: Tensor = part(images, *more)
        return output

    # The compiler takes no contexts, and counts a batch once by itself.
    options: dict[str, Any] = {}
    if not torch.compiler.is_compiling():
        options["context_fn"] = lambda: (nullcontext(), _kept_statistics(part))
    again: Tensor = checkpoint(
        part, images, *more, use_reentrant=False, preserve_rng_state=False, **options
    )
    return again


@contextmanager
def _kept_statistics(part: nn.Module) -> Iterator[None]:
    # The second run of a batch norm would count the batch again. With momentum 0 the statistics
    # stay as they are, and all that is kept for the gradients stays of the same kind.
    norms = [module for module in part.modules() if isinstance(module, _BATCH_NORMS)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, num_batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, num_batches
