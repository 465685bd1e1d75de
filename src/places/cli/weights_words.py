"""`--model.weights FILE.caffemodel`: pictures are prepared as its network had them."""

from collections.abc import Sequence
from pathlib import Path

_WEIGHTS, _MEAN = "--model.weights", "--model.mean"
_CAFFE = ".caffemodel"


def with_mean_of_weights(words: Sequence[str]) -> list[str]:
    """Return a command line with Caffe's mean, if its weights are asked for and no mean is.

    A recipe that says otherwise wins, since it comes later.

    Args:
        words: The command line after `places`.

    Raises:
        CheckpointError: The file is none.
    """
    flags = [word.partition("=") for word in words]
    values = [
        value if equals else following
        for (flag, equals, value), following in zip(flags, [*words[1:], ""], strict=False)
        if flag == _WEIGHTS
    ]
    is_asked = any(flag == _MEAN for flag, _, _ in flags)
    if is_asked or not values or not values[-1].endswith(_CAFFE):
        return list(words)
    from places.models.weights import colours_of_official  # what few need

    mean, _ = colours_of_official(Path(values[-1]))
    return [words[0], f"{_MEAN}={list(mean)}", *words[1:]]
