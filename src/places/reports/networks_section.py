"""What `places bench networks` measured, as tables of text: for terminals, pages and docs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from matplotlib.figure import Figure

from places.console import counted
from places.reports.networks_figure import networks_figure

BOUND_BY_MEMORY = "*"


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are text as it is shown; whoever shows it escapes it.

    Attributes:
        title: What is in it.
        columns: Their heads.
        rows: As many cells as there are columns.
        numbers: The columns, from 0, that are set to the right.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    numbers: frozenset[int] = field(default_factory=frozenset)


@dataclass(frozen=True)
class NetworksSection:
    """What is shown of a study.

    Attributes:
        tables: Networks; speeds, one table for each kind of work and batch size; layers.
        facts: Lines of text: the machine, how it was measured, what else is to know.
        figure: Pictures per second against parameters, or `None` if nothing was measured.
    """

    tables: list[TextTable]
    facts: list[str]
    figure: Figure | None


def networks_section(content: Mapping[str, Any]) -> NetworksSection:
    """Return what is shown of a study.

    Args:
        content: Of the file, see `places.reports.networks_file`.
    """
    tables = [_network_table(content), *_speed_tables(content), *_layer_tables(content)]
    return NetworksSection(tables, _facts(content), networks_figure(content))


def _network_table(content: Mapping[str, Any]) -> TextTable:
    rows: list[tuple[str, ...]] = [
        (
            network["name"],
            _millions(network["parameters"]),
            _millions(network["folded_parameters"]),
            _billions(network["multiply_adds"]),
            _billions(network["folded_multiply_adds"]),
            network["reason"] or network["paper"] or "",
        )
        for network in content["networks"]
    ]
    columns = ("network", "parameters", "folded", "multiply-adds", "folded ", "paper")
    title = "networks, multiply-adds of one picture"
    return TextTable(title, columns, rows, frozenset({1, 2, 3, 4}))


def _speed_tables(content: Mapping[str, Any]) -> list[TextTable]:
    order = sorted(content["rows"], key=lambda row: (row["work"], row["batch_size"]))
    tables = []
    for (work, size), group in groupby(order, key=lambda row: (row["work"], row["batch_size"])):
        rows = list(group)
        has_energy = any(row["joules_per_image"] for row in rows)
        columns = ["network", "way", "pictures/s", "quartiles", "of eager", "quartiles "]
        columns += ["p50 ms", "p95", "p99", "batches", "memory MB"]
        columns += ["J/picture"] if has_energy else []
        cells = [_speed_row(row, has_energy) for row in rows]
        numbers = frozenset(range(2, len(columns)))
        tables.append(TextTable(f"{work}, batches of {size}", tuple(columns), cells, numbers))
    return tables


def _speed_row(row: Mapping[str, Any], has_energy: bool) -> tuple[str, ...]:
    start = (row["network"], row["way"])
    if row["images_per_s"] is None:
        end = ("",) * (8 + has_energy)
        return (*start, row["reason"] or "not measured", *end)
    speed, ratio = row["images_per_s"], row["against_eager"]
    memory = row["peak_memory_bytes"]
    cells = (
        _short(speed["median"]),
        f"{_short(speed['lower'])} to {_short(speed['upper'])}",
        f"{ratio['median']:.2f}" if ratio else "",
        f"{ratio['lower']:.2f} to {ratio['upper']:.2f}" if ratio else "",
        *(_short(row["latency_ms"][name]) for name in ("p50", "p95", "p99")),
        f"{row['batches']:,}",
        "" if memory is None else f"{memory / 1e6:,.0f}",
    )
    joules = row["joules_per_image"]
    energy = (_short(joules["median"]) if joules else "",) if has_energy else ()
    return (*start, *cells, *energy)


def _layer_tables(content: Mapping[str, Any]) -> list[TextTable]:
    """Return for each kind of work the shares of time, and operations per byte."""
    tables = []
    works = list(dict.fromkeys(w for network in content["networks"] for w in network["layers"]))
    for work in works:
        layers = {x["name"]: x["layers"][work] for x in content["networks"] if work in x["layers"]}
        found = (row["kind"] for layer in layers.values() for row in layer["rows"])
        kinds = list(dict.fromkeys(found))
        if not kinds:
            continue
        numbers = frozenset(range(1, len(kinds) + 2))
        shares = [
            (name, *_cells(layer, kinds, _share), _short(sum(r["time_ms"] for r in layer["rows"])))
            for name, layer in layers.items()
            if layer["rows"]
        ]
        columns = ("network", *kinds, "ms in all")
        sizes = sorted({layer["batch_size"] for layer in layers.values() if layer["rows"]})
        batches = f"plain networks, batches of {', '.join(map(str, sizes))}"
        title = f"{work}: share of the time, {batches}"
        tables.append(TextTable(title, columns, shares, numbers))
        intensities = [
            (name, *_cells(layer, kinds, _intensity))
            for name, layer in layers.items()
            if layer["rows"]
        ]
        bound = f"{BOUND_BY_MEMORY} memory is the bound"
        title = f"{work}: operations per byte ({bound}), share of the roof"
        tables.append(TextTable(title, ("network", *kinds), intensities, numbers))
    return tables


def _cells(layer: Mapping[str, Any], kinds: Sequence[str], cell: Any) -> list[str]:  # noqa: ANN401  # a function of a row
    rows = {row["kind"]: row for row in layer["rows"]}
    return [cell(rows[kind]) if kind in rows else "" for kind in kinds]


def _share(row: Mapping[str, Any]) -> str:
    return f"{row['share']:.1%}"


def _intensity(row: Mapping[str, Any]) -> str:
    if row["flops_per_byte"] is None:
        return ""
    star = BOUND_BY_MEMORY if row["bound"] == "memory" else ""
    roof = "" if row["share_of_roof"] is None else f", {row['share_of_roof']:.0%}"
    return f"{_short(row['flops_per_byte'])}{star}{roof}"


def _facts(content: Mapping[str, Any]) -> list[str]:
    hardware, settings, roofline = content["hardware"], content["settings"], content["roofline"]
    is_cpu = hardware["device"] == "cpu"
    machine = hardware["cpu"] if is_cpu else hardware["device"]
    threads = counted(hardware["num_threads"], "thread")
    threads += f" on {counted(hardware['num_cores'], 'core')}"
    load = f"load {hardware['load_before']:.1f} before it began"
    flops, bytes_per_s = roofline["flops_per_s"], roofline["bytes_per_s"]
    peaks = ", ".join(f"{value / 1e9:,.0f} GFLOP/s in {name}" for name, value in flops.items())
    ridge = flops["float32"] / bytes_per_s
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    runs = [row["runs"] for row in content["rows"] if row["runs"]]  # fewer than asked for in time
    turns = counted(max(runs, default=0), "turn")
    return [
        f"machine: {machine}, {threads}, {load}",
        f"measured: {turns} of {settings['turn_s']:g} s of each, pictures of "
        f"{settings['image_size']} pixels, {settings['num_classes']} classes",
        f"roof: {peaks}; {bytes_per_s / 1e9:,.1f} GB/s copied; below {ridge:,.0f} operations per "
        "byte memory is the bound",
        f"energy: {hardware['energy']}",
        f"versions: {versions}",
        f"command: {content['command']}",
        f"code: {content['code']['revision'] or content['code']['source_sha256'][:12]}, "
        f"{content['created']}",
    ]


def _short(value: float) -> str:
    """Return a number with three digits or more."""
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def _millions(value: float | None) -> str:
    return "" if value is None else f"{value / 1e6:,.1f} M"


def _billions(value: float | None) -> str:
    return "" if value is None else f"{value / 1e9:,.2f} G"
