"""Against SciPy, and against what the interval is defined by."""

import pytest
from scipy import stats

from places.training.intervals import paired_test, wilson


@pytest.mark.parametrize(
    ("num_hits", "num"), [(0, 1), (1, 1), (0, 100), (7, 10), (50, 100), (20_416, 36_500), (99, 100)]
)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_interval_is_that_of_wilson(num_hits: int, num: int, confidence: float) -> None:
    expected = stats.binomtest(num_hits, num).proportion_ci(confidence, method="wilson")
    assert wilson(num_hits, num, confidence) == pytest.approx((expected.low, expected.high))
    low, high = wilson(num_hits, num, confidence)
    assert 0 <= low <= num_hits / num <= high <= 1


def test_without_pictures_nothing_is_known() -> None:
    assert wilson(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [(0, 0), (1, 0), (0, 5), (5, 5), (6, 5), (30, 12), (1800, 1700), (2500, 1500), (20_000, 9000)],
)
def test_the_paired_test_is_the_exact_binomial_one(first: int, second: int) -> None:
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0
    assert paired_test(first, second) == pytest.approx(expected, rel=1e-9, abs=1e-300)
    assert paired_test(first, second) == paired_test(second, first)
