import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from places.data.remote.shard_uses import longest_horizon, peak_bytes, shard_uses

ROWS = st.lists(st.integers(0, 9), max_size=60)


def _wanted(rows: list[int], batch_size: int, step: int, horizon: int) -> set[int]:
    """Shards that are read from `step` on, by looking at every row."""
    steps: dict[int, list[int]] = {}
    for row, shard in enumerate(rows):
        steps.setdefault(shard, []).append(row // batch_size)
    return {s for s, used in steps.items() if min(used) <= step + horizon and max(used) >= step}


def _peak(rows: list[int], batch_size: int, sizes: list[int], horizon: int) -> int:
    num_steps = -(-len(rows) // batch_size)
    return max(
        (
            sum(sizes[s] for s in _wanted(rows, batch_size, step, horizon))
            for step in range(num_steps)
        ),
        default=0,
    )


@given(ROWS, st.integers(1, 7))
def test_uses_are_the_first_and_last_batches_of_each_shard(
    rows: list[int], batch_size: int
) -> None:
    uses = shard_uses(np.array(rows, dtype=np.uint16), batch_size)
    assert uses.shards.tolist() == list(dict.fromkeys(rows))
    for shard, first, last in zip(uses.shards, uses.first_step, uses.last_step, strict=True):
        assert first == rows.index(shard) // batch_size
        assert last == (len(rows) - 1 - rows[::-1].index(shard)) // batch_size


@given(ROWS, st.integers(1, 7), st.lists(st.integers(0, 99), min_size=10), st.integers(0, 70))
def test_peak_is_the_largest_sum_of_wanted_shards(
    rows: list[int], batch_size: int, sizes: list[int], horizon: int
) -> None:
    uses = shard_uses(np.array(rows, dtype=np.int64), batch_size)
    assert peak_bytes(uses, sizes, horizon) == _peak(rows, batch_size, sizes, horizon)


@given(
    ROWS.filter(bool), st.integers(1, 3), st.lists(st.integers(1, 99), min_size=10), st.integers(1)
)
def test_the_longest_horizon_fits_and_the_next_does_not(
    rows: list[int], batch_size: int, sizes: list[int], limit: int
) -> None:
    limit %= 2 * sum(sizes)
    uses = shard_uses(np.array(rows, dtype=np.int64), batch_size)
    horizon = longest_horizon(uses, sizes, limit, 2)
    fitting = [h for h in range(2, 62) if _peak(rows, batch_size, sizes, h) <= limit]
    if horizon is None:
        assert fitting == []
    elif _peak(rows, batch_size, sizes, 61) <= limit:  # longer than any epoch here
        assert _wanted(rows, batch_size, 0, horizon) == set(rows)
    else:
        assert horizon == max(fitting)


def test_sizes_beyond_32_bits_are_exact() -> None:
    uses = shard_uses(np.arange(4), 1)
    assert peak_bytes(uses, [2**53 + 1] * 4, 3) == 4 * (2**53 + 1)


def test_nothing_is_wanted_of_no_rows() -> None:
    uses = shard_uses(np.array([], dtype=np.int64), 4)
    assert uses.shards.tolist() == []
    assert peak_bytes(uses, [7, 7], 8) == 0
