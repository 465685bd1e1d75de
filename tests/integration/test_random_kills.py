"""Runs with settings drawn at random, killed at random, end as runs that are left alone.

Each time other settings are drawn. The seed is printed; to repeat one:
PLACES_SEED=123 pytest tests/integration/test_random_kills.py
"""

import os
import random
import signal
from pathlib import Path

import pytest
import torch
from tests.deaths import MOMENTS
from tests.integration.recording import read_record
from tests.integration.stages import read_metrics, run_apart
from tests.integration.test_kill import assert_same

pytestmark = pytest.mark.slow

SEED = os.environ.get("PLACES_SEED")
NUM_DRAWS = 2 if SEED is None else 1
NUM_EPOCHS = 3
NUM_DEATHS = 4
# One of each line is drawn.
SETTINGS = [
    ["--model.net tests.networks.Dropping", "--model.net tests.networks.Tiny"],
    ["--model.schedule cosine", "--model.schedule constant", "--model.schedule steps"],
    ["--model.warmup_epochs 0", "--model.warmup_epochs 0.7", "--model.warmup_epochs 2"],
    ["", "--model.average_decay 0.9", "--model.average_decay 0.999"],
    ["", "--model.augment.mixup 0.4", "--model.augment.cutmix 1", "--model.augment.erase 0.5"],
    ["", "--model.augment.trivial true", "--model.augment.rand 7"],
    ["", "--model.label_smoothing 0.1"],
    ["", "--model.optimizer Adam", "--model.optimizer AdamW --model.optimizer.amsgrad true"],
    ["", "--model.decay_norms_and_biases true"],
    ["", "--trainer.gradient_clip_val 0.5"],
    ["", "--trainer.precision bf16-mixed"],
    ["", "--trainer.accumulate_grad_batches 2", "--trainer.accumulate_grad_batches 4"],
    [f"--trainer.log_every_n_steps {number}" for number in (1, 2, 5, 50)],
    ["", "--trainer.check_val_every_n_epoch 2", "--trainer.val_check_interval 0.5"],
    ["", "--trainer.limit_train_batches 5", "--trainer.limit_val_batches 2"],
    ["", "--data.batch_size 10", "--data.batch_size 32"],
    ["", "--data.shuffle_window 2", "--data.augment_repeats 3"],
    ["", "--data.start_image_size 24"],
    ["", "--data.num_threads 3"],
    ["", "--data.flip false"],
    ["", "--seed_everything 7", "--data.seed 5"],
    ["", "--checkpoint.save_top_k 2 --checkpoint.filename best-{step}"],
    ["", "--resume.keep_all true"],
    [f"--resume.every_n_steps {number}" for number in (0, 1, 2, 3)],
    ["", "--resume.agree_every_n_batches 1", "--resume.agree_every_n_batches 3"],
]


@pytest.mark.no_cover
@pytest.mark.parametrize("draw", range(NUM_DRAWS))
def test_any_run_may_be_killed_at_any_moment(
    draw: int, sample: Path, raw_sample: Path, mixed_sample: Path
) -> None:
    seed = random.SystemRandom().randrange(10**6) if SEED is None else int(SEED)
    chance = random.Random(seed)
    words = [word for choices in SETTINGS for word in chance.choice(choices).split()]
    if "steps" in words:
        words += ["--model.milestones", "[1,2]"]
    words += ["--data.root", str(chance.choice([sample, raw_sample, mixed_sample]))]
    words += ["--trainer.max_epochs", str(NUM_EPOCHS)]
    print(f"PLACES_SEED={seed}:", *words)
    words += ["--trainer.callbacks+=tests.integration.recording.Record"]
    alone = [*words, "--trainer.default_root_dir", "alone"]
    assert run_apart("fit", alone) == 0
    killed = [*words, "--trainer.default_root_dir", "killed", "--ckpt_path", "last"]
    (whole,) = map(read_record, _runs("alone"))
    deaths = sorted(chance.randrange(len(whole)) for _ in range(NUM_DEATHS))
    for batch in deaths:
        moment = chance.choice(MOMENTS)
        print(f"dies at {moment!r} after batch {batch}")
        death = ["--trainer.callbacks+=tests.deaths.Death", "--trainer.callbacks.moment", moment]
        death += ["--trainer.callbacks.batch", str(batch)]
        # Where the moment does not come any more, the run ends.
        assert run_apart("fit", [*killed, *death]) in (-signal.SIGKILL, 0)
    assert run_apart("fit", killed) == 0
    expected, got = (torch.load(_newest(root), weights_only=True) for root in ("alone", "killed"))
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "training"):
        assert_same(expected[part], got[part], part)
    metrics = read_metrics(*_runs("alone"))
    assert read_metrics(*_runs("killed")) == metrics
    batches = {(row.epoch, row.batch_idx): row for row in whole}
    again = [row for run in _runs("killed") for row in read_record(run)]
    assert {(row.epoch, row.batch_idx) for row in again} == batches.keys()
    assert all(row == batches[row.epoch, row.batch_idx] for row in again)
    assert not list(Path().rglob("*.partial"))


def _runs(root: str) -> list[Path]:
    return sorted(Path(root, "fit").iterdir(), key=lambda path: int(path.name))


def _newest(root: str) -> Path:
    paths = [run / "checkpoints" / "last.ckpt" for run in _runs(root)]
    return [path for path in paths if path.is_file()][-1]
