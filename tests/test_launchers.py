"""The batch script of SLURM, with stand-ins for SLURM's commands."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _command(path: Path, text: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def _submit(folder: Path, srun: str, **environment: str) -> subprocess.CompletedProcess[str]:
    commands = folder / "commands"
    commands.mkdir()
    _command(commands / "srun", f'printf "%s\\n" "$@" >srun.txt\nsleep 0.05\n{srun}')
    _command(
        commands / "scontrol",
        '[[ $1 == show ]] && printf "node-3\\nnode-4\\n" || echo "$@" >>scontrol.txt',
    )
    slurm = {
        "SLURM_SUBMIT_DIR": str(folder),
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node-[3-4]",
        "SLURM_NTASKS_PER_NODE": "4",
        "SLURM_CPUS_PER_TASK": "8",
    }
    return subprocess.run(
        ["bash", str(ROOT / "scripts" / "slurm" / "train.sbatch"), "--config", "a b.yaml"],
        env={**os.environ, **slurm, **environment, "PATH": f"{commands}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


SAVE = "mkdir -p runs/slurm-77/a/0/checkpoints && touch runs/slurm-77/a/0/checkpoints/last.ckpt"


@pytest.mark.parametrize(
    ("srun", "is_requeued"),
    [
        (f"{SAVE}; exit 138", True),
        (f"{SAVE}; exit 143", True),
        (f"{SAVE}; exit 1", False),
        (f"{SAVE}; exit 0", False),
        ("exit 138", False),  # saved nothing: it would come back for ever
    ],
)
def test_a_job_is_requeued_when_a_signal_ended_it_and_it_can_go_on(
    srun: str, is_requeued: bool, tmp_path: Path
) -> None:
    done = _submit(tmp_path, srun)
    assert done.returncode == int(srun.split()[-1]), done.stderr
    requeued = tmp_path / "scontrol.txt"
    assert requeued.is_file() == is_requeued
    if is_requeued:
        assert requeued.read_text() == "requeue 77\n"


def test_each_start_goes_on_from_the_last_checkpoint_of_the_job(tmp_path: Path) -> None:
    done = _submit(tmp_path, "exit 0", BIN="bin")
    assert done.returncode == 0, done.stderr
    words = (tmp_path / "srun.txt").read_text().splitlines()
    assert words == [
        *("--kill-on-bad-exit=1", "bin/places", "fit", "--config", "a b.yaml"),
        *("--ckpt_path", "last", "--trainer.default_root_dir", "runs/slurm-77"),
        *("--trainer.num_nodes", "2", "--trainer.devices", "4"),
    ]


def test_torchrun_is_started_once_per_node(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    script = 'echo "$NODE of $NUM_NODES, $PROCESSES each, at $HEAD: $*" >torchrun.txt'
    _command(tmp_path / "scripts" / "torchrun.sh", script)
    start = 'while [[ $1 == --* ]]; do shift; done; SLURM_NODEID=1 exec "$@"'
    done = _submit(tmp_path, start, LAUNCHER="torchrun")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "torchrun.txt").read_text() == (
        "1 of 2, 4 each, at node-3: fit --config a b.yaml --ckpt_path last "
        "--trainer.default_root_dir runs/slurm-77\n"
    )
