"""Mixup and CutMix of a batch, and the loss of mixed labels."""

import math
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LossName = Literal["cross_entropy", "binary"]
# A mixed picture shows what has more than this part of it, as in the recipes of timm.
_PRESENT = 0.2

Box = tuple[int, int, int, int]  # top, bottom, left, right in pixels, the ends exclusive


class Labels(NamedTuple):
    """The labels of a batch, mixed or not."""

    label: Tensor  # (N,) int64
    # With mixing, the labels of the partners, (N,) int64, and lambda, (N,) float32 in 0..1: the
    # weight of `label`; the partner's label has the rest.
    mixed: tuple[Tensor, Tensor] | None = None

    def mean(self, score: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the score of each picture, `(N,)`, as the mean over its labels."""
        own = score(self.label)
        if self.mixed is None:
            return own
        other, lam = self.mixed
        return lam * own + (1 - lam) * score(other)


def partners(num: int, device: torch.device) -> Tensor:
    """Return `(num,)` int64: the row that each row is mixed with, in pairs 0 1, 2 3, and so on.

    Any number of processes makes the same pairs if each has an even number of rows. The last of an
    odd number of rows is its own partner.
    """
    rows = torch.arange(num, device=device)
    return (rows ^ 1).clamp(max=num - 1)


def mixup(images: Tensor, partner: Tensor, mixable: Tensor, lam: float) -> Tensor:
    """Blend pictures with their partners.

    Args:
        images: `(N, 3, H, W)` uint8 or float32.
        partner: `(N,)` int64: the row that each is mixed with.
        mixable: `(N,)` bool: where not, the picture stays as it is.
        lam: Lambda of mixup: the weight of the picture itself, in 0..1.

    Returns:
        `(N, 3, H, W)` float32.
    """
    pixels = images.float()
    mixed = lam * pixels + (1 - lam) * pixels[partner]
    return torch.where(mixable[:, None, None, None], mixed, pixels)


def cutmix(images: Tensor, partner: Tensor, mixable: Tensor, box: Box) -> Tensor:
    """Replace a rectangle of the pictures by that of their partners.

    Args:
        images: `(N, 3, H, W)` uint8 or float32.
        partner: `(N,)` int64: the row that each is mixed with.
        mixable: `(N,)` bool: where not, the picture stays as it is.
        box: The rectangle, the same for all.

    Returns:
        `(N, 3, H, W)`, of the same dtype.
    """
    inside = (slice(None), slice(None), slice(*box[:2]), slice(*box[2:]))
    part, mixed = images[inside], images.clone()
    mixed[inside] = torch.where(mixable[:, None, None, None], part[partner], part)
    return mixed


def random_box(size: tuple[int, ...], lam: float, random: Random) -> tuple[Box, float]:
    """Return the rectangle of CutMix, and lambda as it is then: the area outside the rectangle.

    Args:
        size: Height and width of the pictures in pixels.
        lam: The area outside, as a part of the picture, before the rectangle is clipped to it.
        random: Draws the centre.
    """
    ends: list[int] = []
    for length in size:
        centre, cut = int(random.random() * length), int(length * math.sqrt(1 - lam))
        ends += [max(0, centre - cut // 2), min(length, centre - cut // 2 + cut)]
    top, bottom, left, right = ends
    height, width = size
    return (top, bottom, left, right), 1 - (bottom - top) * (right - left) / (height * width)


def mixed_loss(
    logits: Tensor,
    labels: Labels,
    weight: Tensor,
    smoothing: float,
    kind: LossName = "cross_entropy",
) -> Tensor:
    """Return the mean loss over the pictures of weight 1; 0 if there is none.

    Args:
        logits: `(N, C)` float32.
        labels: The labels, mixed or not.
        weight: `(N,)` float32, 0 or 1: whether a picture counts.
        smoothing: Label smoothing, in 0..1.
        kind: "cross_entropy" of the softmax, or "binary", see `_binary_losses`.
    """
    if kind == "binary":
        losses = _binary_losses(logits, labels, smoothing)
    else:
        loss = partial(F.cross_entropy, logits, reduction="none", label_smoothing=smoothing)
        losses = labels.mean(loss)
    return (losses * weight).sum() / weight.sum().clamp(min=1)


def _binary_losses(logits: Tensor, labels: Labels, smoothing: float) -> Tensor:
    """Return the loss of each picture, `(N,)`: the mean over all classes of binary cross-entropies.

    Each class is a question of its own. A mixed picture is of both its classes, unless one of them
    has hardly a part in it (Wightman et al. 2021, ResNet strikes back, arXiv 2110.00476).
    """
    num_classes = logits.shape[1]
    target = labels.mean(lambda label: F.one_hot(label, num_classes).T.to(logits.dtype)).T
    target = (target > _PRESENT).to(logits.dtype) * (1 - smoothing) + smoothing / num_classes
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=1)


def mixed_hits(logits: Tensor, labels: Labels, weight: Tensor) -> Tensor:
    """Return the number of pictures of weight 1 whose label is the top prediction.

    A mixed picture counts lambda for its label and the rest for its partner's. Arguments as of
    `mixed_loss`.
    """
    best = logits.argmax(dim=1)
    hits = labels.mean(lambda label: (best == label).float())
    return (hits * weight).sum()
