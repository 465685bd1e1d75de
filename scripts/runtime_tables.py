"""Write the measured parts of docs/runtime.md and README.md anew, from the files in docs/measured.

    python scripts/runtime_tables.py            # after scripts/benchmarks/study_cpu.sh
    python scripts/runtime_tables.py --check    # only tell whether they are up to date

Each file there is what `places bench networks --file` wrote; what is not there has no section.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from places.console import counted
from places.reports.figures import save_figure
from places.reports.networks_file import read_networks
from places.reports.networks_layers import layers_figure, roofline_figure
from places.reports.networks_section import TextTable, networks_section

ROOT = Path(__file__).parents[1]
MEASURED, PICTURES = ROOT / "docs" / "measured", ROOT / "docs" / "pictures"
BEGIN, END = "<!-- measured: begin, by scripts/runtime_tables.py -->", "<!-- measured: end -->"
DEVICES = {
    "On a processor": ("variants-cpu", "ways-cpu"),
    "On a GPU": (
        "networks-gpu",
        "networks-gpu-compiled",
        "inference-gpu",
        "training-gpu",
        "compiled-gpu",
    ),
}
WORKS = ("inference", "training")
RESNET, VGG = "resnet50", "vgg16_bn"
NAMES = {RESNET: "ResNet-50", VGG: "VGG-16 with batch norm"}
BUSY = 0.5  # of the cores: load before the measurement from which on a machine may be shared
PAID, LOST = 1.05, 0.95


def main() -> int:
    """Write or check, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    is_check = parser.parse_args().check
    files = {path.stem: read_networks(path) for path in sorted(MEASURED.glob("*.json"))}
    texts = {
        ROOT / "docs" / "runtime.md": "\n".join(_document(files)),
        ROOT / "README.md": "\n".join(_readme(files)),
    }
    stale = [path for path, text in texts.items() if _replaced(path, text) != path.read_text()]
    if is_check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale:  python scripts/runtime_tables.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(_replaced(path, texts[path]))
    for name, content in files.items():
        _draw(name, content)
    return 0


def _replaced(path: Path, text: str) -> str:
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path} has no lines {BEGIN} and {END}")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def _draw(name: str, content: Mapping[str, Any]) -> None:
    section = networks_section(content)
    figures = {f"{name}.png": section.figure}
    for work in WORKS if _has_pictures_of_layers(name) else ():
        figures[f"{name}-layers-{work}.png"] = layers_figure(content, work)
        figures[f"{name}-roof-{work}.png"] = roofline_figure(content, work)
    for file, figure in figures.items():
        if figure is not None:
            save_figure(figure, PICTURES / file)


def _has_pictures_of_layers(name: str) -> bool:
    return not ("ways" in name or "compiled" in name)  # of networks that others show


def _document(files: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for title, names in DEVICES.items():
        present = [name for name in names if name in files]
        if not present:
            continue
        yield f"## {title}: {_device(files[present[0]])}\n"
        for name in present:
            if answers := list(_answers(files[name])):
                yield f"{_circumstances(files[name])}:\n"
                yield "\n".join(f"- {sentence}" for sentence in answers) + "\n"
        yield f"\n![pictures per second against parameters](pictures/{present[0]}.png)\n"
        yield "Hollow: the plain network. Filled: the way that was the fastest for it.\n"
        yield "### Which ways paid\n"
        yield "How many times as fast as the plain network in the same turn (network, batch):\n"
        yield _markdown(_ways_table([files[name] for name in present]))
        for name in present:
            yield from _tables(name, files[name])


def _tables(name: str, content: Mapping[str, Any]) -> Iterator[str]:
    section = networks_section(content)
    networks = ", ".join(network["name"] for network in content["networks"])
    yield f"### Measured: {networks}\n"
    yield from _warning([content])
    for table in section.tables:
        yield f"{table.title[0].upper()}{table.title[1:]}:\n"
        yield _markdown(table)
    for work in WORKS if _has_pictures_of_layers(name) else ():
        if layers_figure(content, work) is not None:
            yield f"![where the time goes in {work}](pictures/{name}-layers-{work}.png)"
            yield f"![the roof in {work}](pictures/{name}-roof-{work}.png)\n"
    yield "\n".join(f"- {fact}" for fact in section.facts)
    yield f"- all numbers: [measured/{name}.json](measured/{name}.json)\n"


def _warning(contents: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    hardware = [content["hardware"] for content in contents]
    busy = [
        h for h in hardware if h["device"] == "cpu" and h["load_before"] > BUSY * h["num_cores"]
    ]
    if busy:
        load = max(h["load_before"] for h in busy)
        yield "!!! warning"
        yield (
            f"    When this began there was a load of {load:.1f} on {busy[0]['num_cores']} cores. "
            "If what made it went on, speeds are below those of a quiet machine; ratios are of the "
            "same turns. To measure anew:  `scripts/benchmarks/study_cpu.sh`\n"
        )


def _circumstances(content: Mapping[str, Any]) -> str:
    """Return how something was measured, as the beginning of a sentence."""
    hardware, networks = content["hardware"], counted(len(content["networks"]), "network")
    threads = counted(hardware["num_threads"], "thread")
    where = f"On {threads}" if hardware["device"] == "cpu" else "On the card"
    busy = ", after other work on the machine" if list(_warning([content])) else ""
    return f"{where}, {networks}{busy}"


def _answers(content: Mapping[str, Any]) -> Iterator[str]:
    """Return in sentences how ResNet-50 and VGG-16 compare, and which variants are faster."""
    costs = {network["name"]: network for network in content["networks"]}
    for work in WORKS:
        plain, best = _rows(content, work, "eager"), _best(content, work)
        if not {RESNET, VGG} <= set(plain):
            continue
        here, there = plain[RESNET], plain[VGG]
        verb = "classifies" if work == "inference" else "trains on"
        operations = costs[VGG]["multiply_adds"] / costs[RESNET]["multiply_adds"]
        yield (
            f"Plain {NAMES[RESNET]} {verb} {_short(_speed(here))} pictures a second in batches of "
            f"{here['batch_size']}, plain {NAMES[VGG]} {_short(_speed(there))}: "
            f"ResNet-50 is {_spread(_ratio(here, there))} times as fast in the same turn; VGG-16 "
            f"has {operations:.1f} times the multiply-adds."
        )
        yield (
            f"In the fastest way of each it is {_short(_speed(best[RESNET]))} "
            f"(`{best[RESNET]['way']}`) against {_short(_speed(best[VGG]))} (`{best[VGG]['way']}`)."
        )
        ratios = {name: _ratio(row, best[RESNET]) for name, row in best.items()}
        order = sorted(ratios.items(), key=lambda pair: -pair[1][0])
        ranks = "; ".join(f"{name} {_spread(ratio)}" for name, ratio in order if name != RESNET)
        yield (
            f"Speed in {work}, each in its fastest way, as a multiple of ResNet-50's in the same "
            f"turn (least to most): {ranks}."
        )


def _readme(files: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    found = [files[name] for name in DEVICES["On a processor"] if name in files]
    if not found:
        return
    content = min(found, key=lambda content: len(list(_warning([content]))))  # a quiet one, if any
    yield "![pictures per second against parameters](docs/pictures/variants-cpu.png)\n"
    yield from (sentence for sentence in _answers(content) if sentence.startswith("Plain"))
    conv = []
    for network in content["networks"]:
        if network["name"] == RESNET:
            rows = network["layers"]["training"]["rows"]
            conv = [f"{row['share']:.0%}" for row in rows if row["kind"] == "conv"]
    busy = "; the machine was busy" if list(_warning([content])) else ""
    yield (
        f"Of a training step of ResNet-50 convolutions take {conv[0]}; what that means for the "
        f"ways of running it is on the page [Runtime](docs/runtime.md) ({_device(content)}{busy})."
    )


def _ways_table(contents: Sequence[Mapping[str, Any]]) -> TextTable:
    """Return for each way how many times as fast as plain networks it was."""
    measured = [row for content in contents for row in content["rows"] if row["against_eager"]]
    keys = dict.fromkeys((row["work"], row["way"]) for row in measured if row["way"] != "eager")
    rows = []
    for work, way in keys:
        same = [row for row in measured if (row["work"], row["way"]) == (work, way)]
        ratios = sorted(same, key=lambda row: row["against_eager"]["median"])
        low, high = ratios[0], ratios[-1]
        median = statistics.median(row["against_eager"]["median"] for row in same)
        rows.append((work, f"`{way}`", f"{median:.2f}", _case(low), _case(high), _verdict(same)))
    columns = ("work", "way", "median", "least", "most", "paid")
    return TextTable("times as fast as the plain network", columns, rows, frozenset({2}))


def _case(row: Mapping[str, Any]) -> str:
    return f"{row['against_eager']['median']:.2f} ({row['network']}, {row['batch_size']})"


def _verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    paid = sum(row["against_eager"]["lower"] > PAID for row in rows)
    lost = sum(row["against_eager"]["upper"] < LOST for row in rows)
    if paid == len(rows):
        return "yes"
    if lost == len(rows):
        return "no, slower"
    return f"in {paid} of {len(rows)}, slower in {lost}"


def _rows(content: Mapping[str, Any], work: str, way: str) -> dict[str, Mapping[str, Any]]:
    """Return the rows of a way at the largest batch, by network."""
    measured = [row for row in content["rows"] if row["work"] == work and row["images_per_s"]]
    largest = max((row["batch_size"] for row in measured), default=0)
    found = [row for row in measured if row["batch_size"] == largest and row["way"] == way]
    return {row["network"]: row for row in found}


def _best(content: Mapping[str, Any], work: str) -> dict[str, Mapping[str, Any]]:
    best: dict[str, Mapping[str, Any]] = {}
    for way in dict.fromkeys(row["way"] for row in content["rows"]):
        for network, row in _rows(content, work, way).items():
            if network not in best or _speed(row) > _speed(best[network]):
                best[network] = row
    return best


def _speed(row: Mapping[str, Any]) -> float:
    return float(row["images_per_s"]["median"])


def _short(value: float) -> str:
    return f"{value:,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def _ratio(row: Mapping[str, Any], base: Mapping[str, Any]) -> tuple[float, float, float]:
    """Return how many times as fast one is in the same turn: median, least, most."""
    pairs = zip(row["images_per_s"]["turns"], base["images_per_s"]["turns"], strict=True)
    ratios = [here / there for here, there in pairs]
    return statistics.median(ratios), min(ratios), max(ratios)


def _spread(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:.2f} ({ratio[1]:.2f} to {ratio[2]:.2f})"


def _device(content: Mapping[str, Any]) -> str:
    hardware = content["hardware"]
    if hardware["device"] == "cpu":
        return f"{hardware['cpu']}, {counted(hardware['num_cores'], 'core')}"
    return str(hardware["device"])


def _markdown(table: TextTable) -> str:
    lines = [
        f"| {' | '.join(column.strip() for column in table.columns)} |",
        f"|{'|'.join('--:' if n in table.numbers else '---' for n in range(len(table.columns)))}|",
    ]
    for row in table.rows:
        cells = (cell.replace("|", "\\|").replace("*", "\\*").replace("<", "&lt;") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
