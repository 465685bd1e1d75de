"""Pictures of where the time of networks goes, and of what bounds it: from `places bench networks`.

Both show the plain networks at the largest batch that was measured.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

_MAX_NETWORKS = 30
_COLOURS = {
    "conv": "#4477aa",
    "linear": "#66ccee",
    "norm": "#ee6677",
    "activation": "#ccbb44",
    "pooling": "#228833",
    "addition": "#aa3377",
    "loss": "#884422",
    "optimizer": "#ee8866",
    "other": "#999999",
    "between": "#dddddd",
}
_MARKS = "osD^v<>Ph*"
_LEAST_SHARE = 0.005  # of the time; what is less is not worth a mark


def layers_figure(content: Mapping[str, Any], work: str) -> Figure | None:
    """Draw for each network how long a picture takes, divided by kinds of layers.

    Args:
        content: Of the file, see `places.reports.networks_file`.
        work: "inference" or "training".

    Returns:
        The figure, or `None` if nothing was profiled.
    """
    profiled = _profiled(content, work)
    if not profiled:
        return None
    figure = Figure(figsize=(9, 1.3 + 0.35 * len(profiled)), layout="constrained")
    axes = figure.subplots()
    ends = np.zeros(len(profiled))
    for kind, colour in _COLOURS.items():
        spent_ms = np.array(
            [
                sum(row["time_ms"] for row in layers["rows"] if row["kind"] == kind)
                / layers["batch_size"]
                for layers in profiled.values()
            ]
        )
        if spent_ms.any():
            axes.barh(range(len(profiled)), spent_ms, left=ends, color=colour, label=kind)
        ends += spent_ms
    axes.set_yticks(range(len(profiled)), [name[:40].replace("$", r"\$") for name in profiled])
    axes.invert_yaxis()
    axes.set_xlabel(f"{work}: ms per picture")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def roofline_figure(content: Mapping[str, Any], work: str) -> Figure | None:
    """Draw the roof of the machine, and below it what each kind of layer reaches.

    Args:
        content: Of the file, see `places.reports.networks_file`.
        work: "inference" or "training".

    Returns:
        The figure, or `None` if nothing was profiled.
    """
    profiled = _profiled(content, work)
    if not profiled:
        return None
    flops_per_s = content["roofline"]["flops_per_s"]["float32"]
    bytes_per_s = content["roofline"]["bytes_per_s"]
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    intensity = np.geomspace(0.05, 1000, 200)
    roof = np.minimum(flops_per_s, intensity * bytes_per_s)
    axes.plot(intensity, roof / 1e9, color="black", label="the roof, measured")
    axes.axvline(flops_per_s / bytes_per_s, color="black", linestyle=":", linewidth=1)
    seen = set()
    for number, layers in enumerate(profiled.values()):
        for row in layers["rows"]:
            if row["flops_per_byte"] and row["time_ms"] and row["share"] >= _LEAST_SHARE:
                kind = row["kind"]
                axes.plot(
                    row["flops_per_byte"],
                    row["flops"] / row["time_ms"] / 1e6,
                    _MARKS[number % len(_MARKS)],
                    color=_COLOURS.get(kind, "black"),
                    markersize=5,
                    label=None if kind in seen else kind,
                )
                seen.add(kind)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations per byte")
    axes.set_ylabel("GFLOP/s")
    axes.set_title(f"{work}: left of the dotted line memory is the bound", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc="lower right")
    return figure


def _profiled(content: Mapping[str, Any], work: str) -> dict[str, Mapping[str, Any]]:
    """Return the layers of the networks that have any, by their names; not too many."""
    found = {
        network["name"]: network["layers"][work]
        for network in content["networks"]
        if network["layers"].get(work, {}).get("rows")
    }
    return dict(list(found.items())[:_MAX_NETWORKS])
