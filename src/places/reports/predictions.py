"""predictions.csv: one row for each picture that `places predict` was given."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from places.categories import load_categories
from places.classifier import NUM_GUESSES
from places.console import printable, put, show
from places.data.image_files import ImageFiles
from places.files import write_text
from places.lightning_internals import data_module
from places.reports.figures import contact_sheet, try_to_draw
from places.reports.finite_scores import refusal
from places.reports.row_file import RowFile, as_text

FILE_NAME = "predictions.csv"
_RANKS = range(1, NUM_GUESSES + 1)
_GUESSES = [f"{name}_{rank}" for rank in _RANKS for name in ("category", "probability")]
_NUM_PICTURES_SHOWN = 24
_NUM_PICTURES_TOLD = 4  # of a few the answer is printed
_BAR_WIDTH = 20
_NOT_FINITE = "the outputs of the network are NaN or infinite"


def _bars(names: Sequence[str], probabilities: Sequence[float]) -> str:
    width = max(map(len, names))
    return "\n".join(
        f"  {name:<{width}}  {value:4.0%}  {'█' * round(_BAR_WIDTH * value)}".rstrip()
        for name, value in zip(names, probabilities, strict=True)
    )


class Predictions(Callback):
    r"""Writes `predictions.csv` and a sheet of the first pictures into the folder of the run.

    Columns: `path`, then `category_1`, `probability_1` to `category_5`, `probability_5`, best
    first, then `error`. A picture that cannot be read has its row too, with the reason in `error`,
    and so has one for which the outputs of the network are NaN or infinite.

    A path or reason that a spreadsheet would take for a formula, since it begins with `=`, `+`, `-`
    or `@`, has an apostrophe before it. What cannot be shown is written as its escape, as `\n`.
    """

    num_unreadable = 0  # after the run, on the first process
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
        columns = (outputs[name].tolist() for name in ("label", "probability", "finite"))
        rows = []
        for key, error, labels, probabilities, is_finite in zip(
            batch["key"], batch["error"], *columns, strict=True
        ):
            reason = error or ("" if is_finite else _NOT_FINITE)
            guesses = [[], []] if reason else [labels, probabilities]
            rows.append([key, *guesses, reason] if key else None)
        self._rows.write(batch_idx, rows)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merge the rows of all processes and say what came out.

        Raises:
            CheckpointError: Outputs of the network are NaN or infinite; the table has the others.
        """
        rows = self._rows.finish()
        if rows is not None:
            num_not_finite, num = self._finish(rows)
            data = data_module(trainer)
            if isinstance(data, ImageFiles) and data.left_out.count:
                show(f"{data.left_out.count:,} left out as no pictures: {data.left_out}")
            if num_not_finite:
                raise refusal("predictions", num_not_finite, num)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Say what there is of the table."""
        if trainer.predicting and hasattr(self, "_rows"):
            self._rows.leave(exception)

    def _finish(self, rows: Iterator[list[Any]]) -> tuple[int, int]:
        """Write the table; return how many rows are for want of finite outputs, and of all."""
        text, names = io.StringIO(newline=""), load_categories()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["path", *_GUESSES, "error"])
        num_rows = num_not_finite = 0
        errors: list[str] = []
        shown: list[tuple[str, str]] = []
        answers: list[str] = []
        for key, labels, probabilities, error in rows:
            guesses: list[str] = [""] * len(_GUESSES) if error else []
            for label, probability in zip(labels, probabilities, strict=True):
                guesses += [names[label], f"{probability:.6f}"]
            path, reason = printable(key), printable(error)
            writer.writerow([as_text(path), *guesses, as_text(reason)])
            num_rows += 1
            if error == _NOT_FINITE:
                num_not_finite += 1
            elif error:
                errors.append(f"{path}: {reason}")
            elif len(shown) < _NUM_PICTURES_SHOWN:
                shown.append((key, f"{names[labels[0]]}  {probabilities[0]:.0%}"))
                named = [names[label] for label in labels]
                answers.append(f"{path}\n{_bars(named, probabilities)}")
        write_text(self._rows.path, text.getvalue())
        self._rows.remove_parts()
        self.num_unreadable = len(errors)
        if num_rows <= _NUM_PICTURES_TOLD and answers:
            put("\n".join(answers))
        for line in errors:
            show(f"unreadable: {line}")
        show(f"{num_rows} pictures, {len(errors)} unreadable: {self._rows.path}")
        try_to_draw(partial(contact_sheet, shown), self._rows.path.with_suffix(".png"))
        return num_not_finite, num_rows
