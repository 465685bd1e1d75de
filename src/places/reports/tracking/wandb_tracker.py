"""Weights & Biases: config, summary, tables, figures, pictures with captions."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import WandbLogger
from matplotlib.figure import Figure
from PIL import Image

from places.reports.tracking.guesses import Guess
from places.reports.tracking.tracker import Tracker, drawn


class WandbTracker(Tracker):
    """Tells Weights & Biases.

    Args:
        logger: The logger.
    """

    logger: WandbLogger

    def __init__(self, logger: WandbLogger) -> None:
        super().__init__(logger)

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Write the config, nested as it is."""
        self.logger.log_hyperparams(dict(facts))

    def summary(self, values: Mapping[str, float], step: int) -> None:
        """Write into the summary, where the last value of a metric would stand otherwise."""
        self.logger.experiment.summary.update(dict(values))

    def table(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int
    ) -> None:
        """Log a table, which can be sorted and filtered."""
        self.logger.log_table(name, columns=list(columns), data=[list(r) for r in rows], step=step)

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """Log a picture."""
        self.logger.log_image(name, [Image.fromarray(drawn(figure))], step=step)

    def pictures(self, name: str, guesses: Sequence[Guess], step: int) -> None:
        """Log pictures, JPEG, as their files are: one of a validation is 10 KB then."""
        images = [Image.fromarray(guess.pixels) for guess in guesses]
        captions = [guess.caption for guess in guesses]
        kinds = ["jpg"] * len(images)
        self.logger.log_image(name, images, step=step, caption=captions, file_type=kinds)

    def finish(self, status: str) -> None:
        """End the run, so that it is uploaded as a whole, and another one may follow."""
        self.logger.experiment.finish(exit_code=0 if status == "success" else 1)
