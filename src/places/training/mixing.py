"""Pictures mixed with each other, and the loss of what they show then."""

import math
from functools import partial
from random import Random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Box = tuple[int, int, int, int]  # top, bottom, left, right in pixels, the ends exclusive


class Labels(NamedTuple):
    """What the pictures of a batch show.

    Args:
        label: `(N,)` int64.
        mixed: `None` if no picture is mixed with another. Otherwise the labels of the others,
            `(N,)` int64, and the parts of the pictures that show `label`, `(N,)` float32 in 0..1.
    """

    label: Tensor
    mixed: tuple[Tensor, Tensor] | None = None


def neighbours(num: int, device: torch.device) -> Tensor:
    """Return `(num,)` int64: the picture that each is mixed with, in pairs 0 1, 2 3, and so on.

    The pairs are the same for any number of processes whose shares of the batch are even. The last
    of an odd number is left to itself.
    """
    rows = torch.arange(num, device=device)
    return (rows ^ 1).clamp(max=num - 1)


def mixup(images: Tensor, other: Tensor, mixable: Tensor, share: float) -> Tensor:
    """Fade pictures into others.

    Args:
        images: `(N, 3, H, W)` uint8 or float32.
        other: `(N,)` int64: the picture that each is mixed with.
        mixable: `(N,)` bool: the others stay as they are.
        share: How much stays of a picture, in 0..1.

    Returns:
        `(N, 3, H, W)` float32.
    """
    pixels = images.float()
    mixed = share * pixels + (1 - share) * pixels[other]
    return torch.where(mixable[:, None, None, None], mixed, pixels)


def cutmix(images: Tensor, other: Tensor, mixable: Tensor, box: Box) -> Tensor:
    """Replace a rectangle by that of another picture.

    Args:
        images: `(N, 3, H, W)` uint8 or float32.
        other: `(N,)` int64: the picture that each is mixed with.
        mixable: `(N,)` bool: the others stay as they are.
        box: The rectangle.

    Returns:
        `(N, 3, H, W)`, of the same dtype.
    """
    inside = (slice(None), slice(None), slice(*box[:2]), slice(*box[2:]))
    part, mixed = images[inside], images.clone()
    mixed[inside] = torch.where(mixable[:, None, None, None], part[other], part)
    return mixed


def cut_box(size: tuple[int, ...], share: float, random: Random) -> tuple[Box, float]:
    """Return a rectangle, and the part of the picture outside of it.

    Args:
        size: Height and width of the pictures in pixels.
        share: The part that is wanted outside. More is, where the rectangle leaves the picture.
        random: Draws the centre.
    """
    ends: list[int] = []
    for length in size:
        centre, cut = int(random.random() * length), int(length * math.sqrt(1 - share))
        ends += [max(0, centre - cut // 2), min(length, centre - cut // 2 + cut)]
    top, bottom, left, right = ends
    height, width = size
    return (top, bottom, left, right), 1 - (bottom - top) * (right - left) / (height * width)


def mixed_loss(logits: Tensor, labels: Labels, weight: Tensor, smoothing: float) -> Tensor:
    """Return the mean cross-entropy of the pictures that count; 0 if none does.

    Args:
        logits: `(N, C)` float32.
        labels: What the pictures show.
        weight: `(N,)` float32, 0 or 1: whether a picture counts.
        smoothing: Part of each label that is spread over all classes, in 0..1.
    """
    loss = partial(F.cross_entropy, logits, reduction="none", label_smoothing=smoothing)
    losses = loss(labels.label)
    if labels.mixed is not None:
        other, share = labels.mixed
        losses = share * losses + (1 - share) * loss(other)
    return (losses * weight).sum() / weight.sum().clamp(min=1)


def mixed_hits(logits: Tensor, labels: Labels, weight: Tensor) -> Tensor:
    """Return the number of pictures that count and whose class is the first guess.

    A mixed picture gives as much of a hit as it shows of the class. Arguments as of `mixed_loss`.
    """
    best = logits.argmax(dim=1)
    hits = (best == labels.label).float()
    if labels.mixed is not None:
        other, share = labels.mixed
        hits = share * hits + (1 - share) * (best == other)
    return (hits * weight).sum()
