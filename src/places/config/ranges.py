"""Numbers of a recipe that have a smallest and a largest value."""

import math
from collections.abc import Sequence

from places.errors import ConfigError


def check_range(name: str, value: float | None, low: float, high: float = math.inf) -> None:
    """Refuse a number that is too small or too large; `None` is neither.

    Args:
        name: The option, as it is typed.
        value: The number.
        low: The smallest that may be.
        high: The largest that may be.

    Raises:
        ConfigError: It is outside, or not a number.
    """
    if value is not None and not low <= value <= high:
        allowed = f"{low:.10g} or more" if high == math.inf else f"{low:.10g} to {high:.10g}"
        shown = f"{value:.10g}" if isinstance(value, float) else f"{value}"[:40]
        raise ConfigError(f"{name} must be {allowed}, not {shown}")


def check_word(name: str, word: str, words: Sequence[str]) -> None:
    """Refuse a word that is none of those that may be.

    Raises:
        ConfigError: See there.
    """
    if word not in words:
        raise ConfigError(f"{name} must be one of {', '.join(words)}, not {word!r}")


def check_rising(name: str, values: Sequence[float], low: float, high: float = math.inf) -> None:
    """Refuse two numbers of which the first is larger, or that are not above and below bounds.

    Args:
        name: The option, as it is typed.
        values: The smallest and the largest value of something.
        low: What both are above.
        high: The largest that may be.

    Raises:
        ConfigError: They do not rise, or are outside.
    """
    if not low < values[0] <= values[1] <= high:
        bound = "" if high == math.inf else f", at most {high:g}"
        raise ConfigError(
            f"{name} must be two rising numbers above {low:g}{bound}, not {list(values)}"
        )
