import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from places.data.streaming import plan

sizes = st.lists(st.integers(1, 50), min_size=1, max_size=12)


@given(sizes, st.integers(0, 100), st.integers(0, 5), st.none() | st.integers(1, 13))
def test_a_training_epoch_is_a_permutation(
    shard_sizes: list[int], seed: int, epoch: int, window: int | None
) -> None:
    order = plan.train_order(
        shard_sizes, seed=seed, epoch=epoch, batch_size=2 * (window or 1), shuffle_window=window
    )
    assert sorted(order) == list(range(sum(shard_sizes)))


@given(st.integers(20, 500), st.integers(0, 100))
def test_two_epochs_and_two_seeds_differ(num: int, seed: int) -> None:
    first = plan.train_order([num], seed=seed, epoch=0)
    assert not np.array_equal(first, plan.train_order([num], seed=seed, epoch=1))
    assert not np.array_equal(first, plan.train_order([num], seed=seed + 1, epoch=0))


@given(st.integers(2, 40), st.sampled_from([1, 2, 4, 6]), st.integers(1, 3), st.integers(0, 9))
def test_shuffle_window_bounds_the_shards_in_use(
    num: int, window: int, per_lane: int, epoch: int
) -> None:
    batch_size = window * per_lane
    order = plan.train_order(
        [7] * num, seed=1, epoch=epoch, batch_size=batch_size, shuffle_window=window
    )
    num_steps = len(order) // batch_size
    rows = order[: num_steps * batch_size] // 7
    steps = np.arange(len(rows)) // batch_size
    uses = [steps[rows == shard] for shard in range(num) if (rows == shard).any()]
    for step in range(num_steps):
        in_use = [use for use in uses if use[0] <= step <= use[-1]]
        # One per lane, and one more where a lane goes on to its next shard.
        assert len(in_use) <= 2 * window


@given(st.lists(st.integers(20, 60), min_size=8, max_size=30), st.sampled_from([2, 4]))
def test_with_a_window_each_node_reads_its_own_shards(
    shard_sizes: list[int], num_nodes: int
) -> None:
    shards = np.repeat(np.arange(len(shard_sizes)), shard_sizes)
    order = plan.train_order(shard_sizes, seed=1, epoch=0, batch_size=8, shuffle_window=4)
    read = []
    for rank in range(num_nodes):
        batches = [
            plan.train_batch(order, 8, step, rank=rank, num_ranks=num_nodes)
            for step in range(len(order) // 8)
        ]
        read.append(set(shards[np.concatenate(batches)]))
    num_read = sum(map(len, read))
    # Equal batches cut the row of shards at num_nodes - 1 places, seldom between two shards.
    assert num_read <= len(shard_sizes) + num_nodes - 1


@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 300))
def test_the_global_order_does_not_depend_on_the_number_of_ranks(
    num_ranks: int, per_rank: int, num: int
) -> None:
    order = plan.train_order([num], seed=3, epoch=2)
    batch_size = num_ranks * per_rank
    for step in range(num // batch_size):
        whole = plan.train_batch(order, batch_size, step, rank=0, num_ranks=1)
        parts = [
            plan.train_batch(order, batch_size, step, rank=rank, num_ranks=num_ranks)
            for rank in range(num_ranks)
        ]
        assert {len(part) for part in parts} == {per_rank}
        assert np.array_equal(np.concatenate(parts), whole)


@given(st.integers(1, 7), st.integers(1, 9), st.integers(1, 300))
def test_evaluation_covers_each_sample_exactly_once(
    num_ranks: int, per_rank: int, num: int
) -> None:
    batch_size = num_ranks * per_rank
    batches = [
        plan.eval_batch(num, batch_size, step, rank=rank, num_ranks=num_ranks)
        for step in range(plan.num_eval_batches(num, batch_size))
        for rank in range(num_ranks)
    ]
    assert {len(batch) for batch in batches} == {per_rank}
    ids = np.concatenate(batches)
    assert sorted(ids[ids != plan.PADDING]) == list(range(num))


@pytest.mark.parametrize("window", [None, 16])
def test_eight_million_samples_for_1024_ranks_fit_in_memory(window: int | None) -> None:
    import tracemalloc

    tracemalloc.start()
    sizes = [18_000] * 445 + [16_628]
    order = plan.train_order(sizes, seed=0, epoch=3, batch_size=8192, shuffle_window=window)
    batch = plan.train_batch(order, 8192, 100, rank=1023, num_ranks=1024)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(order) == 8_026_628
    assert len(batch) == 8
    assert peak_bytes < 300e6


@pytest.mark.parametrize("window", [None, 2])
def test_an_empty_shard_is_no_obstacle(window: int | None) -> None:
    order = plan.train_order([3, 0, 4, 0], seed=0, epoch=0, batch_size=2, shuffle_window=window)
    assert sorted(order) == list(range(7))


def test_crops_grow_between_two_epochs_in_steps_of_32() -> None:
    sizes = [plan.Growth(224, 128, (2, 6)).image_size_at(epoch) for epoch in range(8)]
    assert sizes == [128, 128, 128, 128, 160, 192, 224, 224]
    assert [plan.Growth(224, None, (2, 6)).image_size_at(epoch) for epoch in range(8)] == [224] * 8


@given(st.integers(32, 300), st.integers(0, 200), st.integers(0, 9), st.integers(1, 30))
def test_crops_never_shrink_and_end_at_the_final_size(
    start: int, more: int, first: int, length: int
) -> None:
    sizes = [
        plan.Growth(start + more, start, (first, first + length)).image_size_at(epoch)
        for epoch in range(first + length + 2)
    ]
    assert sizes == sorted(sizes)
    assert set(sizes[: first + 1]) == {start}
    assert sizes[-2:] == [start + more] * 2


@given(
    num_samples=st.integers(0, 2000),
    per_rank=st.integers(1, 40),
    num_ranks=st.integers(1, 5),
)
def test_even_batches_are_as_many_and_hardly_filled_up(
    num_samples: int, per_rank: int, num_ranks: int
) -> None:
    asked = per_rank * num_ranks
    size = plan.even_batch_size(num_samples, asked, num_ranks)
    assert size % num_ranks == 0
    assert 0 < size <= asked
    num_batches = plan.num_eval_batches(num_samples, size)
    assert num_batches == plan.num_eval_batches(num_samples, asked)
    assert num_batches * (size - num_ranks) < num_samples or size == num_ranks


@given(st.integers(1, 200), st.integers(1, 10), st.integers(1, 4), st.integers(0, 250))
def test_predictions_cover_all_rows_once_and_go_on_between_batches(
    num: int, per_rank: int, num_ranks: int, num_rows: int
) -> None:
    batches = plan.PredictionPlan.soon(num, per_rank * 4 * num_ranks, num_ranks)
    ids = [
        batches.batch(step, rank).tolist()
        for step in range(len(batches))
        for rank in range(num_ranks)
    ]
    rows = [row for part in ids for row in part]
    assert [row for row in rows if row != plan.PADDING] == list(range(num))
    starts = [batches.start_of(step) for step in range(len(batches) + 1)]
    assert starts[0] == 0
    assert starts[-1] == num
    whole = batches.num_whole(num_rows)
    assert batches.start_of(whole) == max(start for start in starts if start <= num_rows)
    sizes = [len(part) for part in ids]
    assert sum(sizes) - num < num_ranks * len(batches)
    assert max(sizes) <= per_rank * 4


def test_the_first_predictions_come_soon() -> None:
    batches = plan.PredictionPlan.soon(1000, 32, 1)
    assert [len(batches.batch(step, 0)) for step in (0, 1)] == [8, 32]
    assert len(plan.PredictionPlan.soon(32, 32, 1)) == 1
    assert len(plan.PredictionPlan.soon(20, 8, 2).batch(0, 0)) == 4


@given(st.integers(1, 300), st.integers(2, 24), st.integers(2, 5))
def test_each_picture_is_there_several_times_and_apart(
    num: int, batch_size: int, num_copies: int
) -> None:
    batch_size, num_copies = min(batch_size, num), min(num_copies, batch_size)
    order = plan.train_order([num], seed=4, epoch=1)
    found = plan.repeated(order, batch_size, num_copies)
    assert len(found) == num // batch_size * batch_size
    assert len(set(found.tolist())) == len(found)  # no copy twice
    samples, copies = found % num, found // num
    assert set(copies.tolist()) <= set(range(num_copies))
    # The pictures that come first without copies, each with all of its copies but for the last.
    wanted = [int(sample) for sample in order for _ in range(num_copies)][: len(found)]
    assert sorted(samples.tolist()) == sorted(wanted)
    for start in range(0, len(found), batch_size):
        batch = samples[start : start + batch_size]
        assert sorted(batch.tolist()) == sorted(wanted[start : start + batch_size])
        if batch_size >= 3 * num_copies:  # neighbours are what mixup mixes
            assert (batch[1:] != batch[:-1]).all()
