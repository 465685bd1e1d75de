"""Networks whose gradients overwrite memory on a processor with the channels last (oneDNN 6035)."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.integration.stages import CHILD, run
from tests.networks import Strided
from torch import nn

from places.cli.main import main
from places.models.channels_last import overwriting_layers
from places.models.listing import NETWORKS

TOLD = "places: the channels stay first in memory"

# In a process of its own: where the memory is overwritten, it is ended by a signal.
TRAIN = """
import torch
from places.models.repvgg import RepVGGBlock

torch.manual_seed(0)
images, found = torch.randn(8, 3, 224, 224), []
block = RepVGGBlock(3, 48, stride=2)
for memory in (torch.contiguous_format, torch.channels_last):
    block.to(memory_format=memory)
    for _ in range(6):
        block.zero_grad()
        block(images.contiguous(memory_format=memory)).square().mean().backward()
        held = [torch.randn(1000) for _ in range(20)]
    found.append([x.grad.clone() for x in block.parameters()])
for one, other in zip(*found, strict=True):
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
"""


def test_repvgg_is_trained_with_the_channels_last() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRAIN], env=CHILD, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", NETWORKS)
def test_none_of_ours_has_such_a_layer(name: str) -> None:
    with torch.device("meta"):
        assert overwriting_layers(NETWORKS[name].build(5)) == []


@pytest.mark.parametrize(
    ("layer", "is_one"),
    [
        (nn.Conv2d(3, 8, 1, stride=2), True),
        (nn.Conv2d(15, 8, 1, stride=(1, 2)), True),
        (nn.Conv2d(32, 8, 1, stride=2, groups=4), True),
        (nn.Conv2d(16, 8, 1, stride=2), False),
        (nn.Conv2d(3, 8, 1), False),
        (nn.Conv2d(3, 8, 3, stride=2), False),
    ],
)
def test_few_channels_and_a_stride_make_such_a_layer(layer: nn.Module, is_one: bool) -> None:
    assert overwriting_layers(nn.Sequential(layer)) == (["0"] if is_one else [])


def test_a_network_with_such_a_layer_is_trained_with_the_channels_first(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--trainer.max_steps", 2]
    strided = ["--model.net", "tests.networks.Strided"]
    assert run("fit", *words, *strided) == 0
    assert f"{TOLD}, as with --model.channels_last false: " in capsys.readouterr().err
    assert run("fit", *words, *strided, "--model.channels_last", "false") == 0
    assert run("fit", *words) == 0
    assert TOLD not in capsys.readouterr().err


def test_the_study_has_a_row_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--work", "training", "--train_batch_size", "2", "--ways", "eager,channels_last"]
    words += ["--image_size", "32", "--num_classes", "5", "--runs", "1", "--turn_s", "0.01"]
    assert main(["bench", "networks", "tests.networks.Strided", "--no-memory", *words]) == 0
    assert "PyTorch cannot train layer 0 so (oneDNN issue 6035)" in capsys.readouterr().out
    assert overwriting_layers(Strided(5)) == ["0"]
