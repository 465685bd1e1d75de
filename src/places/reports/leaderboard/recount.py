"""Scores counted again from the scores of pictures, to compare with what a result claims."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from places.categories import load_settings
from places.reports.picture_table import PictureTable
from places.training.intervals import wilson

_NUM_RANKS = 5


Claims = Iterator[tuple[str, float, float]]


def claims_and_counts(result: Mapping[str, Any], table: PictureTable) -> Claims:
    """Yield what a result claims: its name, the claim, and what its pictures make it.

    Args:
        result: The content of a `result.json`.
        table: The rows of its `scores.parquet`.
    """
    num = len(table.labels)
    yield "num_images", result["num_images"], num
    yield "num_images", result["num_images"], len({*table.keys})  # each picture once
    if table.loss is not None:
        yield "scores.loss", result["scores"]["loss"], math.fsum(table.loss.tolist()) / num
    yield from _accuracies(result, table)
    yield from _categories(result, table)
    yield from _confused(result, table)
    if table.confidence is not None:
        yield from _calibration(result, table, table.confidence)


def _accuracies(result: Mapping[str, Any], table: PictureTable) -> Claims:
    num, labels, best = len(table.labels), table.labels, table.guesses[:, 0]
    right = table.guesses == labels[:, None]
    counts = {f"top{k}": int(right[:, :k].any(axis=1).sum()) for k in range(1, _NUM_RANKS + 1)}
    is_indoor = np.array([setting == "indoor" for setting in load_settings()])
    if max(labels.max(initial=0), best.max(initial=0)) < len(is_indoor):
        counts["indoor_or_outdoor"] = int((is_indoor[labels] == is_indoor[best]).sum())
    for name, count in counts.items():
        if name in result["scores"]:  # as far as a test was asked to report it
            yield f"scores.{name}", result["scores"][name], count / num
            yield from _interval(f"intervals.{name}", result["intervals"][name], count, num)


def _categories(result: Mapping[str, Any], table: PictureTable) -> Claims:
    best, right = table.guesses[:, 0], table.guesses == table.labels[:, None]
    for row in result["categories"]:
        mine, name = table.labels == row["label"], f"categories.{row['category']}"
        yield f"{name}.num_images", row["num_images"], int(mine.sum())
        yield f"{name}.num_predicted", row["num_predicted"], int((best == row["label"]).sum())
        num = int(mine.sum())
        for key, hits in (("top1", right[mine, 0]), ("top5", right[mine].any(axis=1))):
            # Of no pictures there is no share: -1 for none, which no share is.
            share = -1 if row[key] is None else row[key]
            yield f"{name}.{key}", share, int(hits.sum()) / num if num else -1
            if f"{key}_interval" in row:
                interval = row[f"{key}_interval"]
                yield from _interval(f"{name}.{key}_interval", interval, int(hits.sum()), num)


def _confused(result: Mapping[str, Any], table: PictureTable) -> Claims:
    label_of = {row["category"]: row["label"] for row in result["categories"]}
    best = table.guesses[:, 0]
    for pair in result["confused"]:
        first, second = (label_of[name] for name in pair["categories"])
        for key, label, guess in (
            ("first_as_second", first, second),
            ("second_as_first", second, first),
        ):
            num = int(((table.labels == label) & (best == guess)).sum())
            yield f"confused.{key}", pair[key], num


def _interval(name: str, claimed: Sequence[float], hits: int, num: int) -> Claims:
    for end, told, counted in zip(("low", "high"), claimed, wilson(hits, num), strict=True):
        yield f"{name}.{end}", told, counted


def _calibration(
    result: Mapping[str, Any], table: PictureTable, confidence: npt.NDArray[np.float64]
) -> Claims:
    bins, sure = result["reliability"], confidence.astype(np.float32)
    number_of = np.clip(np.ceil(sure * np.float32(len(bins))), 1, len(bins)) - 1
    gap = 0.0
    for number, row in enumerate(bins):
        mine, name = number_of == number, f"reliability.{number}"
        yield f"{name}.num_images", row["num_images"], int(mine.sum())
        if mine.any():
            right, claimed = table.is_right[mine], row["mean_confidence"]
            yield f"{name}.accuracy", row["accuracy"], float(right.mean())
            if "accuracy_interval" in row:
                interval = row["accuracy_interval"]
                yield from _interval(
                    f"{name}.accuracy_interval", interval, int(right.sum()), len(right)
                )
            yield f"{name}.mean_confidence", claimed, float(confidence[mine].mean())
            gap += abs(float(confidence[mine].sum()) - int(right.sum()))
    claimed = result["scores"]["calibration_error"]
    yield "scores.calibration_error", claimed, gap / len(table.labels)
