"""TensorBoard: hparams with the best scores, tables as text, figures and pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib.figure import Figure

from places.reports.tracking.guesses import Guess
from places.reports.tracking.guesses_figure import guesses_figure
from places.reports.tracking.tracker import Tracker, drawn, flat


class TensorBoardTracker(Tracker):
    """Tells TensorBoard.

    Args:
        logger: The logger.
    """

    logger: TensorBoardLogger

    def __init__(self, logger: TensorBoardLogger) -> None:
        super().__init__(logger)
        self._settings: dict[str, Any] = {}

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Write the config as text; hparams need scores, and wait for the first."""
        self._settings = flat(facts)
        text = yaml.safe_dump(dict(facts), sort_keys=False, allow_unicode=True)
        # Markdown shows lines that begin with four spaces as they are.
        self.logger.experiment.add_text("config", "    " + text.replace("\n", "\n    "), 0)

    def summary(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers; the first time as the scores of hparams."""
        if self._settings:
            self.logger.log_hyperparams(self._settings, dict(values), step)
            self._settings = {}
        else:
            self.logger.log_metrics(dict(values), step)

    def table(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int
    ) -> None:
        """Write a table in Markdown."""
        lines = [_line(columns), _line(["---"] * len(columns)), *map(_line, rows)]
        self.logger.experiment.add_text(name, "\n".join(lines), step)

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """Write a picture."""
        self.logger.experiment.add_image(name, drawn(figure), step, dataformats="HWC")

    def pictures(self, name: str, guesses: Sequence[Guess], step: int) -> None:
        """Write one picture of all: TensorBoard shows no captions."""
        self.figure(name, guesses_figure(guesses), step)


def _line(cells: Sequence[Any]) -> str:
    texts = (f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in cells)
    return f"| {' | '.join(text.replace('|', '/') for text in texts)} |"
