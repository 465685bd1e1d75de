"""Augmentation on the device: random numbers are drawn on the host, applied to whole batches.

Everything random is a function of the seed, the number of the batch and the row in the global
batch. So checkpoints need no state of a generator, and any number of processes draws the same.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np
import torch
from torch import Tensor

from places.errors import ConfigError
from places.hashing import hash_of, uniforms
from places.training.mixing import Labels, cutmix, mixup, partners, random_box
from places.training.rand_augment import MAX_MAGNITUDE, NUM_LAYERS, rand_augment
from places.training.rand_augment import NUM_UNIFORMS as NUM_RAND_UNIFORMS
from places.training.trivial_augment import NUM_UNIFORMS, trivial_augment

# Make these hashes differ from those that the data module makes of the same seed.
_ROW_STREAM, _BATCH_STREAM, _RAND_STREAM = 4, 5, 7
_ERASE_UNIFORMS = 5  # per picture: whether to erase, area, aspect ratio, row, column
_ERASED_AREA = (0.02, 0.33)  # as a part of the picture; these are torchvision's defaults
_ERASED_ASPECT = (0.3, 3.3)  # height / width


@dataclass(frozen=True)
class Draws:
    """The random numbers of one batch on one process, drawn when they are first asked for."""

    seed: int  # of the run
    batch: int  # its number over all epochs, from 0
    rank: int  # number of the process
    num_rows: int  # pictures in its share of the batch

    @cached_property
    def rows(self) -> Tensor:
        """`(num_rows, NUM_UNIFORMS + 5)` float64 in [0, 1): numbers for each picture."""
        return self._of_rows(NUM_UNIFORMS + _ERASE_UNIFORMS, _ROW_STREAM)

    @cached_property
    def rand(self) -> Tensor:
        """Numbers for each picture, as `rand_augment` takes them."""
        return self._of_rows(NUM_LAYERS * NUM_RAND_UNIFORMS, _RAND_STREAM)

    def _of_rows(self, num: int, stream: int) -> Tensor:
        first = self.rank * self.num_rows
        rows = np.arange(first, first + self.num_rows, dtype=np.int64)
        return torch.from_numpy(uniforms(rows, num, self.seed, self.batch, stream))

    @cached_property
    def shared(self) -> Random:
        """The generator for what is the same on all processes."""
        return Random(hash_of(self.seed, self.batch, _BATCH_STREAM))


@dataclass(frozen=True)
class Augment:
    """Augmentation of training pictures on the device, besides random flips.

    Args:
        trivial: TrivialAugment: one random operation of random magnitude for each picture (Müller,
            Hutter 2021, arXiv 2103.10158).
        rand: RandAugment: two random operations for each picture, of about this magnitude, 0 to 10
            (Cubuk et al. 2019, arXiv 1909.13719; as in "ResNet strikes back", arXiv 2110.00476). 0
            switches it off.
        erase: Probability of random erasing: a random rectangle gets the mean colour (Zhong et al.
            2017, arXiv 1708.04896).
        mixup: Alpha of mixup: pictures are blended with each other (Zhang et al. 2017, arXiv
            1710.09412). 0 switches it off.
        cutmix: Alpha of CutMix: a rectangle comes from another picture (Yun et al. 2019, arXiv
            1905.04899). 0 switches it off. With both, each batch gets one of them at random.
        mix_probability: Probability of mixup or CutMix for a batch.
    """

    trivial: bool = False
    rand: float = 0.0
    erase: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_probability: float = 1.0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        for name in ("erase", "mix_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"model.augment.{name} is a probability, not {getattr(self, name)}"
                )
        if not 0 <= self.rand <= MAX_MAGNITUDE:
            raise ConfigError(f"model.augment.rand is 0 to {MAX_MAGNITUDE}, not {self.rand}")
        if self.trivial and self.rand:
            raise ConfigError(
                "model.augment.trivial and model.augment.rand are two ways of the same",
                "switch one off:  --model.augment.trivial false, or --model.augment.rand 0",
            )
        for name in ("mixup", "cutmix"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"model.augment.{name} is 0 or more, not {getattr(self, name)}")

    def transform(self, images: Tensor, mean: Tensor, draws: Draws) -> Tensor:
        """Return the pictures after the augmentations of single pictures.

        Args:
            images: `(N, 3, H, W)` uint8.
            mean: `(3, 1, 1)` float32 in 0..255: the colour of erased rectangles.
            draws: The random numbers of the batch.
        """
        if self.trivial:
            images = trivial_augment(images, draws.rows[:, :NUM_UNIFORMS])
        if self.rand > 0:
            images = rand_augment(images, draws.rand, self.rand, mean)
        if self.erase > 0:
            boxes = _erased_boxes(draws.rows[:, NUM_UNIFORMS:], images.shape[2:], self.erase)
            images = _erase(images, boxes.to(images.device, non_blocking=True), mean)
        return images

    def mix(
        self, images: Tensor, label: Tensor, weight: Tensor, draws: Draws
    ) -> tuple[Tensor, Labels]:
        """Return the pictures and labels after mixup or CutMix.

        Args:
            images: `(N, 3, H, W)` uint8 or float32 in 0..255.
            label: `(N,)` int64.
            weight: `(N,)` float32, 0 or 1; pictures of weight 0 are not mixed.
            draws: The random numbers of the batch.
        """
        if max(self.mixup, self.cutmix) > 0 and draws.shared.random() < self.mix_probability:
            random = draws.shared
            use_cutmix = self.cutmix > 0 and (self.mixup == 0 or random.random() < 0.5)
            alpha = self.cutmix if use_cutmix else self.mixup
            lam = random.betavariate(alpha, alpha)
            partner = partners(len(label), images.device)
            mixable = weight * weight[partner] > 0
            if use_cutmix:
                box, lam = random_box(images.shape[2:], lam, random)
                images = cutmix(images, partner, mixable, box)
            else:
                images = mixup(images, partner, mixable, lam)
            return images, Labels(label, (label[partner], torch.where(mixable, lam, 1.0)))
        return images, Labels(label)


def _erase(images: Tensor, boxes: Tensor, color: Tensor) -> Tensor:
    """Fill a rectangle of each picture, one of `_erased_boxes`, with a colour; in float32."""
    top, bottom, left, right = boxes[:, :, None, None, None].unbind(1)
    rows = torch.arange(images.shape[2], device=images.device)[:, None]
    columns = torch.arange(images.shape[3], device=images.device)
    inside = (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)
    return torch.where(inside, color, images.float())


def _erased_boxes(uniforms: Tensor, size: tuple[int, ...], probability: float) -> Tensor:
    """Return `(N, 4)` int64: top, bottom, left, right, the ends exclusive; empty to erase nothing.

    `uniforms` is `(N, 5)`. Rectangles are clipped to the size, which is the height and the width.
    """
    height, width = size
    chance, area, aspect, down, across = uniforms.unbind(1)
    area = height * width * (_ERASED_AREA[0] + area * (_ERASED_AREA[1] - _ERASED_AREA[0]))
    narrow, wide = map(math.log, _ERASED_ASPECT)
    aspect = torch.exp(narrow + aspect * (wide - narrow))
    tall = (area * aspect).sqrt().round().clamp(max=height) * (chance < probability)
    broad = (area / aspect).sqrt().round().clamp(max=width)
    top, left = (down * (height - tall + 1)).floor(), (across * (width - broad + 1)).floor()
    return torch.stack([top, top + tall, left, left + broad], dim=1).long()
