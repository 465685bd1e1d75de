from pathlib import Path

import numpy as np
import psutil
import pytest
from tests.data.shards.splits import rows_of, write_split

from places.data.streaming.samples import SplitSamples


@pytest.mark.slow
def test_an_index_of_eight_million_samples_stays_in_its_file(tmp_path: Path) -> None:
    manifest = write_split(tmp_path, rows_of(1, 8_026_628), "train")
    process = psutil.Process()
    before = process.memory_full_info()
    samples = SplitSamples(manifest)
    rng = np.random.default_rng(0)
    for _ in range(500):
        ids = rng.integers(0, 8_026_628, 256)
        assert [entry[3] for entry in samples.entries(ids)] == (ids % 365).tolist()
    after = process.memory_full_info()
    # Pages of the file are shared by all processes; what each has for itself is next to nothing.
    assert (tmp_path / "train.index.npy").stat().st_size < 200e6
    assert after.rss - before.rss < 200e6
    assert (after.rss - after.shared) - (before.rss - before.shared) < 10e6


def test_more_shards_than_open_files_are_allowed_raise_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr("resource.setrlimit", lambda _, limit: limits.append(limit))
    for num_shards in (10, 2000, 9000):
        SplitSamples(write_split(tmp_path, rows_of(num_shards)))
    assert limits == [(2256, 4096), (4096, 4096)]
