"""How long a GPU waits for pictures, by the number of decoding threads."""

import statistics
from collections.abc import Container, Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from places.reports.figures import INK, LINE, SERIES, SOFT


def waiting_figure(
    shares: Mapping[int, Sequence[float]], enough: Container[int], verdict: str, title: str
) -> Figure:
    """Draw a bar for each number of threads, with a line from the least to the most of all runs.

    Args:
        shares: Parts of the time, 0 to 1, in each run, by the number of threads.
        enough: The numbers of threads with which the GPU never waits.
        verdict: What the figure shows, its headline.
        title: What was read.
    """
    figure = Figure(figsize=(max(5.5, 2.5 + 0.4 * len(shares)), 3.8), layout="constrained")
    axes = figure.subplots()
    for number, values in shares.items():
        median = statistics.median(values)
        axes.bar(number, median, 0.7, color=SERIES[0 if number in enough else 1])
        axes.plot([number] * 2, [min(values), max(values)], color=INK, linewidth=1)
        axes.annotate(
            f"{median:.0%}",
            (number, max(values)),
            (0, 3),
            textcoords="offset points",
            ha="center",
            fontsize="small",
            color=INK,
        )
    highest = max(max(values) for values in shares.values())
    axes.set_ylim(0, max(0.1, min(1.1, 1.15 * highest)))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("decoding threads", color=SOFT)
    axes.set_ylabel("time that the GPU waits", color=SOFT)
    headline = verdict[:1].upper() + verdict[1:]
    axes.set_title(f"{headline}\n{title}", loc="left", fontsize="medium", color=INK)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=SOFT, labelsize="small", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
