"""Stochastic depth: which blocks are skipped, and that nothing but seeds decides it."""

import shutil
from typing import Any

import numpy as np
import pytest
import torch
from tests.networks import Thin
from torch import Tensor, nn
from torch.nn import functional as F

from places.models import ResNet
from places.models.drop_path import branch_factors, drop_probabilities


def _images(num: int = 6) -> Tensor:
    return torch.randn(num, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def _net(**arguments: Any) -> ResNet:  # noqa: ANN401  # of ResNet
    torch.manual_seed(0)
    return ResNet(5, depth=18, drop_path=0.6, **arguments)


def test_later_blocks_are_skipped_more_often_as_in_timm() -> None:
    theirs = pytest.importorskip("timm").create_model("resnet18", drop_path_rate=0.6)
    rates = [
        getattr(block.drop_path, "drop_prob", 0.0)
        for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4)
        for block in stage
    ]
    assert drop_probabilities(8, 0.6) == pytest.approx(rates)


def test_so_many_are_skipped_and_the_mean_is_kept() -> None:
    torch.manual_seed(0)
    probabilities = [0.0, 0.1, 0.5, 0.9]
    factors = branch_factors(torch.empty(20_000, 1), probabilities)
    assert factors.shape == (4, 20_000, 1, 1, 1)
    assert factors.dtype == torch.float32
    rows = factors.flatten(1).numpy()
    for row, probability in zip(rows, probabilities, strict=True):
        assert (row == 0).mean() == pytest.approx(probability, abs=0.015)
        assert set(np.unique(row)) <= {0, np.float32(1 / (1 - probability))}
        assert row.mean() == pytest.approx(1, abs=0.15)
    assert abs(np.corrcoef(rows[1:] == 0) - np.eye(3)).max() < 0.03  # nor do they go together


def test_they_follow_from_the_generator_alone() -> None:
    def draw(seed: int, num: int = 50) -> Tensor:
        torch.manual_seed(seed)
        factors: Tensor = branch_factors(torch.empty(num, 3), [0.5] * 8)
        return factors

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))
    # Each picture has its own: those of more pictures begin with those of fewer.
    assert torch.equal(draw(3, 20), draw(3)[:, :20])


def test_a_skipped_block_leaves_the_features_as_they_are() -> None:
    net, images = _net(), _images()
    net.train()
    for layer in net.modules():  # so that pictures do not depend on each other
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    torch.manual_seed(9)
    factors = branch_factors(images, drop_probabilities(8, 0.6))
    assert (factors == 0).any()
    torch.manual_seed(9)
    with torch.no_grad():
        got = net(images)
        for number, image in enumerate(images):
            maps = F.max_pool2d(F.relu(net.bn1(net.conv1(image[None]))), 3, 2, 1)
            blocks = [*net.layer1, *net.layer2, *net.layer3, *net.layer4]
            for block, factor in zip(blocks, factors[:, number].flatten().tolist(), strict=True):
                shortcut = maps if block.downsample is None else block.downsample(maps)
                if factor == 0:
                    maps = F.relu(shortcut)
                    continue
                branch = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(maps)))))
                maps = F.relu(shortcut + factor * branch)
            torch.testing.assert_close(got[number], net.fc(maps.mean(dim=(2, 3)))[0])


def test_evaluation_skips_nothing() -> None:
    net = _net().eval()
    plain = ResNet(5, depth=18).eval()
    plain.load_state_dict(net.state_dict())
    before = torch.get_rng_state()
    with torch.no_grad():
        assert torch.equal(net(_images()), plain(_images()))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("depth", [18, 50])
def test_recomputation_skips_the_same(depth: int) -> None:
    results = []
    for recompute in (False, True):
        torch.manual_seed(0)
        net = ResNet(5, depth, False, recompute, drop_path=0.6, squeeze_excite=True)  # type: ignore[arg-type]  # one of them
        for step in range(2):
            torch.manual_seed(step)
            # Twice before the gradients: each has its own draws.
            loss = net(_images()).square().mean() + net(_images().flip(0)).square().mean()
            torch.autograd.backward(loss)
        gradients = {f"{name}.grad": x.grad for name, x in net.named_parameters()}
        results.append({**gradients, **dict(net.named_buffers())})
    plain, recomputing = results
    for name, value in plain.items():
        assert value is not None
        other = recomputing[name]
        assert other is not None
        assert torch.equal(value, other), name


def test_16_bits_stay_16_bits() -> None:
    net = _net()
    seen: list[torch.dtype] = []
    for block in net.layer4:
        block.register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        net(_images())
    assert seen == [torch.bfloat16, torch.bfloat16]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_skips_the_same() -> None:
    torch.manual_seed(0)
    net, found = Thin(5).train(), []
    for call in (net, torch.compile(net, dynamic=False)):
        torch.manual_seed(4)
        with torch.no_grad():
            found.append(call(_images()))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-3)
