import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from places.errors import CheckpointError
from places.training.exact_sums import SIZE, add_exactly, exact_mean
from places.training.scores import EvaluationSums, TrainingSums

LARGEST = float(np.finfo(np.float32).max)
SMALLEST = 2.0**-149
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


def _sums(values: list[float], counts: list[int] | None = None) -> torch.Tensor:
    sums = torch.zeros(SIZE, dtype=torch.int64)
    counts = [1] * len(values) if counts is None else counts
    add_exactly(sums, torch.tensor(values), torch.tensor(counts, dtype=torch.int64))
    return sums


@given(st.lists(FINITE, max_size=40))
def test_the_mean_is_that_of_the_exact_sum(values: list[float]) -> None:
    total = float(sum(map(Fraction, values)))
    assert total == math.fsum(values)
    assert exact_mean(_sums(values), len(values)) == total / max(1, len(values))


@given(st.lists(st.tuples(FINITE, st.integers(0, 2**20)), max_size=20), st.randoms())
def test_order_and_split_change_no_bit(rows: list[tuple[float, int]], random: object) -> None:
    whole = _sums([value for value, _ in rows], [count for _, count in rows])
    parts = torch.zeros(SIZE, dtype=torch.int64)
    for value, count in reversed(rows):
        parts += _sums([value], [count // 2]) + _sums([value], [count - count // 2])
    assert torch.equal(whole, parts)
    count = sum(count for _, count in rows)
    total = float(sum(count * Fraction(value) for value, count in rows))
    assert exact_mean(whole, count) == total / max(1, count)


@pytest.mark.parametrize("value", [1e10, LARGEST, -LARGEST, SMALLEST, 2.0**-126, 5.25, 0.0, -0.0])
def test_two_to_the_31_of_any_number_have_its_mean(value: float) -> None:
    value = float(np.float32(value))
    assert exact_mean(_sums([value], [2**31]), 2**31) == value
    assert exact_mean(_sums([value] * 2, [2**30, 2**30]), 2**31) == value


def test_more_are_infinite_and_never_wrap() -> None:
    assert exact_mean(_sums([1.0], [2**31 + 1]), 2**31 + 1) == math.inf


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_counted(bad: float) -> None:
    sums = _sums([1.0, bad, 2.0, bad], [1, 2, 1, 0])
    assert sums[-1] == 2
    assert torch.equal(sums[:-1], _sums([1.0, 2.0])[:-1])
    assert math.isnan(exact_mean(sums, 4))


def _scored(gaps: list[float]) -> EvaluationSums:
    """Return the sums of pictures whose loss is the gap between two logits, to the last bit."""
    logits = torch.tensor([[0.0, gap] for gap in gaps])
    metric = EvaluationSums(2)
    metric.update(logits, torch.zeros(len(gaps), dtype=torch.int64))
    return metric


@pytest.mark.parametrize("loss", [1e10, 1e20, 3e38])
def test_large_losses_do_not_wrap(loss: float) -> None:
    losses = [float(np.float32(loss))] * 4
    assert _scored(losses).compute()["loss"] == losses[0]
    mixed = [*losses, 100.0, 300.0]
    expected = math.fsum(mixed) / 6
    assert _scored(mixed).compute()["loss"] == expected
    one, other = _scored(mixed[:1]), _scored(mixed[1:])
    other.merge_state(one)
    assert other.compute()["loss"] == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [(1, 0), (1, 1)])
def test_a_network_with_outputs_that_are_not_finite_has_no_scores(
    bad: float, at: tuple[int, int]
) -> None:
    logits = torch.eye(3)
    logits[at] = bad
    metric = EvaluationSums(3)
    metric.update(logits, torch.arange(3))
    assert (metric.count, metric.num_not_finite) == (3, 1)
    assert all(map(math.isnan, metric.compute().values()))
    padded = EvaluationSums(3)
    padded.update(logits, torch.arange(3), torch.tensor([1, 0, 1]))
    assert (padded.count, padded.num_not_finite) == (2, 0)
    assert padded.compute()["top1"] == 1


def test_a_loss_beyond_float32_is_not_finite() -> None:
    metric = _scored([LARGEST])
    metric.update(torch.tensor([[-LARGEST, LARGEST]]), torch.tensor([0]))
    assert metric.num_not_finite == 1


def _mean(sums: TrainingSums) -> dict[str, float]:
    return sums.take_means(lambda own, reduce_op: own)


@pytest.mark.parametrize("num_batches", [1, 3, 250])
def test_means_of_a_training_are_exact(num_batches: int) -> None:
    sums = TrainingSums()
    losses = [float(np.float32(1e37 * (number + 1) / num_batches)) for number in range(num_batches)]
    for loss in losses:
        sums.add(torch.tensor(loss), torch.tensor(7.25), torch.tensor(16.0))
    expected = float(sum(16 * Fraction(loss) for loss in losses)) / (16 * num_batches)
    assert _mean(sums) == {"loss": expected, "top1": 7.25 / 16}
    assert _mean(sums) == {"loss": 0, "top1": 0}


def test_no_picture_of_a_long_time_without_logs_is_lost() -> None:
    # A float32 number cannot count further than this in steps of one.
    sums = TrainingSums()
    sums.add(torch.tensor(1.0), torch.tensor(2.0**24), torch.tensor(2.0**24))
    for _ in range(3):
        sums.add(torch.tensor(2.0), torch.tensor(1.0), torch.tensor(1.0))
    num = 2**24 + 3
    assert _mean(sums) == {"loss": (num + 3) / num, "top1": 1.0}


def test_a_training_loss_that_is_not_finite_shows() -> None:
    sums = TrainingSums()
    sums.add(torch.tensor(math.inf), torch.tensor(0.0), torch.tensor(4.0))
    assert math.isnan(_mean(sums)["loss"])


@pytest.mark.parametrize("num_ranks", [1, 2])
def test_sums_of_an_earlier_version_are_taken_over(num_ranks: int) -> None:
    old = torch.tensor([[40.5, 6.25, 16.0], [20.0, 3.0, 8.0]])  # loss times pictures, hits, count
    restored = [TrainingSums() for _ in range(num_ranks)]
    for rank, sums in enumerate(restored):
        sums.restore(old, rank, num_ranks)
    total = TrainingSums()
    total.restore(torch.stack([sums.sums for sums in restored]), 0, 1)
    assert _mean(total) == {"loss": 60.5 / 24, "top1": 9.25 / 24}


@pytest.mark.parametrize(
    "rows", [torch.zeros(3), torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.int64)]
)
def test_sums_of_another_kind_are_refused(rows: torch.Tensor) -> None:
    with pytest.raises(CheckpointError, match="sums of training"):
        TrainingSums().restore(rows, 0, 1)
