"""An exported network compared with the one it came from, on the same pictures."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from places.checkpoints.description import Description
from places.exports.pictures import Pictures

_NUM_TIMED = 3  # rounds over the pictures, of which the fastest counts


@dataclass(frozen=True)
class Parity:
    """How an exported network differs.

    Attributes:
        difference: The largest of a logit; infinite if one of them is no number.
        largest: The largest of the logits before, without its sign.
        num_same: Pictures whose best category is the same.
        count: Pictures.
    """

    difference: float
    largest: float
    num_same: int
    count: int

    @property
    def share(self) -> float:
        """The difference as a share of the largest logit."""
        return self.difference / self.largest if self.largest else float(self.difference > 0)


def normalised(pictures: Pictures, description: Description) -> list[Tensor]:
    """Return pictures as the network takes them, some at a time."""
    mean, std = (255 * torch.tensor(x)[:, None, None] for x in (description.mean, description.std))
    return [((images - mean) / std).contiguous() for images in pictures.batches()]


def logits_of(net: nn.Module, batches: list[Tensor]) -> Tensor:
    """Return the logits of pictures, `(N, num_classes)` float32."""
    with torch.inference_mode():
        return torch.cat([net(batch).float() for batch in batches])


def compare(before: Tensor, after: Tensor) -> Parity:
    """Compare the logits of the two."""
    difference = float((before - after).abs().max())
    is_known = bool(torch.isfinite(after).all()) and difference == difference
    return Parity(
        difference if is_known else float("inf"),
        float(before.abs().max()),
        int((before.argmax(dim=1) == after.argmax(dim=1)).sum()),
        len(before),
    )


def hits(logits: Tensor, labels: Tensor) -> tuple[int, int]:
    """Return how many best categories are right, and of how many pictures with a label."""
    known = labels >= 0
    return int((logits.argmax(dim=1)[known] == labels[known]).sum()), int(known.sum())


def pictures_per_s(nets: list[nn.Module], batches: list[Tensor]) -> list[float]:
    """Return how fast networks are: in turns, the fastest round of each."""
    best_s = [float("inf")] * len(nets)
    with torch.inference_mode():
        for net in nets:
            net(batches[0])
        for _ in range(_NUM_TIMED):
            for number, net in enumerate(nets):
                start_s = time.perf_counter()
                for batch in batches:
                    net(batch)
                best_s[number] = min(best_s[number], time.perf_counter() - start_s)
    return [sum(map(len, batches)) / seconds for seconds in best_s]
