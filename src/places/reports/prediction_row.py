"""What `places predict` finds out about a picture, and what an output of it has to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class PredictionRow:
    """One picture with its answer, or with the reason why there is none.

    Attributes:
        path: Where the picture comes from; bytes that are no UTF-8 as `os.fsdecode` has them.
        labels: The best categories, best first; empty if there is an error.
        probabilities: Theirs, in 0..1.
        indoor: Sum of the probabilities of all indoor categories, in 0..1; `None` if there is an
            error.
        width: Width of the upright picture in pixels; `None` if it could not be read.
        height: Its height.
        error: Why there is no answer, or an empty string.
        thumbnail: A small JPEG of what the network saw; empty if nobody asked for it.
        activation: Where the best category was seen: `(h, w)` uint8, 255 where most, row after row
            from the top left; `None` if nobody asked or the network cannot tell.
        label: The label that the picture has; `None` if it has none.
        features: Pooled features, `(D,)` float32; `None` if nobody asked or there is an error.
    """

    path: str
    labels: tuple[int, ...] = ()
    probabilities: tuple[float, ...] = ()
    indoor: float | None = None
    width: int | None = None
    height: int | None = None
    error: str = ""
    label: int | None = None
    thumbnail: bytes = b""
    activation: npt.NDArray[np.uint8] | None = None
    features: npt.NDArray[np.float32] | None = None


class PredictionOutput(Protocol):
    """Something that rows are written to while they are found, on the first process."""

    def start(self, num_rows: int) -> None:
        """Begin, or go on after so many rows of an earlier run that was interrupted."""

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Write the next rows, whole or not at all; those before are kept whatever happens."""

    def finish(self) -> None:
        """All rows are written: bring the output into its final form."""
