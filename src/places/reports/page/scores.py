"""Scores of a result as a page shows them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from places.console import printable
from places.training.intervals import wilson

_LABELS = {
    "mean_class_accuracy": "mean per category",
    "indoor_or_outdoor": "indoor or outdoor",
    "loss": "loss (nats)",
    "calibration_error": "calibration error",
}
_MAX_SCORES = 50
_MAX_CATEGORIES = 2000


@dataclass(frozen=True)
class Score:
    """A score.

    Attributes:
        name: As the result calls it.
        label: As people do.
        value: It.
        text: It, in words.
        interval: Both ends of its 95 % interval, if it has one.
        interval_text: The same in words.
    """

    name: str
    label: str
    value: float
    text: str
    interval: tuple[float, float] | None
    interval_text: str


def scores_in(content: Mapping[str, Any]) -> list[Score]:
    """Return the scores of a result, or of a validation."""
    intervals, found = content["intervals"], []
    for name, value in list(content["scores"].items())[:_MAX_SCORES]:
        number, ends = float(value), intervals.get(name)  # a text such as "inf" is a number, too
        interval = None if ends is None else (_share(ends[0]), _share(ends[1]))
        is_share = interval is not None or name == "calibration_error"
        words = "" if interval is None else f"{interval[0]:.2%} to {interval[1]:.2%}"
        text = f"{number:.2%}" if is_share else f"{number:.4f}"
        if not all(map(math.isfinite, (number, *(interval or ())))):
            interval, text = None, str(number)
        found.append(Score(printable(name), label_of(name), number, text, interval, words))
    return found


def label_of(name: str) -> str:
    """Return what people call a score."""
    if name.startswith("top") and name[3:].isdecimal():
        return f"top-{name[3:]}"
    return _LABELS.get(name, printable(name)[:60].replace("_", " "))


@dataclass(frozen=True)
class CategoryRow:
    """A category with pictures. Shares are in 0..1.

    Attributes:
        name: Its name.
        top1: Its top-1 accuracy.
        low: Lower end of the 95 % interval of that.
        high: Upper end.
        top5: Its top-5 accuracy, if known.
        top5_low: Lower end of the 95 % interval of that.
        top5_high: Upper end.
        num_images: How many pictures it has.
        num_predicted: How often it was the answer.
        taken_for: What it was mostly taken for, with the number of pictures; empty if never.
    """

    name: str
    top1: float
    low: float
    high: float
    top5: float | None
    top5_low: float
    top5_high: float
    num_images: int
    num_predicted: int
    taken_for: str = ""


def categories_in(
    content: Mapping[str, Any], taken_for: Mapping[int, str] | None = None
) -> list[CategoryRow]:
    """Return the categories of a result that have pictures, the worst first.

    Args:
        content: A result or a validation.
        taken_for: For labels what they were mostly taken for.
    """
    rows = []
    if len(content["categories"]) > _MAX_CATEGORIES:
        raise ValueError(f"more than {_MAX_CATEGORIES:,} categories")
    for row in content["categories"]:
        num, top1, top5 = int(row["num_images"]), row["top1"], row["top5"]
        if num <= 0 or top1 is None:
            continue
        low, high = row.get("top1_interval") or wilson(round(top1 * num), num)
        name = printable(str(row["category"]))[:200]
        top5 = None if top5 is None else _share(top5)
        others = (taken_for or {}).get(int(row["label"]), "")
        shares = (_share(top1), _share(low), _share(high))
        ends = wilson(round((top5 or 0) * num), num)
        rows.append(CategoryRow(name, *shares, top5, *ends, num, int(row["num_predicted"]), others))
    return sorted(rows, key=lambda row: (row.top1, row.name))


def _share(value: Any) -> float:  # noqa: ANN401  # of what was read
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is no share")
    return share
