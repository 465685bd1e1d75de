"""What `places predict` writes: a table with a row for each picture, and what else is asked for."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer

from places.classifier import SceneClassifier
from places.config.ranges import check_range
from places.console import FirstFew
from places.data.image_files import ImageFiles
from places.data.places365 import Places365
from places.errors import ConfigError
from places.lightning_internals import data_module, is_trial
from places.processes import Agreement, run_folder
from places.reports.embeddings import Embeddings, Precision
from places.reports.gallery import Gallery, thumbnail
from places.reports.gallery.beside import gallery_beside
from places.reports.parquet_table import check_pyarrow
from places.reports.prediction_row import PredictionOutput
from places.reports.prediction_rows import rows_of
from places.reports.prediction_run import PredictionRun
from places.reports.prediction_state import FILE_NAME, PredictionState
from places.reports.sorted_folders import SortedFolders, Way, check_apart
from places.reports.table_formats import column_names
from places.reports.tables import check_ending, open_table


@runtime_checkable
class _Continuable(Protocol):
    """Data of which predictions may leave out what was classified before."""

    def leave_out(self, num_rows: int) -> int: ...


class Predictions(Callback):
    """Writes a table with a row for each picture that `places predict` is given.

    Columns: `path`; `true_category` and `true_index`, where the pictures have labels already, as
    those of labelled shards; for each of the best categories `category_1`, `index_1`,
    `probability_1` and so on; `indoor_or_outdoor`, `indoor_probability` (the sum over all indoor
    categories), `width`, `height` and `error`. A picture that cannot be read has its row too, with
    the reason in `error`, and so has one for which the outputs of the network are NaN or infinite.
    The table grows while the run goes on; the same command goes on where an interrupted one
    stopped.

    Args:
        file: The table: its name ends with .csv, .jsonl or .parquet. By default predictions.csv
            in the folder of the run.
        top_k: Number of categories for each picture, best first.
        overwrite: Start anew, whatever is in the files that are named.
        embeddings: Write the features of each picture, the input of the last layer of the network,
            into this .npy file: a row for each row of the table, NaN where there is no answer.
            numpy.load(FILE, mmap_mode="r") reads it without loading it.
        embeddings_dtype: Type of these numbers.
        sort_into: Sort the picture files into this folder, with a folder for each category, and a
            list of them in sorted.jsonl. Nothing is replaced: of several files with one name the
            second becomes "NAME (2)".
        by: Sort by links, which take no room: hard links, or symbolic ones where the file system
            has no others; or by copies.
        gallery: Make a page to look at beside the table, in one file that needs no network:
            gallery.html, or FILE.gallery.html beside a table that was asked for as FILE. It shows
            the first 10,000 pictures and all that could not be read.
    """

    num_unreadable = 0  # so far, on the first process
    # What makes the table, as the command line tells it; without that no table is continued.
    made_by: PredictionState | None = None

    def __init__(
        self,
        file: Path | None = None,
        top_k: int = 5,
        overwrite: bool = False,
        embeddings: Path | None = None,
        embeddings_dtype: Precision = "float32",
        sort_into: Path | None = None,
        by: Way = "link",
        gallery: bool = True,
    ) -> None:
        check_range("predictions.top_k", top_k, 1)
        if file is not None:
            check_ending(file)
            if file.suffix.lower() == ".parquet":
                check_pyarrow(file)
        self.file = file
        self.top_k = top_k
        self.overwrite = overwrite
        self._run: PredictionRun | None = None  # on the first process
        if embeddings is not None and embeddings.suffix != ".npy":
            raise ConfigError(
                f"predictions.embeddings must end with .npy, not {embeddings.name!r}",
                f"type:  --predictions.embeddings {embeddings.with_suffix('.npy')}",
            )
        self.sort_into = sort_into
        self.by: Way = by
        self.embeddings = embeddings
        self.embeddings_dtype: Precision = embeddings_dtype
        self._features: Embeddings | None = None  # on the first process
        self.gallery = gallery
        self._page: Gallery | None = None  # on the first process

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find out where to begin: at the first picture, or where an earlier run stopped.

        Raises:
            ConfigError: See `PredictionRun.begin`; or there are fewer categories than `top_k`.
            CheckpointError: See `PredictionRun.tell`.
        """
        self._run = None
        if stage != "predict" or is_trial(trainer):
            return
        if isinstance(pl_module, SceneClassifier):
            self._ask(pl_module)
        folder, data, total = run_folder(trainer), data_module(trainer), _total(trainer)
        if self.sort_into:
            check_apart(self.sort_into, data.images if isinstance(data, ImageFiles) else None)
        self._agreement = Agreement(trainer.world_size)
        begun = (0, False)
        if trainer.is_global_zero:
            self._run = self._make_run(folder, data, total)
            begun = self._run.begin(_paths(data))
        num_rows, is_complete = self._agreement.largest(begun)
        if isinstance(data, _Continuable):
            num_left_out = data.leave_out(_num_samples(data) or 0 if is_complete else num_rows)
            num_rows = num_rows if is_complete else num_left_out
        if self._run is not None:
            self._run.start(num_rows, is_complete=bool(is_complete))
            if is_complete:  # Lightning calls no hook where there is no batch
                self._run.finish(num_rows)
                self._tell(data)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Mapping[str, Any],
        batch: Mapping[str, Any],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the rows of a batch of all processes."""
        if is_trial(trainer):
            return
        # The other processes do not know when the page has enough.
        is_shown = self.gallery if self._page is None else self._page.wants_pictures
        rows = rows_of(batch, outputs, thumbnail if is_shown else None)
        if self.embeddings:
            self._expect_features(pl_module, outputs)
        parts = self._agreement.to_first(rows)
        if self._run is not None:
            self._run.add([row for part in parts for row in part])

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finish all outputs and say what came out.

        Raises:
            DataError: A row is missing.
            CheckpointError: Outputs of the network are NaN or infinite; the table has the others.
        """
        if self._run is None:
            return
        total = _total(trainer)
        self._run.finish(self._run.num_rows if total is None else total)
        self._tell(data_module(trainer))

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Say what there is of the table."""
        if trainer.predicting and self._run is not None:
            self._run.leave(exception)

    def _ask(self, model: SceneClassifier) -> None:
        """Tell the model what is wanted of it."""
        check_range("predictions.top_k", self.top_k, 1, model.num_classes)
        model.num_guesses = self.top_k
        if self.gallery:
            model.wanted |= {"activation"}
        if self.embeddings:
            model.wanted |= {"features"}

    def _make_run(
        self, folder: Path, data: LightningDataModule | None, total: int | None
    ) -> PredictionRun:
        file = self.file or folder / FILE_NAME
        labelled = _has_labels(data)
        table = open_table(file, self.top_k, labelled=labelled)
        state = self.made_by or PredictionState({})
        state.columns = column_names(self.top_k, labelled=labelled)
        if isinstance(data, Places365):
            state.digest = data.manifests[data.predict_split].digest
        is_known = self.made_by is not None and isinstance(data, _Continuable)
        return PredictionRun(
            table,
            self._outputs(file, state),
            state,
            total,
            overwrite=self.overwrite or (self.file is None and self.made_by is None),
            reuse="none" if not is_known else "all" if total is None else "rows",
        )

    def _outputs(self, table: Path, state: PredictionState) -> list[PredictionOutput]:
        """Return what is written beside the table."""
        self._page = gallery_beside(table, state.made_by, FILE_NAME) if self.gallery else None
        outputs: list[PredictionOutput] = [self._page] if self._page else []
        if self.embeddings:
            self._features = Embeddings(self.embeddings, self.embeddings_dtype)
            outputs.append(self._features)
        if self.sort_into:
            outputs.append(SortedFolders(self.sort_into, self.by))
        return outputs

    def _expect_features(self, pl_module: LightningModule, outputs: Mapping[str, Any]) -> None:
        """Refuse a network without features, and tell the file how many there are."""
        if "features" not in outputs:
            net = type(getattr(pl_module, "net", pl_module)).__name__
            raise ConfigError(
                f"predictions.embeddings needs a network with a linear head, and {net} has none",
                "leave out:  --predictions.embeddings",
            )
        if self._features is not None:
            self._features.num_features = outputs["features"].shape[1]

    def _tell(self, data: LightningDataModule | None) -> None:
        assert self._run is not None
        self.num_unreadable = self._run.num_unreadable
        left_out = data.left_out if isinstance(data, ImageFiles) else FirstFew()
        notes = [f"{left_out.count:,} left out as no pictures: {left_out}"] * bool(left_out.count)
        if self._page and self._page.page.is_file():
            notes.append(f"a page to look at: {self._page.page}")
        self._run.tell(*notes)


def _total(trainer: Trainer) -> int | None:
    """Return how many pictures there are; `None` if that is not known, or not all are wanted."""
    limit = trainer.limit_predict_batches  # 1 is one batch
    is_whole = limit is None or (isinstance(limit, float) and limit == 1)
    return _num_samples(data_module(trainer)) if is_whole else None


def _has_labels(data: LightningDataModule | None) -> bool:
    """Tell whether any picture has a label already."""
    if isinstance(data, ImageFiles):
        return data.paths.has_labels
    return isinstance(data, Places365) and data.manifests[data.predict_split].labelled


def _num_samples(data: LightningDataModule | None) -> int | None:
    if isinstance(data, ImageFiles):
        return len(data.paths)
    if isinstance(data, Places365):
        return data.manifests[data.predict_split].num_samples
    return None


def _paths(data: LightningDataModule | None) -> Iterator[str] | None:
    return map(str, data.paths) if isinstance(data, ImageFiles) else None
