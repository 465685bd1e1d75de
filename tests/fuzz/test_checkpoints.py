"""Checkpoints with anything in them, whole as files or damaged."""

import atexit
import functools
import random
import shutil
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.fuzz.mutations import damage_bytes, damage_value
from tests.fuzz.tool import run
from tests.integration.stages import FIT, MACHINE

from places.cli.main import main


@functools.cache
def _base() -> tuple[Path, dict[str, Any], bytes]:
    """Return a small sample, and a checkpoint of a few steps on it."""
    root = Path(tempfile.mkdtemp(prefix="places-fuzz-"))
    atexit.register(shutil.rmtree, root)
    sizes = ["--num_train", "32", "--num_val", "16", "--num_test", "8"]
    assert main(["sample", "--root", str(root / "sample"), *sizes]) == 0
    words = ["--data.root", str(root / "sample"), "--trainer.max_epochs", "1"]
    assert main(["fit", *FIT, *words, "--trainer.default_root_dir", str(root / "runs")]) == 0
    path = root / "runs" / "fit" / "0" / "checkpoints" / "last.ckpt"
    return root / "sample", torch.load(path, weights_only=True), path.read_bytes()


def one(rng: random.Random, folder: Path) -> str:
    """Damage a checkpoint and use it; return the kind of damage."""
    sample, content, data = _base()
    path = folder / "stranger.ckpt"
    if rng.random() < 0.25:
        kind, damaged = damage_bytes(rng, data)
        path.write_bytes(damaged)
        kind = f"bytes: {kind}"
    else:
        # Mostly what says how all is built; now and then the state of the training.
        part = rng.choice([None, "places", "places", "places", "loops", "callbacks", "Places365"])
        kind, changed = damage_value(rng, content[part] if part else content)
        for _ in range(rng.choice([0, 0, 0, 1, 4])):
            _, changed = damage_value(rng, changed)
        torch.save({**content, part: changed} if part else changed, path)
        kind = f"{part or 'all'}: {kind}"
    stage = rng.choice(["fit", "test", "test", "predict"])
    words = ["--data.root", str(sample), "--ckpt_path", str(path), "--trainer.max_epochs", "2"]
    with chdir(folder):
        status, _ = run(stage, *MACHINE, *words, limit_s=60.0)
    if kind.startswith("bytes") and status == 0:  # damage between the parts of the archive
        used = torch.load(path, weights_only=True)
        assert _is_same(used, content), f"a damaged file was used: {kind}"
    outside = [p for p in folder.iterdir() if p.name not in ("stranger.ckpt", "runs", "data")]
    assert not outside, outside
    return f"{stage} {kind}"


def _is_same(left: object, right: object) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_is_same(left[k], right[k]) for k in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_is_same, left, right))
    if isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor):
        return torch.equal(left, right)
    return type(left) is type(right) and left == right


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_damaged_checkpoints(seed: int, tmp_path: Path) -> None:
    one(random.Random(seed), tmp_path)
