"""Views of pictures are torchvision's, and their mean is that of probabilities."""

import numpy as np
import pytest
import torch
from tests.data.drawn import drawn_picture
from torch import Tensor
from torchvision.transforms import v2

from places.data.streaming.decode import NUM_SQUARES, ResizeMode, eval_crop
from places.training.views import Views, mean_scores


@pytest.mark.parametrize("mode", ["short_side", "squash"])
@pytest.mark.parametrize("side", [32, 31, 36])
@pytest.mark.parametrize("size", [(36, 36), (57, 36), (36, 58), (90, 41), (33, 200), (700, 512)])
def test_ten_crops_are_torchvisions(size: tuple[int, int], side: int, mode: ResizeMode) -> None:
    image = drawn_picture(*size)
    out = np.empty((NUM_SQUARES * side, side, 3), np.uint8)
    eval_crop(np.asarray(image), out, 36, mode)
    views = Views(10).of(torch.from_numpy(out).permute(2, 0, 1)[None])
    assert len(views) == 10
    resized = v2.Resize(36 if mode == "short_side" else (36, 36))(image)
    expected = [np.asarray(crop).tobytes() for crop in v2.TenCrop(side)(resized)]
    assert sorted(expected) == sorted(v[0].permute(1, 2, 0).numpy().tobytes() for v in views)


@pytest.mark.parametrize(("width", "height"), [(1, 9000), (9000, 1)])
def test_ten_crops_of_a_thin_line_hold_its_ends(width: int, height: int) -> None:
    line = np.full((height, width, 3), 100, np.uint8)
    line.reshape(-1, 3)[0], line.reshape(-1, 3)[-1] = 0, 255
    out = np.empty((NUM_SQUARES * 32, 32, 3), np.uint8)
    eval_crop(line, out, 36, "short_side")
    squares = out.reshape(NUM_SQUARES, 32, 32, 3)
    first, last = (0, 3)
    assert squares[first].min() == 0
    assert squares[last].max() == 255
    assert (squares[4:] == 100).all()


def _net(*logits: Tensor) -> "_Net":
    return _Net(list(logits))


class _Net:
    def __init__(self, logits: list[Tensor]) -> None:
        self.logits = logits

    def __call__(self, images: Tensor) -> Tensor:
        return self.logits.pop(0)


IMAGES = torch.zeros(2, 3, 8, 8)


def test_the_mean_is_that_of_probabilities() -> None:
    one, two = torch.randn(2, 2, 7, generator=torch.manual_seed(0))
    scores = mean_scores(_net(one, two), IMAGES, Views(flip=True))
    expected = (one.double().softmax(1) + two.double().softmax(1)) / 2
    torch.testing.assert_close(scores.double().softmax(1), expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(scores.double().exp(), expected, rtol=1e-6, atol=0)
    assert torch.equal(mean_scores(_net(one), IMAGES, Views()), one)


def test_what_no_float_can_hold_keeps_its_order() -> None:
    logits = torch.tensor([[0.0, -300, -200, -400]]).expand(2, 4)
    scores = mean_scores(_net(logits, logits), IMAGES, Views(flip=True))
    assert scores.argsort(dim=1, descending=True).tolist() == [[0, 2, 1, 3]] * 2
    assert scores[0, 3] == -400


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_picture_has_no_scores_if_one_of_its_views_has_none(bad: float) -> None:
    one = torch.zeros(2, 3)
    two = torch.tensor([[0.0, bad, 0], [1, 2, 3]])
    scores = mean_scores(_net(one, two), IMAGES, Views(flip=True))
    assert scores[0].isnan().all()
    assert scores[1].isfinite().all()
