"""Real runs for tests of their page: a training, its test, and the test of random weights."""

from pathlib import Path

import pytest
from tests.integration.stages import fit_in, run

SIZES = (*("--data.image_size", 32, "--data.resize_size", 36), "--model.net=tests.networks.Tiny")


@pytest.fixture(scope="package")
def runs(mixed_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs: 0 a training, 1 its test, 2 a test of random weights without a page."""
    root = tmp_path_factory.mktemp("runs")
    recipe = root / "fit.yaml"
    recipe.write_text("trainer: {max_epochs: 2}\nmodel: {label_smoothing: 0.1}\n")
    words = ("--config", recipe, "--data.root", mixed_sample, "--trainer.max_epochs", 3)
    trained = fit_in(root, *words, "--report", "true")
    where = ("--trainer.default_root_dir", root)
    assert run("test", "--ckpt_path", trained, *where, "--report", "true") == 0
    random = ("--data.root", mixed_sample, "--random_weights", "--config", recipe)
    assert run("test", *random, *where, *SIZES) == 0
    return root / "fit"
