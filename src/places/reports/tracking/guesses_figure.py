"""A figure of pictures and what the network says of them, for loggers without captions."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from places.reports.tracking.guesses import Guess

_NUM_COLUMNS = 4
_RIGHT, _WRONG = "#1f7355", "#a3264a"


def guesses_figure(guesses: Sequence[Guess]) -> Figure:
    """Draw pictures in rows of four, above each what it is and the first guess.

    Args:
        guesses: The pictures; green above those that are guessed right, red above the others.
    """
    num_rows = -(-len(guesses) // _NUM_COLUMNS)
    figure = Figure(figsize=(12, 3.4 * num_rows), layout="constrained")
    axes = figure.subplots(num_rows, _NUM_COLUMNS, squeeze=False).ravel()
    for one, guess in zip(axes, guesses, strict=False):
        name, probability = guess.guesses[0]
        one.imshow(guess.pixels, interpolation="nearest")
        title = f"{guess.truth}\n{name} {probability:.0%}"
        one.set_title(title, fontsize=9, color=_RIGHT if guess.is_right else _WRONG)
    for one in axes:
        one.set_axis_off()
    return figure
