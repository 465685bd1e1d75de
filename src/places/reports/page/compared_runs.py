"""What the page of several runs shows: each beside the others, the first one as the measure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from places.config.compare import compare, value_text
from places.config.recipes import as_typed, flatten
from places.console import printable
from places.reports.page import about_run
from places.reports.page.attempts import Attempts
from places.reports.page.networks import shown_networks
from places.reports.page.panels import panels_of_runs
from places.reports.page.related_runs import training_of, with_earlier
from places.reports.page.scores import CategoryRow, Score, categories_in, scores_in
from places.reports.run_facts import RunFacts
from places.training.intervals import CONFIDENCE, paired_test

_MAX_VALUE = 200  # characters
_NUM_CATEGORIES = 12
_MAX_SETTINGS = 500


@dataclass(frozen=True)
class Difference:
    """How the score of a run differs from that of the first one.

    Attributes:
        points: By how many percentage points, in words.
        verdict: Whether that is more than chance.
        how: How that was found out.
    """

    points: str
    verdict: str
    how: str


def context_of_several(
    runs: Sequence[RunFacts], networks: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return what the template of the page of several runs takes.

    Args:
        runs: What they tell.
        networks: What `places bench networks` measured, if that is to be shown.
    """
    attempts = Attempts()
    names = _names(runs)
    trainings = [run if run.stage == "fit" else training_of(run) or run for run in runs]
    curves = {name: with_earlier(run).curves for name, run in zip(names, trainings, strict=True)}
    times = {name: run.times_s for name, run in zip(names, trainings, strict=True)}
    panels = attempts.part("The curves", lambda: panels_of_runs(curves)) or []
    tested = [run.result or run.validation for run in runs]
    notes = [f"{name}: {note}" for name, run in zip(names, runs, strict=True) for note in run.notes]
    comparable = _why_not_comparable(runs)
    return {
        "title": " and ".join(names) if len(names) == 2 else f"{len(names)} runs",
        "names": names,
        "runs": runs,
        "networks": [about_run.network_of(run.config) for run in runs],
        "days": [about_run.day_of(run.started) for run in runs],
        "commands": [about_run.command_line(run.command) for run in runs],
        "panels": panels,
        "plots": [panel.data for panel in panels],
        "score_rows": attempts.part("The scores", lambda: _score_rows(runs)) or [],
        "has_scores": any(tested),
        "differences": attempts.part("The differences", lambda: _differences(runs)) or [],
        "why_not": comparable,
        "categories": None
        if comparable
        else attempts.part("The categories", lambda: _category_changes(runs)),
        "config_rows": attempts.part("The configs", lambda: _config_rows(runs)),
        "times": attempts.part("Where the time went", lambda: about_run.times_svg(times)),
        "networks_section": networks
        and attempts.part("The costs of networks", lambda: shown_networks(networks)),
        "notes": [*notes, *attempts.notes],
    }


def _names(runs: Sequence[RunFacts]) -> list[str]:
    """Return a name for each run: recipe and number, or the whole folder where these are alike."""
    short = [run.name for run in runs]
    return [
        name if short.count(name) == 1 else printable(str(run.folder))
        for name, run in zip(short, runs, strict=True)
    ]


def _score_rows(runs: Sequence[RunFacts]) -> list[tuple[str, list[Score | None]]]:
    """Return for each score what it is called, and that of each run."""
    tables: list[dict[str, Score]] = []
    for run in runs:
        content = run.result or run.validation
        tables.append({} if content is None else {s.name: s for s in scores_in(content)})
    labels = {name: score.label for table in tables for name, score in table.items()}
    return [(label, [table.get(name) for table in tables]) for name, label in labels.items()]


def _why_not_comparable(runs: Sequence[RunFacts]) -> str:
    """Return why scores of these runs may not be compared; empty if they may."""
    contents = [run.result or run.validation for run in runs]
    if not all(contents):
        return "not every run has scores"
    digests = {str((content or {}).get("data", {}).get("manifest_digest")) for content in contents}
    if len(digests) > 1:
        return "they were scored on different pictures, so their scores cannot be compared"
    if len({run.result is None for run in runs}) > 1:
        return "some were scored by a test, others by a validation"
    protocols = [str((content or {}).get("protocol")) for content in contents]
    if len({*protocols}) > 1:
        return "they were scored by different protocols, so their scores cannot be compared"
    return ""


def _differences(runs: Sequence[RunFacts]) -> list[Difference | None]:
    """Return for each run how its top-1 accuracy differs from that of the first one."""
    if _why_not_comparable(runs):
        return []
    return [None, *(_difference(runs[0], run) for run in runs[1:])]


def _difference(first: RunFacts, other: RunFacts) -> Difference:
    one, two = (
        next(s for s in scores_in(run.result or run.validation or {}) if s.name == "top1")
        for run in (first, other)
    )
    points = f"{100 * (two.value - one.value):+.2f} points"
    better = "better" if two.value > one.value else "worse"
    if first.pictures is not None and other.pictures is not None:
        hits, others = first.pictures.by_key(), other.pictures.by_key()
        if hits.keys() == others.keys():
            only_first = sum(hits[key] and not others[key] for key in hits)
            only_other = sum(others[key] and not hits[key] for key in hits)
            chance = paired_test(only_first, only_other)
            how = (
                f"McNemar's paired test: p = {chance:.3g}; {only_other:,} pictures right only in "
                f"this run, {only_first:,} only in the first"
            )
            is_real = chance < 1 - CONFIDENCE
            return Difference(points, better if is_real else "not told apart", how)
    if one.interval is None or two.interval is None:
        return Difference(points, "not known", "it has no interval")
    apart = one.interval[0] > two.interval[1] or two.interval[0] > one.interval[1]
    how = "the 95 % intervals do not overlap" if apart else "the 95 % intervals overlap"
    return Difference(points, better if apart else "not told apart", how)


def _category_changes(runs: Sequence[RunFacts]) -> list[tuple[str, list[CategoryRow], str]]:
    """Return the categories that differ most between two runs: name, both rows, difference."""
    if len(runs) != 2:
        return []
    one, two = ({row.name: row for row in categories_in(_content(run))} for run in runs)
    both = [name for name in one if name in two]
    change = np.array([two[name].top1 - one[name].top1 for name in both])
    order = np.argsort(-np.abs(change), kind="stable")[:_NUM_CATEGORIES].tolist()
    return [
        (both[n], [one[both[n]], two[both[n]]], f"{100 * change[n]:+.1f}")
        for n in order
        if change[n]
    ]


def _content(run: RunFacts) -> dict[str, Any]:
    return run.result or run.validation or {}


def _config_rows(runs: Sequence[RunFacts]) -> list[tuple[str, list[str]]]:
    """Return the settings in which the configs differ, with the value of each run."""
    configs = [run.config or {} for run in runs]
    keys: dict[str, None] = {}
    for other in configs[1:]:
        keys |= dict.fromkeys(compare(configs[0], other))
    flat = [flatten(config) for config in configs]
    return [
        (
            printable(as_typed(key))[:_MAX_VALUE],
            [printable(value_text(key, c[key]))[:_MAX_VALUE] if key in c else "-" for c in flat],
        )
        for key in list(keys)[:_MAX_SETTINGS]
    ]
