import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from places.data.streaming.batches import Workers
from places.data.streaming.plan import train_batch


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(0, 99))
def test_the_share_of_a_node_is_what_its_processes_read(
    num_nodes: int, per_node: int, per_rank: int, num_samples: int
) -> None:
    num_ranks = num_nodes * per_node
    batch_size, order = num_ranks * per_rank, np.random.default_rng(0).permutation(num_samples)
    for rank in range(num_ranks):
        workers = Workers(rank=rank, num_ranks=num_ranks, num_ranks_per_node=per_node)
        share, width = workers.share_of_node(order, batch_size)
        node = rank // per_node
        neighbours = range(node * per_node, (node + 1) * per_node)
        read = [
            sample
            for step in range(num_samples // batch_size)
            for each in neighbours
            for sample in train_batch(order, batch_size, step, rank=each, num_ranks=num_ranks)
        ]
        assert share.tolist() == read
        assert width == per_node * per_rank
