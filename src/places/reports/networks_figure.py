"""Pictures per second against parameters, from the rows of `places bench networks`."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

_EAGER = "eager"
_MAX_NAMED = 40  # networks that a legend can still name
_MARKS = {"inference": "o", "training": "s"}


def networks_figure(content: Mapping[str, Any]) -> Figure | None:
    """Draw pictures per second against parameters: one panel for training, one for inference.

    Each network is a line from its speed as it is (hollow) to its speed in the way that was the
    fastest (filled), at the largest batch that was measured. A number leads to its name.

    Args:
        content: Of the file, see `places.reports.networks_file`.

    Returns:
        The figure, or `None` if nothing was measured.
    """
    works = [work for work in _MARKS if _points(content, work)]
    if not works:
        return None
    figure = Figure(
        figsize=(5.5 * len(works), 4.5 + 0.13 * len(content["networks"])), layout="constrained"
    )
    panels = figure.subplots(1, len(works), squeeze=False)[0]
    for axes, work in zip(panels, works, strict=True):
        _draw(axes, work, _points(content, work))
    hardware = content["hardware"]
    device = hardware["cpu"] if hardware["device"] == "cpu" else hardware["device"]
    size = content["settings"]["image_size"]
    figure.suptitle(f"{_plain(device)}, pictures of {size} pixels", fontsize=10)
    return figure


def _points(
    content: Mapping[str, Any], work: str
) -> list[tuple[str, float, Mapping[str, Any] | None, Mapping[str, Any]]]:
    """Return name, million parameters, the row as it is and the fastest row of each network."""
    measured = [row for row in content["rows"] if row["work"] == work and row["images_per_s"]]
    points = []
    for network in content["networks"]:
        rows = [row for row in measured if row["network"] == network["name"]]
        if rows and network["parameters"]:
            size = max(row["batch_size"] for row in rows)
            rows = [row for row in rows if row["batch_size"] == size]
            best = max(rows, key=_speed)
            eager = next((row for row in rows if row["way"] == _EAGER), None)
            points.append((network["name"], network["parameters"] / 1e6, eager, best))
    return points


def _draw(
    axes: Axes,
    work: str,
    points: Sequence[tuple[str, float, Mapping[str, Any] | None, Mapping[str, Any]]],
) -> None:
    by_speed = sorted(enumerate(points), key=lambda item: -_speed(item[1][3]))
    for number, (index, (name, parameters, eager, best)) in enumerate(by_speed):
        colour, mark = f"C{index % 10}", _MARKS[work]
        speeds = [_speed(row) for row in (eager, best) if row is not None]
        axes.plot([parameters] * len(speeds), speeds, color=colour, linewidth=1)
        if eager is not None:
            axes.plot(parameters, speeds[0], mark, color=colour, fillstyle="none")
        spread = best["images_per_s"]
        low, high = _speed(best) - spread["lower"], spread["upper"] - _speed(best)
        axes.errorbar(
            parameters,
            _speed(best),
            [[low], [high]],
            fmt=mark,
            color=colour,
            capsize=3,
            label=_plain(f"{number + 1} {name}: {best['way']}"),
        )
        # Two of the same size lie above each other: their numbers stand on different sides.
        axes.annotate(
            str(number + 1),
            (parameters, _speed(best)),
            textcoords="offset points",
            xytext=(5 if number % 2 else -5, 2),
            ha="left" if number % 2 else "right",
            fontsize=7,
        )
    if len(points) <= _MAX_NAMED:
        axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=1)
    sizes = sorted({best["batch_size"] for _, _, _, best in points})
    axes.set_title(f"{work}, batches of {', '.join(map(str, sizes))}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(_tick)
        axis.set_minor_formatter(_tick)
    axes.set_xlabel("parameters (M)")
    axes.set_ylabel("pictures per second")
    axes.margins(x=0.1, y=0.15)
    axes.grid(alpha=0.3, which="both")


def _tick(value: float, _position: float) -> str:
    return f"{value:,g}" if f"{value:e}"[0] in "125" else ""


def _speed(row: Mapping[str, Any]) -> float:
    return float(row["images_per_s"]["median"])


def _plain(text: str) -> str:
    return text[:60].replace("$", r"\$")  # matplotlib reads formulas between dollars
