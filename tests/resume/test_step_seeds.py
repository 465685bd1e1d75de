from places.resume.step_seeds import batch_seed


def test_seeds_differ_in_everything_they_depend_on() -> None:
    seeds = {batch_seed(s, b, r) for s in range(5) for b in range(50) for r in range(4)}
    assert len(seeds) == 5 * 50 * 4
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_seed_never_changes_between_versions() -> None:
    # printf "0 1 2" | b2sum -l 64, without the lowest bit.
    assert batch_seed(0, 1, 2) == 0xEE27F6DEF8F564BF >> 1
