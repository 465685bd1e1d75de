"""How sure an accuracy is, and whether two differ: intervals and a paired test."""

import math
from statistics import NormalDist

CONFIDENCE = 0.95


def wilson(num_hits: float, num: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the Wilson score interval of a share, both ends in 0..1.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference": unlike the
    usual +- it holds near 0 and 1 and for few pictures.

    Args:
        num_hits: Number of hits.
        num: Number of tries; without any the interval is all of 0..1.
        confidence: How often such an interval is to hold the true share, in 0..1.
    """
    if num <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = num_hits / num
    centre = share + z * z / (2 * num)
    half = z * math.sqrt(share * (1 - share) / num + z * z / (4 * num * num))
    scale = 1 + z * z / num
    # At both ends rounding must not lead past the share itself.
    return min(share, max(0.0, (centre - half) / scale)), max(
        share, min(1.0, (centre + half) / scale)
    )


def paired_test(num_only_first: int, num_only_second: int) -> float:
    """Return how likely two classifiers of equal accuracy differ at least so much, in 0..1.

    McNemar's test (1947) in its exact form, two-sided: of the pictures that exactly one of the two
    got right, each is as likely right in the first as in the second.

    Args:
        num_only_first: Pictures that only the first got right.
        num_only_second: Pictures that only the second got right.
    """
    num, fewer = num_only_first + num_only_second, min(num_only_first, num_only_second)
    if 2 * fewer == num:
        return 1.0
    largest = _log_chance(num, fewer)
    # From the largest term on down, until a term no longer counts.
    total, term, k = 0.0, 1.0, fewer
    while k >= 0 and term > 1e-17 * total:
        total += term
        term *= k / (num - k + 1)
        k -= 1
    return min(1.0, 2 * math.exp(largest + math.log(total)))


def _log_chance(num: int, k: int) -> float:
    """Return the logarithm of the chance of k heads in so many throws of a coin."""
    choose = math.lgamma(num + 1) - math.lgamma(k + 1) - math.lgamma(num - k + 1)
    return choose - num * math.log(2)
