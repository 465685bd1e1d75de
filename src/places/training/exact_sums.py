"""Exact sums of float32 numbers: equal in any order, for any split into batches and processes.

A float32 number is an integer of 24 bits, shifted left by 0 to 253 bits, in units of 2^-149. It is
added to one of 32 integers, each of which stands for 8 bits of the shift: the 24 + 7 bits of a
number leave room for 2^32 of them in 64 bits, so nothing is carried and nothing wraps.
"""

import torch
from torch import Tensor

_BITS = 8  # of the shift, for each of the integers
_NUM_INTEGERS = 32
_OFFSET = 2
_UNIT = 2.0 ** -(149 + _OFFSET)
_MAX_COUNT = 2**31

SIZE = _NUM_INTEGERS + 1  # the last counts what is not finite


def add_exactly(sums: Tensor, values: Tensor, counts: Tensor) -> None:
    """Add numbers to a sum. Does not wait for the device.

    Args:
        sums: `(SIZE,)` int64, changed in place; zeros at first. Sums of several processes may be
            added like any integers.
        values: `(N,)` or `()` float32. One that is NaN or infinite is counted, not added.
        counts: int64 of the same shape, 0 or more: how often to add each.
    """
    bits = values.float().reshape(-1).view(torch.int32)
    sign, exponent = (bits >> 31) | 1, (bits >> 23) & 0xFF
    is_normal = exponent.clamp(max=1)
    number = ((bits & 0x7FFFFF) | (is_normal << 23)) * sign
    # Two more than the shift, so that what is not finite (exponent 255) falls into the last.
    place = exponent - is_normal + _OFFSET
    number = torch.where(exponent == 0xFF, 1, number).to(torch.int64) << (place & (_BITS - 1))
    sums.index_add_(0, place // _BITS, counts.reshape(-1) * number)


def exact_mean(sums: Tensor, count: int) -> float:
    """Return the sum over a number of values, both rounded once to float64.

    Args:
        sums: `(SIZE,)` int64, what `add_exactly` has changed.
        count: How many values are in it.

    Returns:
        0 for none; NaN if one of them was not finite; infinity above 2^31 values, for which there
        is no room.
    """
    *integers, num_not_finite = sums.tolist()
    if num_not_finite:
        return float("nan")
    if count > _MAX_COUNT:
        return float("inf")
    total = sum(integer << (_BITS * number) for number, integer in enumerate(integers))
    return float(total) * _UNIT / max(1, count)
