"""Tested on raw shards and on JPEGs: the same scores. `test_resume.py` trains on both."""

from pathlib import Path

from tests.integration.stages import TINY_RECIPE, run


def test_scores_on_raw_shards_are_those_on_jpegs(
    sample: Path, raw_sample: Path, tmp_path: Path
) -> None:
    tables = []
    for root in (sample, raw_sample):
        where = tmp_path / root.name
        words = ["--random_weights", "true", *TINY_RECIPE, "--data.root", root]
        assert run("test", *words, "--trainer.default_root_dir", where) == 0
        (table,) = where.rglob("scores.parquet")
        tables.append(table.read_bytes())
    assert tables[0] == tables[1]
