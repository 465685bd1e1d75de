import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
)

from places.training.scores import EvaluationSums, TrainingSums

NUM_CLASSES = 12


def _example(num: int = 300, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, NUM_CLASSES, (num,), generator=generator)
    logits = torch.randn(num, NUM_CLASSES, generator=generator)
    logits[torch.arange(num), labels] += 1.5
    return logits, labels


def test_scores_equal_torchmetrics() -> None:
    logits, labels = _example()
    sums = EvaluationSums(NUM_CLASSES)
    for part in range(0, 300, 77):
        rows = slice(part, part + 77)
        sums.update(logits[rows], labels[rows], torch.ones(len(labels[rows])))
    scores = sums.compute()
    top1 = multiclass_accuracy(logits, labels, NUM_CLASSES, average="micro")
    top5 = multiclass_accuracy(logits, labels, NUM_CLASSES, average="micro", top_k=5)
    macro = multiclass_accuracy(logits, labels, NUM_CLASSES, average="macro")
    error = multiclass_calibration_error(logits.softmax(1), labels, NUM_CLASSES, n_bins=15)
    assert scores["top1"] == pytest.approx(float(top1))
    assert scores["top5"] == pytest.approx(float(top5))
    assert scores["mean_class_accuracy"] == pytest.approx(float(macro))
    assert scores["calibration_error"] == pytest.approx(float(error), abs=1e-5)
    assert scores["loss"] == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, labels)), abs=1e-5
    )
    expected = multiclass_confusion_matrix(logits.argmax(1), labels, NUM_CLASSES)
    assert np.array_equal(sums.confusion, expected.numpy())
    assert sums.count == 300


def test_sums_do_not_depend_on_batches_or_their_order() -> None:
    logits, labels = _example(seed=1)
    whole, parts = EvaluationSums(NUM_CLASSES), EvaluationSums(NUM_CLASSES)
    whole.update(logits, labels, torch.ones(300))
    for rows in torch.split(torch.randperm(300, generator=torch.Generator().manual_seed(2)), 7):
        parts.update(logits[rows], labels[rows], torch.ones(len(rows)))
    assert torch.equal(whole.sums, parts.sums)


def test_rows_of_weight_zero_do_not_count() -> None:
    logits, labels = _example()
    weight = (torch.arange(300) < 100).float()
    padded, short = EvaluationSums(NUM_CLASSES), EvaluationSums(NUM_CLASSES)
    padded.update(logits, torch.where(weight > 0, labels, -1), weight)
    short.update(logits[:100], labels[:100], torch.ones(100))
    assert torch.equal(padded.sums, short.sums)


def test_a_loss_that_is_not_finite_shows_in_the_score() -> None:
    logits, labels = _example()
    logits[5] = float("nan")
    sums = EvaluationSums(NUM_CLASSES)
    sums.update(logits, labels, torch.ones(300))
    assert np.isnan(sums.compute()["loss"])
    assert sums.count == 300


def test_nothing_scored_is_no_division_by_zero() -> None:
    assert EvaluationSums(3).compute()["top1"] == 0


def _trained(batches: list[tuple[float, float, float]]) -> TrainingSums:
    sums = TrainingSums()
    for batch in batches:
        sums.add(*map(torch.tensor, batch))
    return sums


def test_training_sums_are_means_over_pictures_and_start_anew() -> None:
    sums = _trained([(2.0, 1.0, 4.0), (1.0, 3.0, 12.0)])
    assert sums.take_means(lambda own, reduce_op: own) == {"loss": 20 / 16, "top1": 4 / 16}
    assert sums.take_means(lambda own, reduce_op: own) == {"loss": 0, "top1": 0}
    sums.add(*map(torch.tensor, (0.5, 2.0, 2.0)))
    assert sums.take_means(lambda own, reduce_op: 3 * own) == {"loss": 0.5, "top1": 1}


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_saved_training_sums_are_those_of_any_number_of_processes(num_ranks: int) -> None:
    saved = [_trained([(0.3, 1.0, 4.0)]).sums, _trained([(0.7, 2.0, 5.0)]).sums]
    restored = [TrainingSums() for _ in range(num_ranks)]
    for rank, sums in enumerate(restored):
        sums.restore(torch.stack(saved), rank, num_ranks)
    together = torch.stack([sums.sums for sums in restored])
    assert torch.equal(together.sum(dim=0), torch.stack(saved).sum(dim=0))
    if num_ranks == 2:
        assert torch.equal(together, torch.stack(saved))
