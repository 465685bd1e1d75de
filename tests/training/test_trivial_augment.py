import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import TrivialAugmentWide
from torchvision.transforms.v2 import functional as reference

from places.training.trivial_augment import NUM_MAGNITUDES, OPERATIONS, trivial_augment

TABLE = TrivialAugmentWide._AUGMENTATION_SPACE
NAMES = list(TABLE)
SIZE = (40, 50)


def _pictures(num: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(num, 3, 5, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(small, SIZE, mode="bicubic").clamp(0, 1)
    noise = torch.randn(num, 3, *SIZE, generator=generator)
    return (200 * smooth + 20 + 8 * noise).clamp(0, 255).to(torch.uint8)


def _affine(x: float = 0, y: float = 0, shear: tuple[float, float] = (0, 0)) -> dict[str, object]:
    degrees = [math.degrees(math.atan(part)) for part in shear]
    # torchvision's 15.999999 pixels are meant to be 16.
    return {
        "angle": 0.0,
        "translate": [int(round(x, 3)), int(round(y, 3))],
        "scale": 1.0,
        "shear": degrees,
    }


# What torchvision does with one picture and one magnitude.
EXPECTED: dict[str, Callable[[Tensor, float], Tensor]] = {
    "Identity": lambda image, _: image,
    "ShearX": lambda image, s: reference.affine(image, **_affine(shear=(s, 0)), center=[0, 0]),
    "ShearY": lambda image, s: reference.affine(image, **_affine(shear=(0, s)), center=[0, 0]),
    "TranslateX": lambda image, s: reference.affine(image, **_affine(x=s)),
    "TranslateY": lambda image, s: reference.affine(image, **_affine(y=s)),
    "Rotate": lambda image, s: reference.rotate(image, s),
    "Brightness": lambda image, s: reference.adjust_brightness(image, 1 + s),
    "Color": lambda image, s: reference.adjust_saturation(image, 1 + s),
    "Contrast": lambda image, s: reference.adjust_contrast(image, 1 + s),
    "Sharpness": lambda image, s: reference.adjust_sharpness(image, 1 + s),
    "Posterize": lambda image, s: reference.posterize(image, int(s)),
    "Solarize": lambda image, s: reference.solarize(image, 255 * s),
    "AutoContrast": lambda image, _: reference.autocontrast(image),
    "Equalize": lambda image, _: reference.equalize(image),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_and_magnitude_is_that_of_torchvision(name: str) -> None:
    magnitudes, signed = TABLE[name][0](NUM_MAGNITUDES, *SIZE), TABLE[name][1]
    images = _pictures(2 * NUM_MAGNITUDES)
    uniforms = torch.empty(len(images), 3, dtype=torch.float64)
    uniforms[:, 0] = (NAMES.index(name) + 0.5) / len(NAMES)
    bins = torch.arange(NUM_MAGNITUDES).repeat(2)
    uniforms[:, 1] = (bins + 0.5) / NUM_MAGNITUDES
    uniforms[:, 2] = (torch.arange(len(images)) >= NUM_MAGNITUDES).double() * 0.9
    changed = trivial_augment(images, uniforms)
    assert changed.dtype == torch.uint8
    assert changed.shape == images.shape
    for row, image in enumerate(images):
        magnitude = 0.0 if magnitudes is None else float(magnitudes[bins[row]])
        expected = EXPECTED[name](
            image, -magnitude if signed and row < NUM_MAGNITUDES else magnitude
        )
        # A pixel on the border of two may come from the other one; sums may be rounded apart.
        far = (changed[row].int() - expected.int()).abs() > 1
        assert far.float().mean() < 0.01, row


def test_a_mixed_batch_keeps_its_order() -> None:
    images = _pictures(64, seed=1)
    uniforms = torch.rand(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    together = trivial_augment(images, uniforms)
    alone = [trivial_augment(images[row : row + 1], uniforms[row : row + 1]) for row in range(64)]
    assert torch.equal(together, torch.cat(alone))
    assert len(set((uniforms[:, 0] * len(OPERATIONS)).long().tolist())) > 10


def test_flat_pictures_have_no_contrast_to_stretch() -> None:
    images = torch.full((14, 3, *SIZE), 77, dtype=torch.uint8)
    uniforms = torch.full((14, 3), 0.99, dtype=torch.float64)
    uniforms[:, 0] = (torch.arange(14) + 0.5) / 14
    changed = trivial_augment(images, uniforms)
    assert torch.equal(changed[12:], images[12:])


def test_memory_format_does_not_change_the_result() -> None:
    images = _pictures(28, seed=3)
    uniforms = torch.rand(28, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    last = trivial_augment(images.contiguous(memory_format=torch.channels_last), uniforms)
    assert torch.equal(last, trivial_augment(images, uniforms))
