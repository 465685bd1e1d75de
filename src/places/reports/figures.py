"""Arrays in, figures out. Nothing here knows of trainers, and only `save_figure` of files.

Pages show the same figures as SVG, see `places.reports.svg`; it replaces their colours.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from places.console import counted, say
from places.files import written_whole
from places.training.intervals import wilson

# Colours of a figure; a page replaces each by its own for dark screens.
INK, SOFT, LINE = "#1c1f1d", "#585d59", "#dedcd3"
SERIES = ("#1f7355", "#b8561b", "#2f5fc4", "#8a3ea8", "#a3264a", "#5f6b00", "#0e6f86", "#7a5230")
_MAX_NAMED_CLASSES = 40  # more names than these cannot be read beside a matrix
_MAX_MARKED = 60  # points of a curve that are drawn as such
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
    figure.set_dpi(120)
    with written_whole(path) as partial:
        # `savefig` would lay all out twice.
        FigureCanvasAgg(figure).print_png(partial)  # type: ignore[no-untyped-call]  # matplotlib's


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
        draw_curves(axes, title, {name: metrics[name] for name in names if metrics.get(name)})
    return figure


def panel_figure(title: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> Figure:
    """Draw some curves over the steps of a run, or of several runs, as one panel.

    Args:
        title: What they show; with "loss" in it, a high peak is drawn on a log scale.
        curves: (step, value) pairs by name.
    """
    figure = Figure(figsize=(4.4, 3.0), layout="constrained")
    axes = figure.subplots()
    draw_curves(axes, title, curves)
    if (legend := axes.get_legend()) is not None:  # below, where it hides no curve
        legend.remove()
        num_columns = 2 if len(curves) > 1 else 1
        figure.legend(
            loc="outside lower left",
            ncols=num_columns,
            frameon=False,
            labelcolor=INK,
            fontsize="small",
            columnspacing=1.2,
        )
    return figure


def draw_curves(axes: Axes, title: str, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Draw curves into axes; each line has the id "curve-0", "curve-1" and so on."""
    for number, (name, curve) in enumerate(curves.items()):
        steps, values = zip(*curve, strict=True)
        is_rare = len(curve) <= _MAX_MARKED
        axes.plot(
            steps,
            values,
            label=_plain(name),
            color=SERIES[number % len(SERIES)],
            linestyle=("-", "--", ":")[number // len(SERIES) % 3],
            marker="o" if is_rare else None,
            markersize=3,
            linewidth=1.6,
            gid=f"curve-{number}",
        )
    _style(axes, title)
    axes.set_xlabel("step", color=SOFT)
    if curves:
        axes.legend(frameon=False, labelcolor=INK, fontsize="small")
    drawn = [value for curve in curves.values() for _, value in curve]
    if drawn and 0 < _PEAK * min(drawn) < max(drawn) and "loss" in title:
        axes.set_yscale("log")


def reliability_figure(bins: Sequence[Mapping[str, float | None]]) -> Figure:
    """Draw how often a network is right when it is so sure, and how often it is so sure.

    Args:
        bins: As in a `result.json`: "from", "to", "num_images", "mean_confidence", "accuracy".
    """
    figure = Figure(figsize=(4.4, 4.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=INK, linestyle="--", linewidth=1, zorder=3)
    for row in bins:
        left, right, num = (float(row[name] or 0) for name in ("from", "to", "num_images"))
        middle, width = (left + right) / 2, 0.88 * (right - left)
        lower.bar(middle, num, width, color=SERIES[0])
        accuracy = row["accuracy"]
        if not num or accuracy is None:
            continue
        upper.bar(middle, accuracy, width, color=SERIES[0])
        low, high = wilson(round(accuracy * num), num)
        upper.plot([middle, middle], [low, high], color=INK, linewidth=1)
    upper.set_ylim(0, 1)
    upper.set_xlim(0, 1)
    _style(upper, "accuracy by confidence")
    _style(lower, "pictures")
    upper.set_ylabel("accuracy", color=SOFT)
    lower.set_xlabel("confidence in the best guess", color=SOFT)
    return figure


def times_figure(times_s: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw where the time of runs went: a bar for each, with a piece for each part.

    Args:
        times_s: Seconds by part, by the name of a run.
    """
    parts = list(dict.fromkeys(part for times in times_s.values() for part in times))
    figure = Figure(figsize=(4.8, 1.5 + 0.4 * len(times_s)), layout="constrained")
    axes = figure.subplots()
    names = [_plain(name) for name in times_s]
    left = np.zeros(len(names))
    for number, part in enumerate(parts):
        seconds = np.array([times.get(part, 0.0) for times in times_s.values()])
        wholes = np.array([sum(times.values()) for times in times_s.values()])
        share = seconds / np.maximum(wholes, 1e-12)
        colour = SERIES[number % len(SERIES)]
        axes.barh(names, share, 0.62, left=left, color=colour, label=_plain(part))
        left += share
    axes.set_xlim(0, 1)
    axes.invert_yaxis()
    _style(axes, "")
    axes.grid(visible=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend(
        loc="outside lower left", ncols=3, frameon=False, labelcolor=INK, fontsize="small"
    )
    return figure


def confused_figure(counts: npt.NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Draw the part of a confusion matrix that is worth reading, with its names and numbers.

    Each cell that is not empty is filled the more, the larger its share of the true class is.

    Args:
        counts: `(K, K + 1)` by true class (row) and guessed class; the last column holds all other
            guesses.
        names: The `K` names.
    """
    num = len(names)
    num_columns = num + bool(counts[:, num:].any())
    size = 2.2 + 0.3 * num
    figure = Figure(figsize=(size, size), layout="constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    for row, column in np.argwhere(counts).tolist():
        share = float(shares[row, column])
        colour = SERIES[0] if row == column else SERIES[1]
        patch = Rectangle((column, row), 1, 1, facecolor=colour, alpha=0.1 + 0.45 * share)
        patch.set_gid(f"cell-{row}-{column}")
        axes.add_patch(patch)
        place = (column + 0.5, row + 0.53)
        text = f"{counts[row, column]:,}"
        axes.annotate(text, place, ha="center", va="center", color=INK, fontsize="x-small")
    shown = [_plain(name) for name in names]
    labels = [*shown, "any other"][:num_columns]
    axes.set_xticks(np.arange(num_columns) + 0.5, labels, rotation=90)
    axes.set_yticks(np.arange(num) + 0.5, shown)
    axes.set_xlim(0, num_columns)
    axes.set_ylim(num, 0)
    _style(axes, "")
    axes.grid(visible=False)
    axes.set_aspect("equal")
    axes.set_xlabel("guessed", color=SOFT)
    axes.set_ylabel("true", color=SOFT)
    return figure


def _style(axes: Axes, title: str) -> None:
    axes.set_title(title, color=INK, fontsize="medium", loc="left")
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_facecolor("none")
    axes.tick_params(colors=SOFT, labelsize="small", length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LINE)


def _plain(text: str) -> str:
    """Return a text that matplotlib takes for no formula and for no label to be hidden."""
    return text.replace("$", r"\$") if not text.startswith("_") else f" {text}".replace("$", r"\$")


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
