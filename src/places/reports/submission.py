"""submission.txt: what the official Places365 test server takes."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from places.classifier import NUM_GUESSES
from places.console import counted, show
from places.data.places365 import Places365
from places.errors import DataError, PlacesError
from places.files import write_text
from places.lightning_internals import data_module
from places.reports.finite_scores import refusal
from places.reports.leaderboard.submission_score import read_guesses
from places.reports.row_file import RowFile

FILE_NAME = "submission.txt"


class Submission(Callback):
    """Writes the submission file when `test` runs on a split without labels.

    One line per picture in the order of the names: the file's name and exactly five labels, best
    first, separated by single spaces, as the README of the official development kit says.
    """

    _rows: RowFile | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the file if the split has no labels."""
        data = data_module(trainer)
        self._rows = None
        if isinstance(data, Places365) and not data.manifests[data.test_split].labelled:
            self._rows = RowFile(trainer, FILE_NAME)
            self._num_expected = data.manifests[data.test_split].num_samples

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's type; ours is the mapping that test_step returns
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the lines of a batch."""
        if self._rows is None:
            return
        columns = (outputs[name].tolist() for name in ("label", "finite"))
        rows = zip(batch["key"], *columns, batch["error"], strict=True)
        self._rows.write(batch_idx, [row if row[0] and not error else None for *row, error in rows])

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Merge the lines of all processes, check them and write the file.

        Raises:
            DataError: A picture is missing or occurs twice: no file is written.
            CheckpointError: An output of the network is NaN or infinite: no file is written.
        """
        rows = None if self._rows is None else self._rows.finish()
        if self._rows is None or rows is None:
            return
        lines = sorted(rows)
        num_not_finite = sum(not is_finite for *_, is_finite in lines)
        try:
            _check_complete([key for key, *_ in lines], self._num_expected)
            if num_not_finite:
                raise refusal(FILE_NAME, num_not_finite, len(lines))
        except PlacesError:
            self._rows.remove_parts()
            raise
        text = "\n".join(" ".join([f"{key}.jpg", *map(str, best)]) for key, best, _ in lines)
        write_text(self._rows.path, text)
        self._rows.remove_parts()
        _check_complete([*read_guesses(self._rows.path)], self._num_expected)  # as it was written
        show(f"{counted(len(lines), 'line')} for the test server: {self._rows.path}")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Say what there is of the file."""
        if self._rows is not None:
            self._rows.leave(exception)


def _check_complete(names: list[str], num_expected: int) -> None:
    if len(set(names)) != num_expected or len(names) != num_expected:
        raise DataError(
            f"classified: {counted(len(names), 'picture')} with "
            f"{counted(len(set(names)), 'name')}, "
            f"but the split has {num_expected:,}",
            f"no {FILE_NAME} was written: the test server takes exactly one line for each",
            f"of {NUM_GUESSES} labels; leave out  --trainer.limit_test_batches",
        )
