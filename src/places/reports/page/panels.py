"""Curves as panels of a page: which belong together, and what a script needs to zoom them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from places.reports.figures import panel_figure
from places.reports.svg import as_svg, places_of

Curve = Sequence[tuple[int, float]]
_MAX_POINTS = 1000  # of a curve on the page
_MAX_CURVES = 12  # of a panel
_MAX_PANELS = 16
# The last parts of names that belong together, and their title; in the order of the page.
_TITLES = {
    "loss": "loss (nats)",
    "top1": "accuracy",
    "top5": "accuracy",
    "mean_class_accuracy": "accuracy",
    "calibration_error": "calibration error",
    "learning_rate": "learning rate",
    "images_per_second": "pictures per second",
    "waiting_share": "share of the time of a step",
    "forward_share": "share of the time of a step",
    "backward_share": "share of the time of a step",
    "optimizer_share": "share of the time of a step",
}
_LOW_IS_GOOD = ("loss", "calibration error")
# What is compared between runs, the most telling first.
_COMPARED = (
    "val/top1",
    "val/loss",
    "train/loss",
    "train/top1",
    "val/top5",
    "val/calibration_error",
)


@dataclass(frozen=True)
class Panel:
    """Curves in one plot.

    Attributes:
        title: What they show.
        svg: The plot.
        data: What a script needs to zoom it and to tell values.
        rows: For each curve its name, its last value, its best one and the step of that.
        best: What the best is called: "lowest" or "highest"; empty where none is better.
    """

    title: str
    svg: str
    data: dict[str, Any]
    rows: list[tuple[str, str, str, str]]
    best: str


def panels_of_run(curves: Mapping[str, Curve]) -> list[Panel]:
    """Return the panels of a run."""
    groups: dict[str, dict[str, Curve]] = {title: {} for title in _TITLES.values()}
    for name, curve in curves.items():
        title = _TITLES.get(name.rpartition("/")[2], name)
        groups.setdefault(title, {})[name] = curve
    return _panels(groups)


def panels_of_runs(runs: Mapping[str, Mapping[str, Curve]]) -> list[Panel]:
    """Return the panels of several runs: for each metric the curves of all that have it."""
    names = dict.fromkeys(name for curves in runs.values() for name in curves)
    order = [*(name for name in _COMPARED if name in names), *names]
    # A run keeps its colour where it has no such curve.
    return _panels(
        {name: {run: curves.get(name, ()) for run, curves in runs.items()} for name in order}
    )


def _panels(groups: Mapping[str, Mapping[str, Curve]]) -> list[Panel]:
    filled = {title: curves for title, curves in groups.items() if any(curves.values())}
    shown = list(filled.items())[:_MAX_PANELS]
    return [_panel(number, title, curves) for number, (title, curves) in enumerate(shown)]


def _panel(number: int, title: str, curves: Mapping[str, Curve]) -> Panel:
    shown = {name: thinned(curve) for name, curve in list(curves.items())[:_MAX_CURVES]}
    figure, name = panel_figure(title, shown), f"plot-{number}"
    described = ", ".join(name for name, curve in shown.items() if curve)
    svg = as_svg(figure, name, f"{title} by step: {described}")
    series = [
        {
            "name": label,
            "x": [step for step, _ in curve],
            "y": [float(f"{value:.6g}") for _, value in curve],
        }
        for label, curve in shown.items()
    ]
    is_low = any(title.endswith(word) or word in title for word in _LOW_IS_GOOD)
    is_high = "accuracy" in title or "top" in title
    pick = min if is_low else max
    rows = []
    for label, curve in curves.items():
        if curve:
            step, value = pick(curve, key=lambda pair: pair[1])
            rows.append((label, f"{curve[-1][1]:.4g}", f"{value:.4g}", f"{step:,}"))
    data = {"id": name, **places_of(figure)[0], "series": series}
    best = "lowest" if is_low else "highest" if is_high else ""
    return Panel(title, svg, data, rows, best)


def thinned(curve: Curve, most: int = _MAX_POINTS) -> Curve:
    """Return the points of a curve that can be seen: of many the lowest and highest of each part.

    Args:
        curve: (step, value) pairs.
        most: How many at most.
    """
    if len(curve) <= most:
        return curve
    size = -(-len(curve) // (most // 2 - 1))
    kept = {0, len(curve) - 1}
    for first in range(0, len(curve), size):
        part = range(first, min(first + size, len(curve)))
        kept |= {min(part, key=lambda n: curve[n][1]), max(part, key=lambda n: curve[n][1])}
    return [curve[number] for number in sorted(kept)]
