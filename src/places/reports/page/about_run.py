"""What was run, in words: config, command, hashes, versions, time and memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from places.config.compare import value_text
from places.config.recipes import as_typed, flatten
from places.console import printable, size_in_words
from places.reports.figures import times_figure
from places.reports.network_name import network_name
from places.reports.run_facts import RunFacts
from places.reports.svg import as_svg

_MAX_VALUE = 300  # characters
_MAX_SETTINGS = 1000  # ours are some 150
# Quotes are needed around words with other signs.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+@%")
PART_NAMES = {
    "waiting": "waiting for data",
    "forward": "forward",
    "backward": "backward",
    "optimizer": "optimizer",
    "validation": "validation",
    "checkpoints": "checkpoints",
    "other": "everything else",
}


def command_line(words: Sequence[str]) -> str:
    """Return a command line as one can paste it into a shell."""
    return " ".join(
        word if word and {*word} <= _PLAIN else "'" + word.replace("'", "'\\''") + "'"
        for word in words
    )


def config_rows(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the settings of a config as (key, value) texts."""
    return [
        (printable(as_typed(key))[:_MAX_VALUE], printable(value_text(key, value))[:_MAX_VALUE])
        for key, value in list(flatten(config).items())[:_MAX_SETTINGS]
    ]


def network_of(config: Mapping[str, Any] | None) -> str:
    """Return the network of a config as people write it, such as "ResNet-50"."""
    net = _part(config, "model", "init_args", "net")
    if isinstance(net, Mapping):
        return network_name(net.get("class_path"), net.get("init_args"))
    return network_name(net)


def time_rows(times_s: Mapping[str, float]) -> list[tuple[str, str, str]]:
    """Return where the time of a run went: part, time and share, in words."""
    whole_s = sum(times_s.values())
    return [
        (PART_NAMES.get(part, part), duration(value), f"{value / whole_s:.1%}")
        for part, value in times_s.items()
        if whole_s > 0
    ]


def times_svg(runs: Mapping[str, Mapping[str, float]]) -> str:
    """Return a drawing of where the time of runs went; empty if none tells."""
    # All in one order, so that a part has one colour.
    parts = ordered(dict.fromkeys((part for times_s in runs.values() for part in times_s), 0.0))
    named = {
        run: {PART_NAMES.get(part, part): times_s.get(part, 0.0) for part in parts}
        for run, times_s in runs.items()
        if times_s
    }
    words = "; ".join(
        f"{run}: " + ", ".join(f"{part} {share}" for part, _, share in time_rows(times))
        for run, times in named.items()
    )
    return (
        as_svg(times_figure(named), "plot-times", f"where the time went: {words}") if named else ""
    )


def ordered(times_s: Mapping[str, float]) -> dict[str, float]:
    """Return times in the order in which the parts of a step follow each other."""
    known = {part: times_s[part] for part in PART_NAMES if part in times_s}
    return known | dict(times_s)


def duration(seconds: float) -> str:
    """Return a time in words, such as "3 min 20 s"."""
    if seconds < 10:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def day_of(moment: str) -> str:
    """Return a moment in ISO 8601 as people write it; as it is if it is none."""
    try:
        time = datetime.fromisoformat(moment)
    except ValueError:
        return moment[:40]
    return f"{time.day} {time:%B %Y, %H:%M} {time.tzname() or ''}".strip()


def fact_tables(facts: RunFacts) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return what else is to know of a run, as tables: title, and (name, value) rows."""
    result = facts.result or {}
    data = result.get("data") if isinstance(result.get("data"), dict) else facts.data
    weights = result.get("checkpoint")
    hashes = [
        ("settings that change results", result.get("config_hash")),
        ("weights", _part(weights, "sha256")),
        ("scores of pictures", _part(result.get("pictures"), "sha256")),
        ("source files", facts.code.get("source_sha256")),
        ("commit", facts.code.get("revision")),
        *((f"recipe {path}", digest) for path, digest in facts.recipes),
    ]
    tables = [
        ("Data", _rows(data)),
        ("Protocol", _rows(result.get("protocol"))),
        ("Hashes", [(name, _text(value)) for name, value in hashes if value]),
        ("Weights", [("file", _text(_part(weights, "path")))] if weights else []),
        ("Hardware", _rows(facts.hardware)),
        ("Versions", _rows(facts.versions)),
        (
            "Memory, at most",
            [(name, size_in_words(num)) for name, num in facts.memory_bytes.items()],
        ),
        ("Cost", _cost(result, facts)),
    ]
    return [(title, rows) for title, rows in tables if rows]


def _cost(result: Mapping[str, Any], facts: RunFacts) -> list[tuple[str, str]]:
    rows = []
    if facts.times_s:
        rows.append(("whole run", duration(sum(facts.times_s.values()))))
    cost, training = result.get("cost"), result.get("training")
    for name, way in (("test", "test_seconds"), ("pictures per second", "images_per_second")):
        if isinstance(value := _part(cost, way), int | float):
            rows.append((name, duration(value) if name == "test" else f"{value:,.1f}"))
    for name, way in (("pictures seen in training", "num_images_seen"), ("steps", "num_steps")):
        if isinstance(value := _part(training, way), int):
            rows.append((name, f"{value:,}"))
    rows.append(("files of the run", size_in_words(facts.size_bytes)))
    return rows


def _rows(found: object) -> list[tuple[str, str]]:
    pairs = list(found.items())[:100] if isinstance(found, dict) else []
    return [
        (printable(str(name)).replace("_", " ")[:80], _text(value))
        for name, value in pairs
        if isinstance(value, str | int | float)
    ]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) and value.isdecimal() and 4 < len(value) < 16:
        value = int(value)
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return printable(text)[:_MAX_VALUE]


def _part(content: object, *way: str) -> Any:  # noqa: ANN401  # of what was read
    for key in way:
        content = content.get(key) if isinstance(content, dict) else None
    return content
