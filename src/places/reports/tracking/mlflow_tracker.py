"""MLflow: parameters and tags, metrics, and files as artifacts."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from lightning.pytorch.loggers import MLFlowLogger
from matplotlib.figure import Figure

from places.reports.tracking.facts import KEY
from places.reports.tracking.guesses import Guess
from places.reports.tracking.guesses_figure import guesses_figure
from places.reports.tracking.tracker import Tracker, drawn, flat

_MAX_CHARACTERS = 250  # of a parameter, as Lightning cuts them


class MlflowTracker(Tracker):
    """Tells MLflow.

    Args:
        logger: The logger.
    """

    logger: MLFlowLogger

    def __init__(self, logger: MLFlowLogger) -> None:
        super().__init__(logger)

    def begin(self, facts: Mapping[str, Any]) -> None:
        """Write parameters, tags and the config as a file.

        A parameter never changes: what a resumed run has otherwise stands in the file of that run.
        """
        client, run_id = self.logger.experiment, self._run_id
        known = client.get_run(run_id).data.params
        settings = {key: str(value)[:_MAX_CHARACTERS] for key, value in flat(facts).items()}
        self.logger.log_hyperparams({k: v for k, v in settings.items() if k not in known})
        about = facts[KEY]
        for name in ("recipe", "stage", "run", "config_sha256"):
            client.set_tag(run_id, f"places.{name}", about[name])
        text = yaml.safe_dump(dict(facts), sort_keys=False, allow_unicode=True)
        client.log_text(run_id, text, f"{about['run'].replace('/', '-')}-config.yaml")

    def table(
        self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], step: int
    ) -> None:
        """Write a CSV file."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows([columns, *rows])
        self.logger.experiment.log_text(self._run_id, text.getvalue(), f"{name}.csv")

    def figure(self, name: str, figure: Figure, step: int) -> None:
        """Write a PNG."""
        self.logger.experiment.log_figure(self._run_id, figure, f"{name}.png")

    def pictures(self, name: str, guesses: Sequence[Guess], step: int) -> None:
        """Write one picture of all, by its step."""
        pixels = drawn(guesses_figure(guesses))
        self.logger.experiment.log_image(self._run_id, pixels, key=name, step=step)

    @property
    def _run_id(self) -> str:
        return str(self.logger.run_id)
