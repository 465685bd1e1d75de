"""What the page of one run shows."""

from collections.abc import Mapping
from typing import Any

from places.console import printable
from places.reports.figures import confused_figure, reliability_figure
from places.reports.page import about_run
from places.reports.page.attempts import Attempts
from places.reports.page.confusion import (
    Counts,
    block_of,
    counts_of,
    mostly_taken_for,
    names_for,
    pairs_of,
)
from places.reports.page.networks import shown_networks
from places.reports.page.panels import panels_of_run
from places.reports.page.pictures import pictures_of, strips_of
from places.reports.page.related_runs import origin_of, training_of, with_earlier
from places.reports.page.scores import categories_in, scores_in
from places.reports.page.thumbnails import Thumbnails
from places.reports.run_facts import RunFacts
from places.reports.svg import as_svg

_NUM_PAIRS = 10
_MAX_BINS = 100


def context_of_one(facts: RunFacts, networks: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what the template of the page of a run takes.

    Args:
        facts: What the run tells.
        networks: What `places bench networks` measured, if that is to be shown.
    """
    attempts = Attempts()
    training = facts if facts.stage == "fit" else training_of(facts)
    whole = training and with_earlier(training)
    content = facts.result or facts.validation
    counts = attempts.part("What was confused", lambda: counts_of(facts.pictures, facts.validation))
    panels = whole and attempts.part("The curves", lambda: panels_of_run(whole.curves))
    times = {run.name: run.times_s for run in (facts, training) if run is not None}
    context: dict[str, Any] = {
        "facts": facts,
        "training": training,
        "title": facts.name,
        "can_go_on": facts.stage == "fit"
        and (facts.folder / "checkpoints" / "last.ckpt").is_file(),
        "origin": origin_of(facts) if facts.stage == "fit" else "",
        "network": about_run.network_of(facts.config),
        "day": about_run.day_of(facts.started),
        "command": about_run.command_line(facts.command),
        "scores": content and attempts.part("The scores", lambda: scores_in(content)),
        "scored": content and attempts.part("What was scored", lambda: _scored(content)),
        "is_validation": facts.result is None,
        "panels": panels or [],
        "categories": content
        and attempts.part("The categories", lambda: _categories(content, counts)),
        "reliability": content and attempts.part("The calibration", lambda: _reliability(content)),
        "times": attempts.part("Where the time went", lambda: about_run.times_svg(times)),
        "time_rows": about_run.time_rows(about_run.ordered(facts.times_s)),
        "config": facts.config
        and attempts.part("The config", lambda: about_run.config_rows(facts.config or {})),
        "tables": attempts.part("What was run", lambda: about_run.fact_tables(facts)) or [],
    }
    context["networks_section"] = networks and attempts.part(
        "The costs of networks", lambda: shown_networks(networks)
    )
    context |= _confusion(facts, counts, attempts)
    context["plots"] = [panel.data for panel in context["panels"]]
    return context | {"notes": [*facts.notes, *attempts.notes]}


def _scored(content: Mapping[str, Any]) -> str:
    data = content["data"]
    kind = "drawn pictures" if data.get("synthetic") is True else "pictures"
    split = data["split"]
    if not isinstance(split, str):
        raise TypeError("its split has no name")
    return f"{int(content['num_images']):,} {kind} of split {printable(split)[:20]}"


def _categories(content: Mapping[str, Any], counts: Counts | None) -> list[Any]:
    taken = None if counts is None else mostly_taken_for(counts, names_for(len(counts)))
    return categories_in(content, taken)


def _reliability(content: Mapping[str, Any]) -> str:
    bins = content["reliability"][:_MAX_BINS]
    words = ", ".join(
        f"{row['from']:.0%} to {row['to']:.0%} sure: {row['accuracy']:.0%} right"
        for row in bins
        if row["accuracy"] is not None
    )
    return as_svg(reliability_figure(bins), "plot-reliability", f"accuracy by confidence: {words}")


def _confusion(facts: RunFacts, counts: Counts | None, attempts: Attempts) -> dict[str, Any]:
    """Return the block, the pairs and the pictures."""
    found: dict[str, Any] = {"block": None, "pairs": [], "strips": [], "why_no_pictures": ""}
    names = names_for(0 if counts is None else len(counts))
    if counts is not None and counts.sum() > counts.trace():
        found["block"] = attempts.part("The confusion", lambda: _block(counts, names))
    elif facts.result is not None and counts is None:
        found["pairs"] = attempts.part("The pairs", lambda: _told_pairs(facts)) or []
    thumbnails = Thumbnails(facts) if facts.pictures is not None else None
    try:
        if counts is not None:
            found["pairs"] = [
                {
                    "names": (names[pair.first], names[pair.second]),
                    "counts": (pair.first_as_second, pair.second_as_first),
                    "pictures": thumbnails
                    and facts.pictures
                    and pictures_of(facts.pictures, pair, names, thumbnails),
                }
                for pair in pairs_of(counts, _NUM_PAIRS)
            ]
        if thumbnails is not None and facts.pictures is not None:
            table, source = facts.pictures, thumbnails
            strips = attempts.part("The pictures", lambda: strips_of(table, names, source))
            found["strips"] = strips or []
            found["why_no_pictures"] = thumbnails.why_not
    finally:
        if thumbnails is not None:
            thumbnails.close()
    return found


def _block(counts: Counts, names: list[str]) -> dict[str, Any]:
    labels, block = block_of(counts)
    shown = [names[label] for label in labels]
    words = f"what was taken for what, of {len(labels)} categories of the most confused pairs"
    figure = confused_figure(block, shown)
    return {
        "svg": as_svg(figure, "plot-confusion", words),
        "num": len(labels),
        "data": {"names": shown, "counts": block.tolist()},
    }


def _told_pairs(facts: RunFacts) -> list[dict[str, Any]]:
    pairs = (facts.result or {})["confused"][:_NUM_PAIRS]
    return [
        {
            "names": tuple(str(name)[:200] for name in pair["categories"][:2]),
            "counts": (int(pair["first_as_second"]), int(pair["second_as_first"])),
            "pictures": None,
        }
        for pair in pairs
    ]
