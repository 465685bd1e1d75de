"""RandAugment against timm's, which works on one Pillow picture at a time."""

from collections.abc import Callable
from statistics import NormalDist

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from places.cli.main import main
from places.errors import ConfigError
from places.training.augment import Augment, Draws
from places.training.rand_augment import NUM_LAYERS, NUM_UNIFORMS, rand_augment

timm = pytest.importorskip("timm.data.auto_augment")
NAMES: list[str] = timm._RAND_INCREASING_TRANSFORMS
COLOUR = (124, 116, 104)
MEAN = torch.tensor(COLOUR, dtype=torch.float32)[:, None, None] + 0.3
LEVELS = (0.0, 3.0, 6.6, 10.0)
# These begin with Pillow's mean brightness in whole numbers, or round sums otherwise.
NEAR = 2


def _pictures(num: int) -> Tensor:
    generator = torch.Generator().manual_seed(num)
    small = torch.rand(num, 3, 5, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(small, (40, 52), mode="bicubic").clamp(0, 1)
    noise = torch.randn(num, 3, 40, 52, generator=generator)
    return (200 * smooth + 20 + 8 * noise).clamp(0, 255).to(torch.uint8)


def _uniforms(num: int) -> Tensor:
    """Return numbers with which nothing is done."""
    given = torch.full((num, NUM_LAYERS, NUM_UNIFORMS), 0.5, dtype=torch.float64)
    given[:, :, 1] = 0.9
    return given


def _expected(image: Tensor, name: str, level: float, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Return what timm makes of a picture where it does not negate."""
    monkeypatch.setattr(timm, "_randomly_negate", lambda value: value)
    level_of: Callable[..., tuple[float, ...]] | None = timm.LEVEL_TO_ARG[name]
    arguments = level_of(level, {}) if level_of else ()
    if arguments == (0,) and name.startswith("Posterize"):
        return torch.zeros_like(image)  # no bit is kept; Pillow refuses that by now
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    changed = timm.NAME_TO_OP[name](
        picture, *arguments, fillcolor=COLOUR, resample=Image.Resampling.NEAREST
    )
    return torch.from_numpy(np.array(changed)).permute(2, 0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_and_magnitude_is_that_of_timm(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    images = _pictures(4)
    for level in LEVELS:
        uniforms = _uniforms(len(images))
        which = (NAMES.index(name) + 0.5) / len(NAMES)
        uniforms[:, 0] = torch.tensor([which, 0.1, 0.5, 0.9], dtype=torch.float64)
        changed = rand_augment(images, uniforms.flatten(1), level, MEAN)
        assert changed.dtype == torch.uint8
        for row, image in enumerate(images):
            expected = _expected(image, name, level, monkeypatch)
            # A pixel on the border of two may come from the other one.
            far = (changed[row].int() - expected.int()).abs() > NEAR
            assert far.float().mean() < 0.02, (level, row)


def test_signs_magnitudes_and_chances_come_from_the_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = _pictures(1)
    invert, shift = ((NAMES.index(name) + 0.5) / 15 for name in ("Invert", "TranslateXRel"))
    numbers = _uniforms(1)
    assert torch.equal(rand_augment(image, numbers.flatten(1), 7.0, MEAN), image)
    numbers[0, 1, :2] = torch.tensor([invert, 0.49])  # the second of the two operations
    assert torch.equal(rand_augment(image, numbers.flatten(1), 7.0, MEAN), 255 - image)
    numbers[0, 0, :2] = torch.tensor([invert, 0.0])  # and the first: back again
    assert torch.equal(rand_augment(image, numbers.flatten(1), 7.0, MEAN), image)
    # Two deviations above the mean: 7 + 2 * 0.5; shifted to the other side.
    numbers = _uniforms(1)
    numbers[0, 0] = torch.tensor([shift, 0.0, NormalDist().cdf(2.0), 0.2])
    changed = rand_augment(image, numbers.flatten(1), 7.0, MEAN)
    whole = round(0.45 * 0.8 * 52)
    assert torch.equal(changed[..., whole:], image[..., :-whole])
    assert (changed[..., :whole] == torch.tensor(COLOUR, dtype=torch.uint8)[:, None, None]).all()
    for extreme in (0.0, 1 - 1e-16):  # nothing is infinite
        numbers[0, 0, 2] = extreme
        assert rand_augment(image, numbers.flatten(1), 7.0, MEAN).shape == image.shape


def test_a_batch_on_two_processes_is_that_of_one() -> None:
    images, augment = _pictures(32), Augment(rand=7.0)
    together = augment.transform(images, MEAN, Draws(3, 5, 0, 32))
    parts = [
        augment.transform(images[16 * rank :][:16], MEAN, Draws(3, 5, rank, 16)) for rank in (0, 1)
    ]
    assert torch.equal(together, torch.cat(parts))
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(augment.transform(last, MEAN, Draws(3, 5, 0, 32)), together)
    same = (together == images).flatten(1).all(dim=1).float().mean()
    assert 0.05 < same < 0.6  # a quarter, and those that change nothing
    other = augment.transform(images, MEAN, Draws(3, 6, 0, 32))
    assert not torch.equal(other, together)


def test_what_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for rand in (-1.0, 10.5, float("nan")):
        with pytest.raises(ConfigError, match=r"augment\.rand is 0 to 10"):
            Augment(rand=rand)
    words = ["--model.augment.rand", "7", "--model.augment.trivial", "true"]
    assert main(["fit", "--config", "demo.yaml", *words]) == 2
    assert "--model.augment.trivial false" in capsys.readouterr().err
