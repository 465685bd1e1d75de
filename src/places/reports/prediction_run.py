"""Predictions from their start, or from where they stopped, to their end: on the first process."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from places.categories import load_categories
from places.console import FirstFew, counted, printable, put, say, show
from places.endings import signals
from places.errors import ConfigError, DataError
from places.files import name_as_text
from places.reports.finite_scores import refusal
from places.reports.prediction_row import PredictionOutput, PredictionRow
from places.reports.prediction_rows import NOT_FINITE
from places.reports.prediction_state import (
    ANEW,
    OTHER_FILE,
    PredictionState,
    check_same,
    read_state,
)
from places.reports.tables import Table

_NUM_TOLD = 4  # of so few pictures the answers are printed
_NUM_UNREADABLE_TOLD = 10
_BAR_WIDTH = 20


@runtime_checkable
class _Closing(Protocol):
    """An output with an open file."""

    def close(self) -> None: ...


class PredictionRun:
    """Hands rows to all outputs, and keeps account of them.

    The table comes last: what it has, all other outputs have too, whenever the run is killed.

    Args:
        table: Where every picture gets its row.
        others: The other outputs. One that has a `path` does not replace a file that is there,
            unless `overwrite` is set.
        state: What makes this table.
        total: How many pictures there are, if that is known.
        overwrite: Start anew, whatever there is.
        reuse: What of an earlier run is taken: its first "rows"; "all" of a complete table, and
            nothing of another; or "none": a table that is there is refused.
    """

    def __init__(
        self,
        table: Table,
        others: Sequence[PredictionOutput],
        state: PredictionState,
        total: int | None,
        *,
        overwrite: bool = False,
        reuse: Literal["rows", "all", "none"] = "rows",
    ) -> None:
        self.table = table
        self.state = state
        self.first_rows: list[PredictionRow] = []
        self.num_rows = self.num_unreadable = self.num_not_finite = 0
        self._others = others
        self._total = total
        self._overwrite = overwrite
        self._reuse = reuse
        self._unreadable = FirstFew(_NUM_UNREADABLE_TOLD)
        self._has_begun = False

    def begin(self, paths: Iterable[str] | None) -> tuple[int, bool]:
        """Open the table and look what is there of it.

        Args:
            paths: The pictures to classify, in their order, if that is known.

        Returns:
            How many rows of it remain, and whether that are all.

        Raises:
            ConfigError: It was made by other settings, weights or pictures, by something else, or
                another process writes it now.
            StorageError: The system refuses.
        """
        path = self.table.path
        self.table.open()
        old = read_state(path)
        if self._overwrite:
            self.table.clear()
            return 0, False
        is_started = old is not None and not old.complete
        if self.table.is_empty() or (is_started and not self.table.has_rows()):
            if not is_started:
                self._check_others()
            return 0, False
        if old is None or self._reuse == "none":
            whose = "already" if old else "and was not made by places predict"
            raise ConfigError(f"{path} is there, {whose}", OTHER_FILE, f"or {ANEW}")
        check_same(path, old, self.state)
        if self._reuse == "rows":
            num_rows = self._count(paths)
            return num_rows, num_rows == self._total
        if old.complete:
            return self._count(paths), True
        self.table.clear()
        return 0, False

    def start(self, num_rows: int, *, is_complete: bool = False) -> None:
        """Keep the first rows, take account of them, and be ready for more.

        Args:
            num_rows: How many, at most as many as `begin` returned.
            is_complete: Whether there is nothing to add.
        """
        for row, _ in zip(self.table.rows(), range(num_rows), strict=False):
            self._account(row)
        path = self.table.path
        if is_complete and (old := read_state(path)) and old.complete:
            say(f"{path} is complete already")
            self.state.complete = True
            self.table.close()
            return
        if num_rows:
            say(f"going on with {path} after {counted(num_rows, 'row')}")
        self.state.write(path)
        for output in (*self._others, self.table):
            output.start(num_rows)
        self._has_begun = True
        self._advise()

    def add(self, rows: Sequence[PredictionRow]) -> None:
        """Write the next rows.

        Raises:
            StorageError: They cannot be written; those before are there.
        """
        for output in (*self._others, self.table):
            output.add(rows)
        for row in rows:
            self._account(row)
        self._advise()

    def finish(self, num_pictures: int) -> None:
        """Bring all outputs into their final form.

        Args:
            num_pictures: How many pictures came in.

        Raises:
            DataError: There is not exactly one row for each picture.
        """
        if self.num_rows != num_pictures:
            raise DataError(
                f"{counted(num_pictures, 'picture')} came in, but {self.table.rows_path} has "
                f"{counted(self.num_rows, 'row')}",
                "that is a mistake in places; please report it",
                ANEW,
            )
        if not self.state.complete:
            for output in (*self._others, self.table):
                output.finish()
            self.state.complete = True
            self.state.counts = {
                "rows": self.num_rows,
                "unreadable": self.num_unreadable,
                "not_finite": self.num_not_finite,
            }
            self.state.write(self.table.path)
        signals.advise("")

    def leave(self, error: BaseException) -> None:
        """Say what there is when the run ends early; with signals `advise` does."""
        for output in (*self._others, self.table):
            if isinstance(output, _Closing):
                output.close()
        if self._has_begun and not self.state.complete and not isinstance(error, signals.Stopped):
            say(self._what_is_there())

    def _check_others(self) -> None:
        """Refuse to replace files of which nobody said that they may go."""
        for output in self._others:
            path = getattr(output, "path", None)
            if isinstance(path, Path) and path.exists():
                raise ConfigError(f"{path} is there already", "name another file", f"or {ANEW}")

    def _count(self, paths: Iterable[str] | None) -> int:
        """Return how many rows there are, which must be of the first pictures."""
        expected = None if paths is None else iter(paths)
        num = 0
        for num, row in enumerate(self.table.rows(), 1):
            if expected is None:
                continue
            path = next(expected, None)
            if path is None or name_as_text(path) != row.path:
                now = "is none any more" if path is None else f"is {printable(path)} now"
                raise ConfigError(
                    f"the pictures are others than in {self.table.path}: number {num:,} is "
                    f"{printable(row.path)} there, and {now}",
                    "give the same pictures, or name another file:  --predictions.file FILE",
                    f"or {ANEW}",
                )
        return num

    def _account(self, row: PredictionRow) -> None:
        self.num_rows += 1
        if row.error == NOT_FINITE:
            self.num_not_finite += 1
        elif row.error:
            self.num_unreadable += 1
            self._unreadable.add(f"{printable(row.path)}: {printable(row.error)}")
        if len(self.first_rows) < _NUM_TOLD:
            self.first_rows.append(row)

    def tell(self, *notes: str) -> None:
        """Say what came out.

        Args:
            *notes: What else is to be said of the pictures.

        Raises:
            CheckpointError: Outputs of the network are NaN or infinite; the table has the others.
        """
        answers = [_answer(row) for row in self.first_rows if not row.error]
        if self.num_rows <= _NUM_TOLD and answers:
            put("\n".join(answers))
        for line in self._unreadable.shown:
            show(f"unreadable: {line}")
        if self._unreadable.more:
            show(f"{self._unreadable.more} unreadable: see the column `error`")
        for note in notes:
            show(note)
        rows = counted(self.num_rows, "row")
        pictures = counted(self.num_rows, "picture")
        show(f"{pictures}, {rows}, {self.num_unreadable:,} unreadable: {self.table.path}")
        if self.num_not_finite:
            raise refusal("predictions", self.num_not_finite, self.num_rows)

    def _advise(self) -> None:
        signals.advise(self._what_is_there())

    def _what_is_there(self) -> str:
        of_all = "" if self._total is None else f" of {self._total:,}"
        how = (
            "the same command goes on" if self._reuse == "rows" else "the same command starts anew"
        )
        noun = "row is" if self.num_rows == 1 and not of_all else "rows are"
        return f"{self.num_rows:,}{of_all} {noun} in {self.table.rows_path}; {how}"


def _answer(row: PredictionRow) -> str:
    """Return the categories of a picture with bars."""
    names = [load_categories()[label] for label in row.labels]
    width = max(map(len, names))
    bars = (
        f"  {name:<{width}}  {value:4.0%}  {'█' * round(_BAR_WIDTH * value)}".rstrip()
        for name, value in zip(names, row.probabilities, strict=True)
    )
    return "\n".join([printable(row.path), *bars])
