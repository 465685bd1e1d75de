"""Scores as exact integer sums, equal for any number of processes and any batch size."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from places.errors import CheckpointError
from places.training.exact_sums import SIZE, add_exactly, exact_mean

# What `EvaluationSums.compute` returns.
SCORES = ("top1", "top5", "mean_class_accuracy", "loss", "calibration_error")
NUM_RANKS = 5  # guesses for each picture
NUM_BINS = 15  # of the calibration error, as in Guo et al. 2017, arXiv 1706.04599

# Confidences and parts of hits are rounded to integer multiples of this unit and then summed. The
# sum of integers does not depend on their order, so the scores are bit-identical for any number of
# processes. Both are at most 1, so 2^32 of them fit into 64 bits; losses have no such limit.
_UNIT = 2.0**-30
_MAX_BATCHES = 100  # of a training that are kept before they are added, which takes a while


class EvaluationSums(Metric):
    """Accuracies, loss and calibration error of a classifier, from exact integer sums.

    Usable in any training loop:

        metric = EvaluationSums(num_classes=365).to(device)
        for batch in batches:
            metric.update(net(batch["image"]), batch["label"])
        scores = metric.compute()  # with several processes: call it on all of them

    Args:
        num_classes: Number of classes.
        kwargs: Options of `torchmetrics.Metric`, for instance `sync_on_compute`.

    Attributes:
        sums: `(C * C + C + 5 + 3 * NUM_BINS + 1 + SIZE,)` int64: the only state, so that all
            processes need one reduction. It is not saved in checkpoints.
    """

    is_differentiable = False
    full_state_update = False  # the sums of two batches may be added: lets torchmetrics merge them
    sums: Tensor

    def __init__(self, num_classes: int, **kwargs: Any) -> None:  # noqa: ANN401  # torchmetrics' own
        super().__init__(**kwargs)
        ranks = min(NUM_RANKS, num_classes)
        self._parts = [num_classes**2, num_classes, ranks, *[NUM_BINS] * 3, 1, SIZE]
        self.num_classes = num_classes
        zeros = torch.zeros(sum(self._parts), dtype=torch.int64)
        self.add_state("sums", zeros, dist_reduce_fx="sum", persistent=False)

    def update(self, logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> None:
        """Add one batch. Does not wait for the device.

        Args:
            logits: `(N, C)` floating point, unnormalised.
            labels: `(N,)` int64 in 0..C-1; ignored where the weight is 0.
            weight: `(N,)`, 0 or 1: whether the picture counts; `None` counts all.
        """
        weight = torch.ones_like(labels) if weight is None else weight
        confusion, top5, ranks, bin_confidence, bin_hits, bin_counts, count, loss = self._split()
        logits, one = logits.float(), weight.to(torch.int64)
        labels = torch.where(one > 0, labels, 0)
        best = logits.topk(len(ranks), dim=1).indices
        hits = one[:, None] * (best == labels[:, None])
        confusion.index_add_(0, labels * self.num_classes + best[:, 0], one)
        top5.index_add_(0, labels, hits.sum(dim=1))
        ranks += hits.sum(dim=0)
        confidence = logits.softmax(dim=1).amax(dim=1)
        bins = (confidence * NUM_BINS).ceil().nan_to_num(1).long().clamp(1, NUM_BINS) - 1
        bin_confidence.index_add_(0, bins, one * _to_units(confidence))
        bin_hits.index_add_(0, bins, hits[:, 0])
        bin_counts.index_add_(0, bins, one)
        losses = F.cross_entropy(logits, labels, reduction="none")
        # Adds NaN where a logit is not finite, as it may be though the loss is; else 0.
        add_exactly(loss, losses + (0 * logits).sum(dim=1), one)
        count += one.sum()

    @property
    def count(self) -> int:
        """Number of pictures in the sums: those of this process until the sums are reduced."""
        return int(self._split()[-2])

    @property
    def num_not_finite(self) -> int:
        """Number of these pictures with a logit or a loss that is NaN or infinite."""
        return int(self._split()[-1][-1])

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """`(C, C)` int64: pictures by true class (row) and predicted class (column)."""
        confusion = self._split()[0].cpu().numpy()
        return confusion.reshape(self.num_classes, self.num_classes)

    @property
    def rank_hits(self) -> npt.NDArray[np.int64]:
        """`(5,)` int64: pictures whose true class was the first guess, the second and so on."""
        return self._split()[2].cpu().numpy()

    @property
    def class_top5_hits(self) -> npt.NDArray[np.int64]:
        """`(C,)` int64: pictures of each class that is among the first five guesses."""
        return self._split()[1].cpu().numpy()

    @property
    def reliability(self) -> npt.NDArray[np.float64]:
        """`(NUM_BINS, 3)`: of each bin the sum of confidences, the hits, and the pictures."""
        confidences, hits, counts = (part.cpu().numpy() for part in self._split()[3:6])
        return np.stack([confidences * _UNIT, hits, counts], axis=1)

    def compute(self) -> dict[str, float]:
        """Return the scores as float64; accuracies and the calibration error lie in 0..1.

        All are NaN if a logit or the loss of any picture is: such a network has no scores.

        `top1`, `top5`: top-1 and top-5 accuracy.
        `mean_class_accuracy`: mean of the top-1 accuracies of the classes that occur.
        `loss`: mean cross-entropy in nats, from the exact sum of those of all pictures.
        `calibration_error`: expected calibration error (ECE) of 15 bins.

        With several processes, torchmetrics adds their sums first: call it on all of them, unless
        the metric was built with `sync_on_compute=False`.
        """
        confidences, bin_hits, _ = self.reliability.T
        num = max(1, self.count)
        per_class = self.confusion.sum(axis=1)
        hits = self.confusion.diagonal()
        occurs = per_class > 0
        class_accuracy = hits[occurs] / per_class[occurs]
        gaps = np.abs(confidences - bin_hits)
        scores = {
            "top1": float(hits.sum() / num),
            "top5": float(self.rank_hits.sum() / num),
            "mean_class_accuracy": float(class_accuracy.mean()) if occurs.any() else 0.0,
            "loss": exact_mean(self._split()[-1].cpu(), self.count),
            "calibration_error": float(gaps.sum() / num),
        }
        return dict.fromkeys(scores, float("nan")) if self.num_not_finite else scores

    def _split(self) -> tuple[Tensor, ...]:
        return torch.split(self.sums, self._parts)


class TrainingSums:
    """Sums of the loss and accuracy of training batches since they were last logged.

    They stay on the device: reading them in each step would make each step wait for it.
    """

    SIZE = SIZE + 2  # the loss of each picture, exactly; hits in units of `_UNIT`; pictures
    _OLD_SIZE = 3  # float32: loss times pictures, hits, pictures

    def __init__(self) -> None:
        self._sums = torch.zeros(self.SIZE, dtype=torch.int64)
        self._batches: list[tuple[Tensor, Tensor, Tensor]] = []  # those not yet added

    def add(self, loss: Tensor, num_hits: Tensor, num: Tensor) -> None:
        """Add a batch: its mean loss, its hits and its number of pictures, each a scalar `()`."""
        self._batches.append((loss, num_hits, num))
        if len(self._batches) >= _MAX_BATCHES:
            self._add_up()

    @property
    def sums(self) -> Tensor:
        """The sums, `(SIZE,)` int64, on the device of the batches."""
        self._add_up()
        return self._sums

    def take_means(self, reduce: Callable[..., Tensor]) -> dict[str, float]:
        """Return the means `loss` and `top1` over all processes, and reset. Waits for the device.

        Args:
            reduce: Sums a tensor over all processes: `Strategy.reduce` of Lightning.
        """
        sums = reduce(self.sums, reduce_op="sum").cpu()
        self._sums = torch.zeros_like(self._sums)
        num_hits, num = sums[SIZE:].tolist()
        return {"loss": exact_mean(sums[:SIZE], num), "top1": num_hits * _UNIT / max(1, num)}

    def restore(self, rows: Tensor, rank: int, num_ranks: int) -> None:
        """Restore saved sums. If the number of processes has changed, the first takes them all.

        Args:
            rows: `(N, SIZE)`: the sums of each process that saved; `(N, 3)` float32 from earlier
                versions.
            rank: Number of this process.
            num_ranks: Number of processes now.

        Raises:
            CheckpointError: They are something else.
        """
        if rows.ndim == 2 and rows.shape[1] == self._OLD_SIZE and rows.is_floating_point():
            rows = torch.stack([_from_old(row) for row in rows])
        if rows.dtype != torch.int64 or rows.shape[1:] != self._sums.shape:
            raise CheckpointError(
                f"the checkpoint holds sums of training that are {tuple(rows.shape)} {rows.dtype}",
                "start a new run from its weights:  --model.weights CHECKPOINT",
            )
        if len(rows) == num_ranks:
            self._sums = rows[rank].clone()
        else:
            self._sums = rows.sum(dim=0) * (rank == 0)

    def _add_up(self) -> None:
        if not self._batches:
            return
        losses, num_hits, nums = map(torch.stack, zip(*self._batches, strict=True))
        nums = nums.to(torch.int64)
        self._batches.clear()
        self._sums = self._sums.to(losses.device)
        add_exactly(self._sums[:SIZE], losses, nums)
        self._sums[SIZE:] += torch.stack([_to_units(num_hits).sum(), nums.sum()])


def _from_old(row: Tensor) -> Tensor:
    loss, num_hits, num = row
    sums = torch.zeros(TrainingSums.SIZE, dtype=torch.int64)
    add_exactly(sums[:SIZE], loss, torch.tensor(1))
    sums[SIZE:] = torch.stack([_to_units(num_hits), num.to(torch.int64)])
    return sums


def _to_units(values: Tensor) -> Tensor:
    # Exact but for the rounding: a power of two only changes the exponent.
    return (values.nan_to_num(0, 0, 0).float() / _UNIT).round().to(torch.int64)
