"""Two nodes with a network between them train and score as one process does.

The nodes are network namespaces of this machine, each with a torchrun of its own: what stands on
one is not reached from the other but over the network.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tests.integration.stages import CHILD, load_weights, options_of, run_apart

pytestmark = pytest.mark.slow

TIME_LIMIT_S = 200
ADDRESSES = ["10.77.0.1", "10.77.0.2"]
# In 64 bits, where the different rounding of sums of gradients is not mistaken for anything else.
RTOL, ATOL = 1e-9, 1e-12


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[str]]:
    """The names of two network namespaces, joined by a cable."""
    names = [f"places{os.getpid()}n{number}" for number in range(2)]
    if not shutil.which("ip"):
        pytest.skip("needs the command ip (Debian's package iproute2)")
    try:
        _lay_cable(names)
        yield names
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces are not permitted here: {error.stderr.strip()}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _lay_cable(names: list[str]) -> None:
    for name in names:
        _ip("netns", "add", name)
    end = ["type", "veth", "peer", "name", "cable", "netns", names[1]]
    _ip("link", "add", "cable", "netns", names[0], *end)
    for name, address in zip(names, ADDRESSES, strict=True):
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
        for device in ("lo", "cable"):
            _ip("-n", name, "link", "set", device, "up")


def _run_on(nodes: list[str], stage: str, *words: object) -> None:
    strategy = ["--trainer.strategy", "ddp_find_unused_parameters_false"]
    shape = ["--trainer.num_nodes", "2", "--trainer.devices", "1", *strategy]
    environment = {**CHILD, "GLOO_SOCKET_IFNAME": "cable"}
    processes = []
    for rank, node in enumerate(nodes):
        # Not torchrun's rendezvous: it hands out the host name, which is no address of the cable.
        launch = ["--nnodes=2", "--nproc-per-node=1", f"--node-rank={rank}"]
        launch += [f"--master-addr={ADDRESSES[0]}", "--master-port=29500"]
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            *launch,
            "-m",
            "places",
            stage,
            *options_of(stage),
            *shape,
        ]
        processes.append(
            subprocess.Popen(
                ["ip", "netns", "exec", node, *command, *map(str, words)],
                env={**os.environ, **environment},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        errors = [process.communicate(timeout=TIME_LIMIT_S)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)


@pytest.mark.no_cover
def test_two_nodes_train_and_score_as_one_process(
    nodes: list[str], mixed_sample: Path, tmp_path: Path
) -> None:
    words = ["--data.root", mixed_sample, "--trainer.max_epochs", 1]
    words += ["--model.net", "tests.networks.Frozen", "--trainer.precision", "64-true"]
    _run_on(nodes, "fit", *words, "--trainer.default_root_dir", tmp_path / "two")
    assert run_apart("fit", [*words, "--trainer.default_root_dir", tmp_path / "one"]) == 0
    two, one = (tmp_path / name / "fit" / "0" for name in ("two", "one"))
    expected = load_weights(one / "checkpoints" / "last.ckpt")
    for name, weight in load_weights(two / "checkpoints" / "last.ckpt").items():
        torch.testing.assert_close(weight, expected[name], rtol=RTOL, atol=ATOL)

    # The same batch per process: in a batch of another size logits may be rounded differently.
    scores = []
    for name, batch_size in (("one", 5), ("two", 10)):
        root = tmp_path / f"test {name}"
        test = ["--ckpt_path", one, "--data.batch_size", batch_size]
        test += ["--trainer.default_root_dir", root]
        if name == "two":
            _run_on(nodes, "test", *test)
        else:
            assert run_apart("test", test) == 0
        (file,) = root.rglob("result.json")
        result = json.loads(file.read_text(encoding="utf-8"))
        assert result["num_images"] == 36
        scores.append(result["scores"])
    assert scores[0] == scores[1]
