import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tests.integration.stages import (
    CHILD,
    FIT,
    TINY_RECIPE,
    load_weights,
    run,
    run_apart,
    run_together,
)

ROOT = Path(__file__).parents[2]
TIME_LIMIT_S = 150
# 96 pictures: 6 batches or 3 steps in each of 2 epochs.
WORDS = [
    *("--trainer.max_epochs", "2"),
    *("--trainer.accumulate_grad_batches", "2"),
    *("--resume.agree_every_n_batches", "3"),
]


def _signal(number: int, moment: str, batch: int, rank: int = 0) -> list[str]:
    callback = "--trainer.callbacks"
    return [
        *(callback, "tests.deaths.Death", f"{callback}.number", str(int(number))),
        *(f"{callback}.moment", moment, f"{callback}.batch", str(batch)),
        *(f"{callback}.rank", str(rank)),
    ]


@pytest.mark.first_covers
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "moment", "batch", "step", "shards"),
    [
        # It waits until the gradients of a step are together,
        (signal.SIGTERM, "batch end", 3, 2, "mixed_sample"),
        # and until the validation is over.
        (signal.SIGUSR1, "validation", 6, 3, "sample"),
    ],
)
def test_a_signal_ends_the_run_where_it_can_go_on(
    number: int,
    moment: str,
    batch: int,
    step: int,
    shards: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    words = ["--data.root", str(request.getfixturevalue(shards)), *WORDS]
    assert run_apart("fit", [*words, *_signal(number, moment, batch)]) == 128 + number
    (last,) = tmp_path.rglob("last.ckpt")
    assert torch.load(last, weights_only=True)["global_step"] == step
    assert run("fit", *words, "--ckpt_path", "last") == 0
    assert run("fit", *words, "--trainer.default_root_dir", "undisturbed") == 0
    resumed = load_weights(tmp_path / "runs/fit/1/checkpoints/last.ckpt")
    undisturbed = load_weights(tmp_path / "undisturbed/fit/0/checkpoints/last.ckpt")
    assert all(torch.equal(resumed[key], undisturbed[key]) for key in resumed)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_before_training_ends_the_run_at_once(
    number: int, sample: Path, tmp_path: Path
) -> None:
    words = ["--data.root", str(sample), *WORDS, *_signal(number, "loader", 0)]
    assert run_apart("fit", words) == 128 + number
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.slow
def test_a_signal_is_heeded_where_an_epoch_has_one_step(raw_sample: Path, tmp_path: Path) -> None:
    words = ["--data.root", str(raw_sample), "--data.batch_size", "96", "--trainer.max_steps", "4"]
    words += ["--trainer.log_every_n_steps", "1"]
    death = _signal(signal.SIGTERM, "batch start", 2)
    assert run_apart("fit", [*words, *death]) == 128 + signal.SIGTERM
    (last,) = tmp_path.rglob("last.ckpt")
    assert torch.load(last, weights_only=True)["global_step"] == 2


@pytest.mark.slow
def test_a_signal_ends_other_stages_at_once(sample: Path, tmp_path: Path) -> None:
    words = ["--data.root", sample, "--random_weights", "true", *TINY_RECIPE]
    words += _signal(signal.SIGTERM, "test", 0)
    assert run_apart("test", words) == 128 + signal.SIGTERM
    assert not list(tmp_path.rglob("result.json"))


def _run_on_two(command: list[str], words: list[str]) -> subprocess.CompletedProcess[str]:
    words = ["fit", *FIT, *words, "--trainer.strategy", "ddp_find_unused_parameters_false"]
    return subprocess.run(
        [*command, *words],
        env={**os.environ, **CHILD},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_signal_to_one_process_ends_both_and_both_go_on(
    mixed_sample: Path, tmp_path: Path
) -> None:
    root = ["--data.root", str(mixed_sample)]
    words = [*root, *WORDS, *_signal(signal.SIGUSR1, "batch end", 2, rank=1)]
    command = [sys.executable, "-m", "places"]
    done = _run_on_two(command, [*words, "--trainer.devices", "2"])
    assert done.returncode == 128 + signal.SIGUSR1, done.stderr
    assert done.stderr.count("places: stopped by signal 10 after step") == 1
    (last,) = tmp_path.rglob("last.ckpt")
    # Agreed on after the third batch, saved after the step that the fourth completes.
    assert torch.load(last, weights_only=True)["global_step"] == 2
    said = tmp_path / "said"
    assert run_together(2, "fit", *root, *WORDS, "--ckpt_path", "last", said_in=said) == [0, 0]
    resumed = "places: resuming from runs/fit/0/checkpoints/last.ckpt, step 2"
    assert said.read_text().count(resumed) == 1
    last = tmp_path / "runs" / "fit" / "1" / "checkpoints" / "last.ckpt"
    assert torch.load(last, weights_only=True)["global_step"] == 6


@pytest.mark.no_cover
@pytest.mark.slow
def test_torchrun_passes_a_signal_and_its_exit_status_on(sample: Path, tmp_path: Path) -> None:
    words = ["--data.root", str(sample), *WORDS, "--trainer.max_epochs", "1000"]
    process = subprocess.Popen(
        [
            *(str(ROOT / "scripts" / "torchrun.sh"), "fit", *FIT, *words),
            *("--trainer.strategy", "ddp_find_unused_parameters_false"),
        ],
        env={
            **os.environ,
            **CHILD,
            "BIN": str(Path(sys.executable).parent),
            "PROCESSES": "2",
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(tmp_path.rglob("last.ckpt")):
        time.sleep(0.1)
    process.send_signal(signal.SIGUSR1)
    _, errors = process.communicate()
    assert process.returncode == 128 + signal.SIGUSR1, errors
    assert "places: stopped by signal" in errors


def _slurm(rank: int, num_ranks: int) -> dict[str, str]:
    """Return what SLURM tells a task."""
    task = {"NTASKS": num_ranks, "NTASKS_PER_NODE": num_ranks, "PROCID": rank, "LOCALID": rank}
    job = {"JOB_ID": 7, "JOB_NAME": "places", "NODEID": 0, "NODELIST": "localhost"}
    return {f"SLURM_{name}": str(value) for name, value in (task | job).items()}


def _leave_old_files(root: Path) -> None:
    for folder in ("runs", "runs/fit", "runs/fit/0"):
        (root / folder).mkdir()
        (root / folder / "hpc_ckpt_1.ckpt").write_text("not a checkpoint")


def test_old_files_of_lightnings_requeue_are_left_alone(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in _slurm(rank=0, num_ranks=1).items():
        monkeypatch.setenv(name, value)
    _leave_old_files(tmp_path)
    words = ["--data.root", sample, "--trainer.max_steps", 1]
    assert run("fit", *words) == 0
    assert run("fit", *words, "--trainer.fast_dev_run", "true", "--trainer.logger", "false") == 0
    assert {path.name for path in tmp_path.rglob("hpc_ckpt*")} == {"hpc_ckpt_1.ckpt"}


@pytest.mark.no_cover
@pytest.mark.slow
def test_no_process_of_a_job_takes_old_files(sample: Path, tmp_path: Path) -> None:
    _leave_old_files(tmp_path)
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(found.getsockname()[1])}
    common = {**os.environ, **address, **CHILD}
    words = [*FIT, "--data.root", str(sample), "--trainer.max_steps", "1"]
    words += ["--trainer.devices", "2", "--trainer.strategy", "ddp_find_unused_parameters_false"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "places", "fit", *words],
            env=common | _slurm(rank, num_ranks=2),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        errors = [process.communicate(timeout=TIME_LIMIT_S)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], errors
    assert [path.name for path in tmp_path.rglob("last.ckpt")] == ["last.ckpt"]
