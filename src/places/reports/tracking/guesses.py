"""A few pictures of an evaluation, and what the network says of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from places.training.views import Views

NUM_PICTURES = 16
_NUM_GUESSES = 3
_CENTER = 4  # of ten crops, see `Views.of`


@dataclass(frozen=True)
class Guess:
    """One picture.

    Attributes:
        key: Its name in the split.
        pixels: `(H, W, 3)` uint8, as the network saw it.
        truth: Name of its category.
        guesses: (name, probability) of the best classes, best first.
    """

    key: str
    pixels: npt.NDArray[np.uint8]
    truth: str
    guesses: tuple[tuple[str, float], ...]

    @property
    def is_right(self) -> bool:
        """Whether the first guess is its category."""
        return self.guesses[0][0] == self.truth

    @property
    def caption(self) -> str:
        """What it is and what the network says, in one line."""
        said = ", ".join(f"{name} {probability:.0%}" for name, probability in self.guesses)
        return f"{'right' if self.is_right else 'wrong'}: is {self.truth}; guessed {said}"


def guesses_of(
    batch: object, outputs: object, names: Sequence[str], num: int, views: Views
) -> list[Guess]:
    """Return the first few pictures of a batch that have a label. Waits for the device.

    There are none where a data module of the user's gives other batches than ours.

    Args:
        batch: A batch of an evaluation.
        outputs: What `validation_step` or `test_step` returned: `logits`, or `label` and
            `probability`.
        names: Names of the categories by label.
        num: How many pictures at most.
        views: Which views of each picture were scored; the centre is shown.
    """
    if num <= 0 or not isinstance(outputs, Mapping) or not _is_ours(batch):
        return []
    rows = [row for row, weight in enumerate(batch["weight"][:num].tolist()) if weight > 0]
    labels, probabilities = _best(outputs, num)
    truths = batch["label"][:num].tolist()
    images = views.of(batch["image"][:num])[_CENTER if views.crops > 1 else 0]
    pixels = images.cpu().permute(0, 2, 3, 1).contiguous().numpy()
    return [
        Guess(
            key=str(batch["key"][row]),
            pixels=pixels[row],
            truth=names[truths[row]],
            guesses=tuple(
                (names[label], probability)
                for label, probability in zip(labels[row], probabilities[row], strict=True)
            ),
        )
        for row in rows
        if 0 <= truths[row] < len(names)
    ]


def _is_ours(batch: object) -> TypeGuard[Mapping[str, Any]]:
    if not isinstance(batch, Mapping) or not {"image", "label", "weight", "key"} <= batch.keys():
        return False
    image = batch["image"]
    return isinstance(image, Tensor) and image.dtype == torch.uint8 and image.ndim == 4


def _best(outputs: Mapping[str, Tensor], num: int) -> tuple[list[list[int]], list[list[float]]]:
    if "logits" in outputs:
        probabilities = outputs["logits"][:num].float().softmax(dim=1)
        best = probabilities.topk(min(_NUM_GUESSES, probabilities.shape[1]), dim=1)
        return best.indices.tolist(), best.values.tolist()
    labels, values = outputs["label"][:num], outputs["probability"][:num]
    return labels[:, :_NUM_GUESSES].tolist(), values[:, :_NUM_GUESSES].tolist()
