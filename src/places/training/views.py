"""Several views of a picture, of which a test averages what the network says of each."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from places.data.streaming.decode import NUM_SQUARES


@dataclass(frozen=True)
class Views:
    """Which views of each picture are scored.

    Attributes:
        crops: 1, the centre; or 10: the four corners, the centre, and the mirror images of these,
            as torchvision's `TenCrop` has them.
        flip: Whether the mirror image of the centre is a view as well.
    """

    crops: int = 1
    flip: bool = False

    @property
    def num_squares(self) -> int:
        """How many squares are cut out of each picture."""
        return NUM_SQUARES if self.crops > 1 else 1

    def of(self, images: Tensor) -> list[Tensor]:
        """Return all views `(N, 3, size, size)` of pictures.

        Args:
            images: `(N, 3, num_squares * size, size)`, the squares of a picture one under the
                other, see `places.data.streaming.decode.crop_places`.
        """
        squares = list(images.chunk(self.num_squares, dim=2))
        if self.crops > 1:
            *corners, center, center_of_mirrored = squares
            return [*corners, center, *(s.flip(3) for s in (*corners, center_of_mirrored))]
        return [*squares, squares[0].flip(3)] if self.flip else squares


def mean_scores(net: Callable[[Tensor], Tensor], images: Tensor, views: Views) -> Tensor:
    """Return the logits of pictures, or what stands for them where there are several views.

    That is the logarithm of the mean of the probabilities that the network gives to each class,
    after Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks",
    section 4.1. A softmax of it gives these means again. As logarithms even the smallest of them
    have an order, and a loss.

    One view after the other goes through the network, so it needs no more memory than for one.

    Args:
        net: Returns the logits `(N, C)` of pictures `(N, 3, size, size)`.
        images: The squares of pictures, see `Views.of`.
        views: The views.

    Returns:
        `(N, C)`. NaN for all classes if a logit of any view is NaN or infinite.
    """
    seen = views.of(images)
    if len(seen) == 1:
        return net(seen[0])
    logits = torch.stack([net(view).float() for view in seen])
    scores = logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(seen))
    is_finite = logits.isfinite().all(dim=2).all(dim=0)
    return scores.masked_fill(~is_finite[:, None], torch.nan)
