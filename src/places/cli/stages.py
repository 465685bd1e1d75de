"""fit, validate, test and predict: one run of LightningCLI, from its command line to its page."""

import logging
import warnings
from collections.abc import Sequence
from inspect import signature
from pathlib import Path

import torch

from places.checkpoints.download import without_signature
from places.cli.error_messages import with_place
from places.cli.library_errors import mistake_behind
from places.cli.places_cli import WITH_PAGE, PlacesCLI
from places.cli.predict_words import with_pictures, without_pictures
from places.config.recipes import find_recipes
from places.console import is_first_process
from places.data import WebDataset
from places.data.image_files import ImageFiles
from places.data.places365 import Places365
from places.endings.family import mark_children, watch
from places.errors import PlacesError, with_prefix
from places.freed_memory import keep_freed_memory
from places.lightning_internals import is_trial, watch_processes
from places.reports.page.command import report_at_end
from places.reports.predictions import Predictions
from places.reports.profile import has_profiler, tell_of_profile

# Warnings that no user can do anything about.
_NOISE = (
    r".*isinstance\(treespec, LeafSpec\)",  # lightning 2.6.6 with torch 2.14
    r"The dirpath has changed from",  # every stage has a run folder of its own
    r"It is recommended to use .*sync_dist",  # scores come from sums that are reduced already
    r"You defined a `validation_step` but have no",  # ImageFiles says that it cannot fit
    r"torch\.distributed\.nn\.functional\.all_gather",  # lightning 2.6.6 with torch 2.14
    r"Experiment logs directory .* is not empty",  # W&B may write into it before the CSV logger
    r"Total length of `Loader` across ranks is zero",  # all that was asked for is there already
)


def run_stage(words: Sequence[str]) -> int:
    """Run one of the four stages, given the command line after `places`.

    Returns:
        The exit status: 1 if a picture could not be read by `predict`, else 0.
    """
    mark_children()
    watch_processes(watch)
    quieten()
    if words[0] != "fit":
        keep_freed_memory()
    torch.set_float32_matmul_precision("high")
    try:
        words = without_signature(words)
        cli = PlacesCLI(with_pictures(words) if words[0] == "predict" else words)
        if has_profiler(cli.trainer):
            tell_of_profile(cli.trainer, words[0])
        if words[0] in WITH_PAGE:
            _make_page(cli)
        tables = (c for c in cli.trainer.callbacks if isinstance(c, Predictions))  # type: ignore[attr-defined]  # declared nowhere
        return int(any(table.num_unreadable for table in tables))
    except Exception as error:
        mistake = mistake_behind(error) or error
        if isinstance(mistake, PlacesError):
            kinds = (Places365, ImageFiles, WebDataset)
            names = {name for kind in kinds for name in signature(kind).parameters}
            mistake = with_prefix(without_pictures(words, mistake), "--data.", names)
            raise with_place(mistake, words, find_recipes(words)[0]) from error
        raise


def _make_page(cli: PlacesCLI) -> None:
    """Make the page of a run, which has ended, on the first process."""
    has_folder = not is_trial(cli.trainer) and cli.trainer.is_global_zero
    if has_folder and cli.config[str(cli.subcommand)].report:
        # `log_dir` would wait for the other processes.
        report_at_end(Path(cli.trainer.default_root_dir))


def quieten() -> None:
    """Keep Lightning from saying what no user of a stage needs."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # That it makes an experiment which is not there yet is no warning.
    logging.getLogger("lightning.pytorch.loggers.mlflow").setLevel(logging.ERROR)
    # Their reports come this way.
    logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)
    for message in _NOISE:
        warnings.filterwarnings("ignore", message)
    if not is_first_process():  # what all processes are warned of is shown once
        warnings.simplefilter("ignore")
