import copy

import numpy as np
import pytest
import torch
from tests.networks import Tiny
from torch import Tensor

from places.errors import CheckpointError, ConfigError
from places.training.weight_average import decay_at, match_average, start_average, update_average


def test_the_first_step_forgets_the_random_weights() -> None:
    net = Tiny(5)
    average = start_average(net, 0.999)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(1)
    update_average(average, net, decay_at(0, 0.999))
    for old, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        assert torch.equal(old, new)


def test_the_average_is_a_moving_average_of_weights_and_statistics() -> None:
    torch.manual_seed(0)
    net = Tiny(5)
    average = start_average(net, 0.6)
    expected: dict[str, np.ndarray] = {}
    for step in range(30):
        net(torch.randn(4, 3, 9, 9))  # moves the statistics of the batch norms
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(torch.randn_like(parameter))
        update_average(average, net, decay_at(step, 0.6))
        decay = min(0.6, step / (step + 9))
        for name, value in net.state_dict().items():
            new = value.numpy().astype(np.float64)
            expected[name] = decay * expected[name] + (1 - decay) * new if step else new
    for name, value in average.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert int(value) == 30
        else:
            assert value.numpy() == pytest.approx(expected[name], rel=1e-4, abs=1e-5), name
    assert not any(parameter.requires_grad for parameter in average.parameters())


def test_the_decay_rises_to_what_was_asked_for() -> None:
    decays = [decay_at(step, 0.9) for step in range(200)]
    assert decays[0] == 0
    assert decays == sorted(decays)
    assert decays[81:] == [0.9] * 119


def _state(net: torch.nn.Module, average: torch.nn.Module | None) -> dict[str, Tensor]:
    model = torch.nn.ModuleDict(
        {"net": net} if average is None else {"net": net, "average": average}
    )
    return dict(model.state_dict())


def test_an_average_starts_from_a_checkpoint_without_one() -> None:
    net = Tiny(5)
    state = _state(net, None)
    match_average(state, copy.deepcopy(net), needed=False)
    expected = _state(net, net)
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], expected[name]) for name in state)
    assert state["average.0.weight"].data_ptr() != state["net.0.weight"].data_ptr()


def test_an_average_that_is_not_wanted_is_left_out() -> None:
    net = Tiny(5)
    state = _state(net, Tiny(5))
    match_average(state, None, needed=False)
    assert state.keys() == _state(net, None).keys()


def test_nothing_stands_in_for_an_average_that_is_scored() -> None:
    net = Tiny(5)
    with pytest.raises(CheckpointError, match="has no average of the weights"):
        match_average(_state(net, None), net, needed=True)


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2.0, float("nan")])
def test_impossible_decays_are_refused(decay: float) -> None:
    with pytest.raises(ConfigError, match="average_decay is 0 or more and below 1"):
        start_average(Tiny(5), decay)
