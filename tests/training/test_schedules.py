import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, MultiStepLR

from places.training.schedules import _learning_rate_factor, parameter_groups


def _rates(scheduler: torch.optim.lr_scheduler.LRScheduler, num: int) -> list[float]:
    rates = []
    for _ in range(num):
        rates.append(float(scheduler.get_last_lr()[0]))
        scheduler.optimizer.step()
        scheduler.step()
    return rates


def _sgd() -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)


def test_cosine_equals_torch() -> None:
    ours = LambdaLR(
        _sgd(),
        lambda s: _learning_rate_factor(s, num_steps=20, num_warmup_steps=0, schedule="cosine"),
    )
    assert _rates(ours, 20) == pytest.approx(_rates(CosineAnnealingLR(_sgd(), T_max=20), 20))


def test_linear_equals_torch() -> None:
    ours = LambdaLR(
        _sgd(),
        lambda s: _learning_rate_factor(s, num_steps=20, num_warmup_steps=0, schedule="linear"),
    )
    theirs = LinearLR(_sgd(), start_factor=1, end_factor=0, total_iters=20)
    assert _rates(ours, 24) == pytest.approx(_rates(theirs, 24))


def test_linear_after_a_warm_up_is_the_triangle_of_ffcv() -> None:
    # ffcv-imagenet: numpy.interp over the epochs, from nearly 0 up to the peak and down to 0.
    factors = [
        _learning_rate_factor(step, num_steps=160, num_warmup_steps=20, schedule="linear")
        for step in range(160)
    ]
    triangle = np.interp(np.arange(160), [0, 20, 160], [1e-4, 1, 0])
    assert factors[20:] == pytest.approx(triangle[20:])
    assert factors[:20] == pytest.approx(triangle[:20], abs=1 / 20)  # the first step does something


def test_steps_equal_torch() -> None:
    ours = LambdaLR(
        _sgd(),
        lambda s: _learning_rate_factor(
            s, num_steps=30, num_warmup_steps=0, schedule="steps", milestones=[10, 20]
        ),
    )
    assert _rates(ours, 30) == pytest.approx(_rates(MultiStepLR(_sgd(), [10, 20]), 30))


def test_warmup_rises_evenly_to_one_and_the_cosine_ends_near_zero() -> None:
    factors = [
        _learning_rate_factor(step, num_steps=100, num_warmup_steps=4, schedule="cosine")
        for step in range(100)
    ]
    assert factors[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors[-1] == pytest.approx(0.5 * (1 + math.cos(math.pi * 95 / 96)))
    assert factors[4:] == sorted(factors[4:], reverse=True)


def test_weight_decay_leaves_out_norms_and_biases() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    with_decay, without = parameter_groups(net, decay_norms_and_biases=False)
    assert [p.shape for p in with_decay["params"]] == [net[0].weight.shape, net[2].weight.shape]
    assert len(without["params"]) == 4
    assert without["weight_decay"] == 0
    (everything,) = parameter_groups(net, decay_norms_and_biases=True)
    assert len(everything["params"]) == 6
    assert "weight_decay" not in everything


def test_frozen_parameters_are_left_to_themselves() -> None:
    net = nn.Linear(2, 2)
    net.weight.requires_grad_(False)
    with_decay, without = parameter_groups(net, decay_norms_and_biases=False)
    assert (len(with_decay["params"]), len(without["params"])) == (0, 1)
