from random import Random

import numpy as np
import pytest
import torch
from timm.loss.binary_cross_entropy import BinaryCrossEntropy
from torch.nn import functional as F

from places.training.mixing import (
    Labels,
    cutmix,
    mixed_hits,
    mixed_loss,
    mixup,
    partners,
    random_box,
)

IMAGES = torch.randint(
    0, 256, (5, 3, 8, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)
OTHER = torch.tensor([1, 0, 3, 2, 4])
MIXABLE = torch.tensor([True, True, False, False, True])


def test_partners_are_pairs() -> None:
    assert partners(6, torch.device("cpu")).tolist() == [1, 0, 3, 2, 5, 4]
    assert partners(5, torch.device("cpu")).tolist() == OTHER.tolist()


def test_mixup_fades_pictures_into_each_other() -> None:
    mixed = mixup(IMAGES, OTHER, MIXABLE, 0.7).numpy()
    pixels = IMAGES.numpy().astype(np.float64)
    assert mixed[0] == pytest.approx(0.7 * pixels[0] + 0.3 * pixels[1], abs=1e-4)
    assert mixed[1] == pytest.approx(0.7 * pixels[1] + 0.3 * pixels[0], abs=1e-4)
    assert np.array_equal(mixed[2:4], pixels[2:4])
    assert mixed[4] == pytest.approx(pixels[4], abs=1e-4)


def test_cutmix_replaces_a_rectangle() -> None:
    before = IMAGES.clone()
    mixed = cutmix(IMAGES, OTHER, MIXABLE, (2, 6, 0, 7)).numpy()
    expected = IMAGES.numpy().copy()
    expected[0, :, 2:6, 0:7] = IMAGES[1, :, 2:6, 0:7].numpy()
    expected[1, :, 2:6, 0:7] = IMAGES[0, :, 2:6, 0:7].numpy()
    assert np.array_equal(mixed, expected)
    assert torch.equal(IMAGES, before)


def test_the_share_is_what_lies_outside_the_rectangle() -> None:
    random = Random(0)
    for _ in range(300):
        wanted = random.random()
        (top, bottom, left, right), share = random_box((30, 40), wanted, random)
        assert 0 <= top <= bottom <= 30
        assert 0 <= left <= right <= 40
        inside = np.zeros((30, 40))
        inside[top:bottom, left:right] = 1
        assert share == pytest.approx(1 - inside.mean())
        assert share > wanted - 0.001
    assert random_box((30, 40), 1.0, random)[1] == 1


def test_the_loss_is_that_of_soft_labels_over_pictures_that_count() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(1))
    label, share = torch.tensor([0, 3, 6, 2, 2]), torch.tensor([0.3, 0.3, 1.0, 1.0, 0.8])
    weight = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0])
    soft = share[:, None] * F.one_hot(label, 7) + (1 - share)[:, None] * F.one_hot(label[OTHER], 7)
    rows = weight > 0
    for smoothing in (0.0, 0.1):
        loss = mixed_loss(logits, Labels(label, (label[OTHER], share)), weight, smoothing)
        expected = F.cross_entropy(logits[rows], soft[rows], label_smoothing=smoothing)
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_the_binary_loss_is_that_of_timm_over_pictures_that_count() -> None:
    logits = torch.randn(6, 7, generator=torch.Generator().manual_seed(1))
    label, other = torch.tensor([0, 3, 6, 2, 2, 5]), torch.tensor([3, 0, 6, 1, 2, 4])
    share = torch.tensor([0.3, 0.1, 0.5, 0.9, 1.0, 0.7])  # in two of them one has hardly a part
    soft = share[:, None] * F.one_hot(label, 7) + (1 - share)[:, None] * F.one_hot(other, 7)
    weight = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0, 1.0])
    rows = weight > 0
    loss = mixed_loss(logits, Labels(label, (other, share)), weight, 0.0, "binary")
    theirs = BinaryCrossEntropy(target_threshold=0.2)
    assert float(loss) == pytest.approx(float(theirs(logits[rows], soft[rows])), rel=1e-6)
    for smoothing in (0.0, 0.1):
        loss = mixed_loss(logits, Labels(label), weight, smoothing, "binary")
        expected = BinaryCrossEntropy(smoothing=smoothing)(logits[rows], label[rows])
        assert float(loss) == pytest.approx(float(expected), rel=1e-6)


def test_labels_that_are_not_mixed_are_those_mixed_with_nothing() -> None:
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(2)).requires_grad_()
    label, weight = torch.tensor([0, 3, 6, 2, 2]), torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0])
    results = []
    for labels in (Labels(label), Labels(label, (label[OTHER], torch.ones(5)))):
        loss = mixed_loss(logits, labels, weight, 0.1)
        (gradient,) = torch.autograd.grad(loss, logits)
        results.append((loss, gradient, mixed_hits(logits, labels, weight)))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_a_batch_without_pictures_that_count_has_no_loss_and_no_gradient() -> None:
    logits = torch.randn(4, 7, requires_grad=True)
    loss = mixed_loss(logits, Labels(torch.zeros(4).long()), torch.zeros(4), 0.1)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert float(loss.detach()) == 0
    assert not gradient.any()


def test_a_mixed_picture_is_part_of_a_hit() -> None:
    logits = torch.eye(4)
    label, other = torch.tensor([0, 2, 2, 0]), torch.tensor([3, 1, 2, 0])
    labels = Labels(label, (other, torch.tensor([0.6, 0.6, 0.5, 1.0])))
    assert float(mixed_hits(logits, labels, torch.ones(4))) == pytest.approx(0.6 + 0.4 + 1)
    assert float(mixed_hits(logits, labels, torch.tensor([0.0, 1, 1, 1]))) == pytest.approx(1.4)
