"""What a study measures: networks, ways, kinds of work, sizes."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import torch

from places.bench.study.choice import Choice
from places.bench.study.turns import Turn
from places.bench.study.ways import Way, Work


@dataclass(frozen=True)
class Plan:
    """What to measure; see `places.bench.networks.bench_networks`."""

    networks: Sequence[Choice]
    ways: Sequence[Way]
    works: Sequence[Work]
    batch_sizes: Sequence[int]
    train_batch_size: int
    image_size: int
    num_classes: int
    runs: int
    turn_s: float
    device: torch.device
    memory: bool
    traces: Path | None
    max_s: float = math.inf  # after which no turn begins
    start_s: float = field(default_factory=time.monotonic)

    def is_over(self, part: float = 1.0) -> bool:
        """Tell whether a part of `max_s` is over."""
        return time.monotonic() - self.start_s > part * self.max_s

    def sizes(self, work: Work) -> Sequence[int]:
        """Return the batch sizes of a kind of work."""
        return self.batch_sizes if work == "inference" else [self.train_batch_size]

    def candidates(self) -> list["Candidate"]:
        """Return all that is to be timed."""
        return [
            Candidate(network, way, work, size)
            for work in self.works
            for network, way in product(self.networks, self.ways)
            if way.fits(work)
            for size in self.sizes(work)
        ]


@dataclass
class Candidate:
    """One network in one way at one size, and what was found out about it.

    Attributes:
        network: The network.
        way: What is done to it.
        work: Inference or training.
        batch_size: Pictures per batch.
        step: Runs one batch, while it is ready.
        reason: Why it cannot be measured, if it cannot.
        memory_bytes: The most memory it took.
        difference: How far its logits are from those of the plain network, see `Workshop`.
        turns: What was measured.
    """

    network: Choice
    way: Way
    work: Work
    batch_size: int
    step: Callable[[], object] | None = None
    reason: str | None = None
    memory_bytes: int | None = None
    difference: float | None = None
    turns: list[Turn] = field(default_factory=list)

    @property
    def title(self) -> str:
        """What it is called while it is measured."""
        return f"{self.network.name}, {self.way.text}, {self.work} of {self.batch_size}"
