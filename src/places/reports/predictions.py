"""predictions.csv: one row for each picture that `places predict` was given."""

import csv
import io
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from places.categories import load_categories
from places.classifier import NUM_GUESSES
from places.console import printable, show
from places.data.image_files import ImageFiles
from places.files import write_text
from places.lightning_internals import data_module
from places.reports.figures import contact_sheet, try_to_draw
from places.reports.row_file import RowFile, as_text

FILE_NAME = "predictions.csv"
_RANKS = range(1, NUM_GUESSES + 1)
_GUESSES = [f"{name}_{rank}" for rank in _RANKS for name in ("category", "probability")]
_NUM_PICTURES_SHOWN = 24


class Predictions(Callback):
    r"""Writes `predictions.csv` and a sheet of the first pictures into the folder of the run.

    Columns: `path`, then `category_1`, `probability_1` to `category_5`, `probability_5`, best
    first, then `error`. A picture that cannot be read has its row too, with the reason in `error`.

    A path or reason that a spreadsheet would take for a formula, since it begins with `=`, `+`, `-`
    or `@`, has an apostrophe before it. What cannot be shown is written as its escape, as `\n`.
    """

    _rows: RowFile

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the table."""
        self._rows = RowFile(trainer, FILE_NAME)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the rows of a batch."""
        labels, probabilities = outputs["label"].tolist(), outputs["probability"].tolist()
        rows = zip(batch["key"], labels, probabilities, batch["error"], strict=True)
        self._rows.write(batch_idx, [row if row[0] else None for row in rows])

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merge the rows of all processes and say what came out."""
        rows = self._rows.finish()
        if rows is not None:
            self._finish(rows)
            data = data_module(trainer)
            if isinstance(data, ImageFiles) and data.left_out.count:
                show(f"{data.left_out.count:,} left out as no pictures: {data.left_out}")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Say what there is of the table."""
        if trainer.predicting and hasattr(self, "_rows"):
            self._rows.leave(exception)

    def _finish(self, rows: Iterator[list[Any]]) -> None:
        text, names = io.StringIO(newline=""), load_categories()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["path", *_GUESSES, "error"])
        num_rows = 0
        errors: list[str] = []
        shown: list[tuple[str, str]] = []
        for key, labels, probabilities, error in rows:
            guesses: list[str] = []
            for label, probability in zip(labels, probabilities, strict=True):
                guesses += ["", ""] if error else [names[label], f"{probability:.6f}"]
            path, reason = printable(key), printable(error)
            writer.writerow([as_text(path), *guesses, as_text(reason)])
            num_rows += 1
            if error:
                errors.append(f"{path}: {reason}")
            elif len(shown) < _NUM_PICTURES_SHOWN:
                shown.append((key, f"{names[labels[0]]}  {probabilities[0]:.0%}"))
        write_text(self._rows.path, text.getvalue())
        self._rows.remove_parts()
        for line in errors:
            show(f"unreadable: {line}")
        show(f"{num_rows} pictures, {len(errors)} unreadable: {self._rows.path}")
        try_to_draw(partial(contact_sheet, shown), self._rows.path.with_suffix(".png"))
