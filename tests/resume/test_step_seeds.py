import random

import numpy as np
import pytest
import torch

from places.resume.step_seeds import _seed_generators


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1, 0xEE27F6DEF8F564BF >> 1])
def test_all_generators_draw_as_after_seeding_them_one_by_one(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    expected = torch.rand(3).tolist(), np.random.rand(), random.random()
    _seed_generators(seed)
    assert (torch.rand(3).tolist(), np.random.rand(), random.random()) == expected


def test_devices_that_are_initialised_are_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    monkeypatch.setattr(torch.mps, "manual_seed", seeds.append)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    _seed_generators(5)
    assert seeds == []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    _seed_generators(6)
    assert seeds == [6, 6]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_as_after_torchs_own_seeding() -> None:
    torch.ones(1, device="cuda")  # initialises it
    torch.manual_seed(7)
    expected = torch.rand(3, device="cuda")
    _seed_generators(7)
    assert torch.equal(torch.rand(3, device="cuda"), expected)
