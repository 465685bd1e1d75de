import numpy as np
import pytest
import torch
from torch import Tensor

from places.errors import ConfigError
from places.training.augment import Augment, Draws, _erase, _erased_boxes

MEAN = torch.tensor([100.0, 110.0, 120.0])[:, None, None]


def _pictures(num: int, size: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(num)
    return torch.randint(0, 256, (num, 3, size, size), dtype=torch.uint8, generator=generator)


def test_nothing_is_done_by_default() -> None:
    images, label = _pictures(6), torch.arange(6)
    draws = Draws(0, 0, 0, 6)
    assert Augment().transform(images, MEAN, draws) is images
    mixed, labels = Augment().mix(images, label, torch.ones(6), draws)
    assert mixed is images
    assert labels.label is label
    assert labels.mixed is None
    assert vars(draws).keys() == {"seed", "batch", "rank", "num_rows"}  # nothing was drawn


@pytest.mark.parametrize(
    "augment", [Augment(mixup=0.4, cutmix=1.0), Augment(trivial=True, erase=0.5, mixup=1.0)]
)
def test_two_processes_draw_what_one_draws(augment: Augment) -> None:
    images, label, weight = _pictures(12), torch.arange(12), torch.ones(12)
    weight[5] = 0
    for batch in range(8):

        def run(rank: int, rows: slice, batch: int = batch) -> tuple[Tensor, Tensor, Tensor]:
            part = images[rows]
            draws = Draws(7, batch, rank, len(part))
            changed = augment.transform(part, MEAN, draws)
            mixed, labels = augment.mix(changed, label[rows], weight[rows], draws)
            assert labels.mixed is not None
            return mixed, *labels.mixed

        whole = run(0, slice(0, 12))
        halves = zip(run(0, slice(0, 6)), run(1, slice(6, 12)), strict=True)
        assert all(
            torch.equal(a, torch.cat(pair)) for a, pair in zip(whole, halves, strict=True)
        ), batch


def test_draws_depend_on_seed_batch_and_row_alone() -> None:
    torch.manual_seed(1)
    first = Draws(3, 4, 0, 8)
    torch.manual_seed(2)
    again, later, other = Draws(3, 4, 0, 8), Draws(3, 5, 0, 8), Draws(4, 4, 0, 8)
    assert torch.equal(first.rows, again.rows)
    assert first.shared.random() == again.shared.random()
    numbers = torch.cat([first.rows, later.rows, other.rows]).flatten().tolist()
    assert len(set(numbers)) == 3 * first.rows.numel()
    assert later.shared.random() != other.shared.random()


def test_mixing_happens_as_often_as_asked_for() -> None:
    images, label, weight = _pictures(2, size=8), torch.arange(2), torch.ones(2)
    augment = Augment(mixup=1.0, cutmix=1.0, mix_probability=0.5)
    results = [augment.mix(images, label, weight, Draws(0, batch, 0, 2)) for batch in range(1000)]
    num_faded = sum(mixed.dtype == torch.float32 for mixed, _ in results)
    num_cut = sum(mixed is not images for mixed, _ in results) - num_faded
    assert num_faded == pytest.approx(250, abs=50)
    assert num_cut == pytest.approx(250, abs=50)


@pytest.mark.parametrize(("alpha", "spread"), [(0.2, 1 / (4 * 1.4)), (1.0, 1 / 12), (8, 1 / 68)])
def test_shares_are_beta_distributed(alpha: float, spread: float) -> None:
    images, label, weight = _pictures(2, size=4), torch.arange(2), torch.ones(2)
    shares = []
    for batch in range(2000):
        _, labels = Augment(mixup=alpha).mix(images, label, weight, Draws(1, batch, 0, 2))
        assert labels.mixed is not None
        shares.append(float(labels.mixed[1][0]))
    assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
    assert np.var(shares) == pytest.approx(spread, rel=0.1)  # of Beta(a, a): 1 / (4 (2 a + 1))


def test_erased_rectangles_have_the_colour_and_the_rest_stays() -> None:
    images = _pictures(3)
    boxes = torch.tensor([[2, 5, 3, 20], [4, 4, 1, 9], [0, 20, 0, 20]])
    expected = images.float().numpy().copy()
    expected[0, :, 2:5, 3:20] = MEAN.numpy()
    expected[2] = MEAN.expand(3, 20, 20).numpy()
    assert np.array_equal(_erase(images, boxes, MEAN).numpy(), expected)


def test_erased_rectangles_are_as_large_as_in_the_paper() -> None:
    uniforms = torch.rand(4000, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    boxes = _erased_boxes(uniforms, (200, 300), probability=0.25)
    top, bottom, left, right = boxes.unbind(1)
    assert bool(((top >= 0) & (bottom <= 200) & (left >= 0) & (right <= 300)).all())
    erased = bottom > top
    assert float(erased.float().mean()) == pytest.approx(0.25, abs=0.02)
    area = ((bottom - top) * (right - left))[erased] / (200 * 300)
    aspect = ((bottom - top) / (right - left))[erased]
    assert 0.018 < float(area.min()) < 0.025
    assert 0.31 < float(area.max()) < 0.335
    assert 0.29 < float(aspect.min()) < 0.35
    assert 2.8 < float(aspect.max()) < 3.4
    assert float(aspect.log().mean()) == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"erase": 1.5}, "augment.erase is a probability, not 1.5"),
        ({"mix_probability": -1}, "augment.mix_probability is a probability, not -1"),
        ({"mixup": -0.2}, "augment.mixup is 0 or more, not -0.2"),
        ({"cutmix": float("nan")}, "augment.cutmix is 0 or more, not nan"),
    ],
)
def test_impossible_values_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Augment(**options)  # type: ignore[arg-type]  # none of them is the bool
