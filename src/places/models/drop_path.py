"""Stochastic depth: which pictures skip which blocks in a training step."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from places.hashing import uniforms


def drop_probabilities(num_blocks: int, last: float) -> list[float]:
    """Return the probability of each block to be skipped: from 0 for the first up to `last`.

    As in timm; in the paper the first block has a share of it already.
    """
    return [last * number / (num_blocks - 1) for number in range(num_blocks)]


@torch.compiler.disable  # type: ignore[untyped-decorator]  # it would draw other numbers
def branch_factors(images: Tensor, probabilities: Sequence[float]) -> Tensor:
    """Return what the residual branches of each picture are multiplied by in one training step.

    Huang et al. 2016, "Deep Networks with Stochastic Depth", arXiv 1603.09382: 0 where a block is
    skipped. As in timm, the others are enlarged now, so that nothing changes in evaluation.

    One number is taken from PyTorch's generator, which `fit` seeds with the seed of the run and the
    number of the batch. Whether a block is skipped is a hash of that number, of the picture's place
    in the batch and of the block. So a resumed run and another device skip the same.

    Args:
        images: `(N, ...)`, the pictures of the step on this process.
        probabilities: Of each of L blocks, in 0..1 without 1.

    Returns:
        `(L, N, 1, 1, 1)` float32 on the device of the pictures.
    """
    seed = int(torch.randint(1 << 62, (), device="cpu"))
    dropped = np.asarray(probabilities)
    draws = uniforms(np.arange(len(images), dtype=np.int64), len(dropped), seed)
    factors = np.where(draws >= dropped, 1 / (1 - dropped), 0.0).T.astype(np.float32)
    shape = (len(dropped), len(images), 1, 1, 1)
    host = torch.from_numpy(factors.reshape(shape))
    return host.to(images.device, non_blocking=True)
