import copy
from typing import Any

import pytest
import torch
from timm.optim.lamb import Lamb as LambOfTimm
from torch import Tensor, nn

from places.errors import ConfigError
from places.training.lamb import Lamb
from places.training.schedules import parameter_groups


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 3))


def _train(net: nn.Module, optimizer: torch.optim.Optimizer, num_steps: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(num_steps):
        optimizer.zero_grad()
        # Large losses, so that the norm of the gradients is limited in some of the steps.
        inputs, scale = torch.randn(8, 6, generator=generator), torch.rand(1, generator=generator)
        torch.autograd.backward((net(inputs) * 4 * scale).square().mean())
        optimizer.step()
    return list(net.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_grad_norm": None},
        {"max_grad_norm": 0.1, "weight_decay": 0.3},
        {"weight_decay": 0.0, "betas": (0.7, 0.9), "eps": 1e-3},
    ],
    ids=["default", "not clipped", "clipped", "no decay"],
)
def test_steps_are_those_of_timm(options: dict[str, Any]) -> None:
    net = _net()
    other = copy.deepcopy(net)
    groups = parameter_groups(net, decay_norms_and_biases=False)
    other_groups = parameter_groups(other, decay_norms_and_biases=False)
    ours = _train(net, Lamb(groups, lr=0.02, **options), 12)
    theirs = _train(other, LambOfTimm(other_groups, lr=0.02, **options), 12)
    for one, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, reference, rtol=1e-5, atol=1e-6)


def test_a_state_that_was_saved_goes_on_with_the_same_steps() -> None:
    net = _net()
    optimizer = Lamb(net.parameters(), lr=0.02)
    _train(net, optimizer, 3)
    other = copy.deepcopy(net)
    resumed = Lamb(other.parameters(), lr=0.02)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, same in zip(_train(net, optimizer, 3), _train(other, resumed, 3), strict=True):
        assert torch.equal(one, same)


def test_weights_of_zero_and_those_without_gradients_are_stepped_as_they_can_be() -> None:
    zero, unused = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(2))
    optimizer = Lamb([zero, unused], lr=0.1)
    optimizer.step()  # nothing has a gradient
    torch.autograd.backward(zero.sum())
    loss = optimizer.step(lambda: 7.0)
    assert loss == 7
    assert torch.equal(unused.detach(), torch.ones(2))
    # As by Adam: there is no size to scale the step to.
    torch.testing.assert_close(zero.detach(), torch.full((3,), -0.1), rtol=1e-4, atol=0)


@pytest.mark.parametrize("options", [{"lr": -1.0}, {"betas": (0.9, 1.0)}, {"eps": -1e-8}])
def test_impossible_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Lamb takes lr, eps and weight_decay of 0 or more"):
        Lamb([nn.Parameter(torch.zeros(1))], **options)
