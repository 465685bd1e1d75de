"""The figures of a report for Weights & Biases, as data URLs: those of the page of the runs."""

import base64
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from places.reports.figures import confused_figure, panel_figure, reliability_figure, times_figure
from places.reports.page import about_run
from places.reports.page.confusion import block_of, counts_of, names_for
from places.reports.page.panels import thinned
from places.reports.page.pictures import Shown, strips_of
from places.reports.page.thumbnails import Thumbnails
from places.reports.run_facts import RunFacts
from places.reports.tracking.guesses import Guess
from places.reports.tracking.guesses_figure import guesses_figure

_CURVES = ("val/top1", "val/loss", "train/loss")
_MAX_BYTES = 4_000_000  # of all pictures: a report is one text in a data base
_STRIP = "Most confidently wrong"


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        url: A data URL, PNG.
        caption: What it shows.
    """

    url: str
    caption: str


def pictures_of_runs(
    names: Sequence[str], runs: Sequence[RunFacts], trainings: Sequence[RunFacts]
) -> dict[str, list[Picture]]:
    """Return the pictures of the sections "scores", "curves", "times" and "pictures".

    What cannot be drawn is left out: what a run tells may be damaged.

    Args:
        names: What the runs are called.
        runs: What they tell.
        trainings: For each the training behind it, or itself.
    """
    shelf = _Shelf()
    for metric in _CURVES:
        curves = {
            name: thinned(training.curves.get(metric, ()))
            for name, training in zip(names, trainings, strict=True)
        }
        if any(curves.values()):
            shelf.add("curves", metric, lambda c=curves, m=metric: panel_figure(m, c))  # type: ignore[misc]  # defaults bind
    for name, run in zip(names, runs, strict=True):
        shelf.add("scores", f"{name}: how often it is right when it is so sure", _reliability(run))
        shelf.add("scores", f"{name}: what was taken for what", _confused(run))
    times = {
        name: {
            about_run.PART_NAMES.get(part, part): value
            for part, value in about_run.ordered(training.times_s).items()
        }
        for name, training in zip(names, trainings, strict=True)
        if training.times_s
    }
    if times:
        shelf.add("times", "where the time went", lambda: times_figure(times))
    for name, run in zip(names, runs, strict=True):
        shelf.add("pictures", f"{name}: {_STRIP.lower()}", _wrong(run))
    return shelf.pictures


class _Shelf:
    """Pictures by section, no more than a report should hold."""

    def __init__(self) -> None:
        self.pictures: dict[str, list[Picture]] = {
            section: [] for section in ("scores", "curves", "times", "pictures")
        }
        self._num_bytes = 0

    def add(self, section: str, caption: str, draw: Callable[[], Figure | None]) -> None:
        try:
            figure = draw()
        except (ValueError, TypeError, KeyError, IndexError):  # of what a run tells
            return
        if figure is None:
            return
        url = data_url(figure)
        if self._num_bytes + len(url) <= _MAX_BYTES:
            self._num_bytes += len(url)
            self.pictures[section].append(Picture(url, caption))


def data_url(figure: Figure) -> str:
    """Return a figure as a data URL, PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def _reliability(run: RunFacts) -> Callable[[], Figure | None]:
    def draw() -> Figure | None:
        content = run.result or run.validation
        return reliability_figure(content["reliability"]) if content else None

    return draw


def _confused(run: RunFacts) -> Callable[[], Figure | None]:
    def draw() -> Figure | None:
        counts = counts_of(run.pictures, run.validation)
        if counts is None or counts.sum() == counts.trace():
            return None
        labels, block = block_of(counts)
        names = names_for(len(counts))
        return confused_figure(block, [names[label] for label in labels])

    return draw


def _wrong(run: RunFacts) -> Callable[[], Figure | None]:
    def draw() -> Figure | None:
        if run.pictures is None:
            return None
        thumbnails = Thumbnails(run)
        try:
            strips = strips_of(run.pictures, names_for(0), thumbnails)
        finally:
            thumbnails.close()
        shown = [p for strip in strips if strip.title == _STRIP for p in strip.pictures if p.image]
        return guesses_figure([_guess(picture) for picture in shown]) if shown else None

    return draw


def _guess(picture: Shown) -> Guess:
    data = base64.b64decode(re.sub("^data:image/jpeg;base64,", "", picture.image))
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image.convert("RGB"))
    sure = float(picture.confidence.rstrip("%") or 0) / 100
    return Guess(picture.key, pixels, picture.true, ((picture.guess, sure),))
