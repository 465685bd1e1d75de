"""Batches of one split of tar shards, for training and for evaluation, without Lightning."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import get_args

import numpy as np

from places.config.ranges import check_range, check_rising, check_word
from places.data.streaming import plan
from places.data.streaming.any_format import crop_decoder_of, decoder_of
from places.data.streaming.decode import NUM_CROP_UNIFORMS, ResizeMode, eval_crop, resize_crop
from places.data.streaming.jpeg import Pixels
from places.data.streaming.raw import Stored
from places.data.streaming.samples import SplitSamples
from places.data.streaming.stream import Batch, LoadRow, OpenBatch, Sample, stream
from places.errors import ConfigError
from places.hashing import Ids, uniforms

_NUM_UNIFORMS = NUM_CROP_UNIFORMS + 1  # the last number decides the flip, the others the crop
_CROP_STREAM = 3  # keeps the numbers of crops apart from those that plan.train_order hashes


@dataclass(frozen=True)
class Workers:
    """Who decodes how much."""

    rank: int = 0  # number of this process
    num_ranks: int = 1  # processes that share each batch
    num_threads: int = 2  # decoding threads of this process
    can_be_fewer: bool = False  # see `places.data.streaming.stream.stream`
    pin_memory: bool = False  # see `places.data.streaming.stream.stream`
    num_ranks_per_node: int = 1  # processes that share a machine, and its cache of remote shards

    def share_of_node(self, ids: Ids, batch_size: int) -> tuple[Ids, int]:
        """Return what all processes of this node read of an epoch, and how much in each step."""
        ids = ids[: len(ids) // batch_size * batch_size].reshape(-1, batch_size)
        width = batch_size // self.num_ranks * self.num_ranks_per_node
        first = self.rank // self.num_ranks_per_node * width
        return ids[:, first : first + width].ravel(), width


@dataclass(frozen=True)
class TrainCrop:
    """How training pictures are cut: see the arguments of `Places365`."""

    image_size: int
    scale: tuple[float, float]
    ratio: tuple[float, float]
    flip: bool

    def __post_init__(self) -> None:
        """Refuse numbers that make no crop."""
        check_range("`image_size`", self.image_size, 1)
        check_rising("`crop_scale`", self.scale, 0, 1)
        check_rising("`crop_ratio`", self.ratio, 0)


@dataclass(frozen=True)
class EvalCrop:
    """How evaluation pictures are cut: see the arguments of `Places365`."""

    image_size: int
    resize_size: int
    resize_mode: ResizeMode
    num_crops: int = 1  # the centre; or `decode.NUM_SQUARES`, one under the other

    def __post_init__(self) -> None:
        """Refuse a crop that is not inside of the resized picture."""
        check_range("`image_size`", self.image_size, 1)
        check_word("`resize_mode`", self.resize_mode, get_args(ResizeMode))
        if self.image_size > self.resize_size:
            raise ConfigError(
                f"`image_size` {self.image_size} is larger than `resize_size` {self.resize_size}",
                "the evaluation crop is cut out of the resized picture",
            )


def train_batches(
    source: SplitSamples,
    crop: TrainCrop,
    workers: Workers,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    first_step: int = 0,
    shuffle_window: int | None = None,
    num_copies: int = 1,
) -> Iterator[Batch]:
    """Yield this process's share of the batches of one training epoch, from `first_step` on.

    Order, crops and flips depend on `seed`, `epoch` and the sample alone, and with several copies
    of each, see `plan.repeated`, on the number of the copy.
    """
    decode_crop = crop_decoder_of(source.manifest.formats)
    num_samples = source.manifest.num_samples

    def open_batch(ids: Ids) -> LoadRow:
        samples = ids % num_samples
        entries = source.entries(samples)
        # To make a list of each row would take twice as long as these, with Python's lock held.
        table = uniforms(ids, _NUM_UNIFORMS, seed, epoch, _CROP_STREAM)
        all_numbers = table.data.cast("B").cast("d")

        def load(row: int, pixels: Pixels) -> Sample:
            numbers = all_numbers[row * _NUM_UNIFORMS : (row + 1) * _NUM_UNIFORMS]

            def decode(stored: Stored) -> None:
                picture = decode_crop(stored, numbers, crop.image_size, crop.scale, crop.ratio)
                resize_crop(picture, pixels)

            flip = crop.flip and numbers[-1] < 0.5
            number = int(samples[row])
            return source.load(number, entries[row], pixels, decode, flip, needs_label=True)

        return load

    order = plan.train_order(
        [shard.num_samples for shard in source.manifest.shards],
        seed=seed,
        epoch=epoch,
        batch_size=batch_size,
        shuffle_window=shuffle_window,
    )
    if num_copies > 1:
        order = plan.repeated(order, batch_size, num_copies)
    ids = (
        plan.train_batch(order, batch_size, step, rank=workers.rank, num_ranks=workers.num_ranks)
        for step in range(first_step, len(order) // batch_size)
    )
    source.follow(*workers.share_of_node(order % num_samples, batch_size), first_step)
    yield from _stream(source, workers, ids, open_batch, crop.image_size, first_step)


def eval_batches(
    source: SplitSamples,
    crop: EvalCrop,
    workers: Workers,
    *,
    batch_size: int,
    first_step: int = 0,
    num_batches: int | None = None,
) -> Iterator[Batch]:
    """Yield this process's share of the batches that cover a split exactly once.

    Only the first `num_batches` are read if that is given, those before `first_step` included.
    """
    decode_whole = decoder_of(source.manifest.formats)

    def open_batch(ids: Ids) -> LoadRow:
        entries = source.entries(ids)

        def load(row: int, pixels: Pixels) -> Sample:
            def decode(stored: Stored) -> None:
                eval_crop(decode_whole(stored), pixels, crop.resize_size, crop.resize_mode)

            return source.load(int(ids[row]), entries[row], pixels, decode)

        return load

    num_samples = source.manifest.num_samples
    if num_batches is None:
        num_batches = plan.num_eval_batches(num_samples, batch_size)
    order = np.minimum(np.arange(num_batches * batch_size), num_samples - 1)
    ids = islice(eval_ids(num_samples, batch_size, workers), first_step, num_batches)
    source.follow(*workers.share_of_node(order, batch_size), first_step)
    yield from _stream(
        source, workers, ids, open_batch, crop.image_size, first_step, crop.num_crops
    )


def eval_ids(num_samples: int, batch_size: int, workers: Workers) -> Iterator[Ids]:
    """Yield the ids that one process evaluates, batch by batch."""
    for step in range(plan.num_eval_batches(num_samples, batch_size)):
        yield plan.eval_batch(
            num_samples, batch_size, step, rank=workers.rank, num_ranks=workers.num_ranks
        )


def _stream(
    source: SplitSamples,
    workers: Workers,
    ids: Iterable[Ids],
    open_batch: OpenBatch,
    image_size: int,
    first_step: int,
    num_crops: int = 1,
) -> Iterator[Batch]:
    batches = stream(
        ids,
        open_batch,
        image_size=image_size,
        num_crops=num_crops,
        num_threads=workers.num_threads,
        can_be_fewer=workers.can_be_fewer,
        pin_memory=workers.pin_memory,
        cancel=source.cancel,
    )
    try:
        for step, batch in enumerate(batches, first_step):
            source.advance(step)
            yield batch
    finally:
        batches.close()
        source.leave()
