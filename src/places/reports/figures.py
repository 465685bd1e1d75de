"""Arrays in, figures out. Nothing here knows of trainers, and only `save_figure` of files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from places.console import counted, say
from places.files import written_whole

_MAX_NAMED_CLASSES = 40  # more names than these cannot be read beside a matrix
_PEAK = 50  # a curve that rises to as many times its least value hides the rest of it


def try_to_draw(draw: Callable[[], Figure | None], path: Path) -> None:
    """Draw a figure into a file; if that fails, for whatever reason, it is said, and all goes on.

    Args:
        draw: Returns the figure, or `None` if there is nothing to draw.
        path: The file.
    """
    try:
        figure = draw()
        if figure is not None:
            save_figure(figure, path)
    except Exception as error:  # a picture is not worth a run
        reason = str(error).partition("\n")[0] or type(error).__name__
        say(f"{path.name} is not drawn: {reason}")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, complete or not at all."""
    with written_whole(path) as partial:
        figure.savefig(partial, format="png", dpi=120)


def curves_figure(metrics: Mapping[str, Sequence[tuple[int, float]]]) -> Figure | None:
    """Draw loss and accuracy over the steps of a run; a loss with a high peak on a log scale.

    Args:
        metrics: (step, value) pairs of "train/loss", "val/loss", "train/top1", "val/top1",
            "val/top5"; those that are missing are left out.

    Returns:
        The figure, or `None` if there is nothing to draw.
    """
    panels = {
        "loss (nats)": ("train/loss", "val/loss"),
        "accuracy": ("train/top1", "val/top1", "val/top5"),
    }
    if not any(name in metrics for names in panels.values() for name in names):
        return None
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, (title, names) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for name in names:
            if metrics.get(name):
                steps, values = zip(*metrics[name], strict=True)
                marker = "o" if name.startswith("val") else None
                axes.plot(steps, values, label=name, marker=marker, markersize=3)
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend()
        drawn = [value for name in names for _, value in metrics.get(name, ())]
        if drawn and 0 < _PEAK * min(drawn) < max(drawn) and "loss" in title:
            axes.set_yscale("log")
    return figure


def confusion_figure(confusion: npt.NDArray[np.int64], categories: Sequence[str]) -> Figure:
    """Draw a confusion matrix as shares of each true class.

    Args:
        confusion: `(C, C)` counts by true class (row) and predicted class (column). Classes that
            neither occur nor are predicted are left out.
        categories: The `C` names.
    """
    used = np.flatnonzero(confusion.sum(axis=0) + confusion.sum(axis=1)).tolist()
    counts = confusion[np.ix_(used, used)]
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    size = min(14.0, 4.5 + 0.3 * len(used))
    figure = Figure(figsize=(size, size - 0.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="Blues", interpolation="nearest")
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    accuracy = np.trace(confusion) / max(1, confusion.sum())
    axes.set_title(f"{counted(int(confusion.sum()), 'picture')}, top-1 {accuracy:.2%}")
    if len(used) <= _MAX_NAMED_CLASSES:
        names = [categories[label] for label in used]
        axes.set_xticks(range(len(used)), names, rotation=90)
        axes.set_yticks(range(len(used)), names)
    return figure


def reliability_figure(bins: Sequence[Mapping[str, float | None]]) -> Figure:
    """Draw how often guesses are right, by how sure the network is."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    used = [row for row in bins if row["num_images"]]
    axes.plot([0, 1], [0, 1])
    sure, right = ([row[key] or 0 for row in used] for key in ("mean_confidence", "accuracy"))
    axes.plot(sure, right)
    return figure
