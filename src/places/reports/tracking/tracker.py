"""What can be told to a logger, whatever it is; each kind of logger has a class of its own."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from lightning.pytorch.loggers import Logger
from matplotlib.figure import Figure
from PIL import Image

from places.config.recipes import as_typed, flatten
from places.reports.tracking.guesses import Guess


class Tracker:
    """Tells any logger what all loggers take: settings and numbers.

    Args:
        logger: The logger, its experiment made.
    """

    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Tell what the run is, see `facts_of`."""
        self.logger.log_hyperparams(flat(facts))

    def numbers(self, values: Mapping[str, float], step: int) -> None:
        """Tell numbers of a step."""
        self.logger.log_metrics(dict(values), step)

    def summary(self, values: Mapping[str, float], step: int) -> None:
        """Tell numbers that stand for the run as a whole, such as its best scores and its cost."""
        self.logger.log_metrics(dict(values), step)

    def table(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int
    ) -> None:
        """Show a table."""

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """Show a figure."""

    def pictures(self, name: str, guesses: Sequence[Guess], step: int) -> None:
        """Show pictures, and what the network says of them."""

    def finish(self, status: str) -> None:
        """End the run, after all else: with "success" or "failed"."""


def flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested facts by dotted keys, as one types those of the config."""
    return {as_typed(key): value for key, value in flatten(facts).items()}


def drawn(figure: Figure) -> npt.NDArray[np.uint8]:
    """Return the `(H, W, 3)` uint8 pixels of a figure."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB"))
