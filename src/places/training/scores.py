"""Scores as exact integer sums, equal for any number of processes and any batch size."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

NUM_BINS = 15  # of the calibration error, as in Guo et al. 2017, arXiv 1706.04599

# Losses and confidences are summed as integer multiples of this unit. The sum of integers does not
# depend on their order, so the scores are bit-identical for any number of processes.
_UNIT = 2.0**-30


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
        sums: `(C * C + C + 2 * NUM_BINS + 3,)` int64: the only state, so that all processes need
            one reduction. It is not saved in checkpoints.
    """

    is_differentiable = False
    full_state_update = False  # the sums of two batches may be added: lets torchmetrics merge them
    sums: Tensor

    def __init__(self, num_classes: int, **kwargs: Any) -> None:  # noqa: ANN401  # torchmetrics' own
        super().__init__(**kwargs)
        self._parts = [num_classes**2, num_classes, NUM_BINS, NUM_BINS, 1, 1, 1]
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
        confusion, top5, bin_confidence, bin_hits, loss, count, not_finite = self._split()
        logits, one = logits.float(), weight.to(torch.int64)
        labels = torch.where(one > 0, labels, 0)
        best = logits.topk(min(5, self.num_classes), dim=1).indices
        confusion.index_add_(0, labels * self.num_classes + best[:, 0], one)
        top5.index_add_(0, labels, one * (best == labels[:, None]).any(dim=1))
        confidence = logits.softmax(dim=1).amax(dim=1)
        bins = (confidence * NUM_BINS).ceil().nan_to_num(1).long().clamp(1, NUM_BINS) - 1
        bin_confidence.index_add_(0, bins, one * _to_units(confidence))
        bin_hits.index_add_(0, bins, one * (best[:, 0] == labels))
        losses = F.cross_entropy(logits, labels, reduction="none")
        loss += (one * _to_units(losses)).sum()
        count += one.sum()
        not_finite += (one * ~losses.isfinite()).sum()

    @property
    def count(self) -> int:
        """Number of pictures in the sums: those of this process until the sums are reduced."""
        return int(self._split()[5])

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """`(C, C)` int64: pictures by true class (row) and predicted class (column)."""
        confusion = self._split()[0].cpu().numpy()
        return confusion.reshape(self.num_classes, self.num_classes)

    def compute(self) -> dict[str, float]:
        """Return the scores as float64; accuracies and the calibration error lie in 0..1.

        `top1`, `top5`: top-1 and top-5 accuracy.
        `mean_class_accuracy`: mean of the top-1 accuracies of the classes that occur.
        `loss`: mean cross-entropy in nats; NaN if that of any picture is not finite.
        `calibration_error`: expected calibration error (ECE) of 15 bins.

        With several processes, torchmetrics adds their sums first: call it on all of them, unless
        the metric was built with `sync_on_compute=False`.
        """
        parts = [part.cpu().numpy().astype(np.float64) for part in self._split()]
        _, top5, bin_confidence, bin_hits, loss, count, not_finite = parts
        num = max(1.0, float(count[0]))
        per_class = self.confusion.sum(axis=1)
        hits = self.confusion.diagonal()
        occurs = per_class > 0
        class_accuracy = hits[occurs] / per_class[occurs]
        gaps = np.abs(bin_confidence * _UNIT - bin_hits)
        return {
            "top1": float(hits.sum() / num),
            "top5": float(top5.sum() / num),
            "mean_class_accuracy": float(class_accuracy.mean()) if occurs.any() else 0.0,
            "loss": float("nan") if not_finite[0] else float(loss[0] * _UNIT / num),
            "calibration_error": float(gaps.sum() / num),
        }

    def _split(self) -> tuple[Tensor, ...]:
        return torch.split(self.sums, self._parts)


class TrainingSums:
    """Sums of the loss and accuracy of training batches since they were last logged.

    They stay on the device: reading them in each step would make each step wait for it.
    """

    SIZE = 3

    def __init__(self) -> None:
        self.sums = torch.zeros(self.SIZE)  # float32: loss times pictures, hits, pictures

    def add(self, loss: Tensor, num_hits: Tensor, num: Tensor) -> None:
        """Add a batch: its mean loss, its hits and its number of pictures, each a scalar `()`."""
        new = torch.stack([loss * num, num_hits, num])
        self.sums = self.sums.to(new.device) + new

    def take_means(self, reduce: Callable[..., Tensor]) -> dict[str, float]:
        """Return the means `loss` and `top1` over all processes, and reset. Waits for the device.

        Args:
            reduce: Sums a tensor over all processes: `Strategy.reduce` of Lightning.
        """
        loss, num_hits, num = reduce(self.sums, reduce_op="sum").tolist()
        self.sums = torch.zeros_like(self.sums)
        return {"loss": loss / max(1, num), "top1": num_hits / max(1, num)}

    def restore(self, rows: Tensor, rank: int, num_ranks: int) -> None:
        """Restore saved sums. If the number of processes has changed, the first takes them all.

        Args:
            rows: `(N, SIZE)`: the sums of each process that saved.
            rank: Number of this process.
            num_ranks: Number of processes now.
        """
        if len(rows) == num_ranks:
            self.sums = rows[rank].clone()
        else:
            self.sums = rows.sum(dim=0) * (rank == 0)


def _to_units(values: Tensor) -> Tensor:
    return (values.nan_to_num(0, 0, 0).double() / _UNIT).round().to(torch.int64)
