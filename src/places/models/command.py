"""`places models`: the networks that a recipe can name, and what each costs."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

from rich.table import Table

from places.config.ranges import check_range
from places.console import put
from places.models.cost import cost_of_named
from places.models.listing import NETWORKS, Network

_COLUMNS = ("name", "parameters", "multiply-adds", "weights", "paper", "net")
_NUMBERS = _COLUMNS[1:3]
_PARAMETERS = ("parameters", "folded_parameters")
_MULTIPLY_ADDS = ("multiply_adds", "folded_multiply_adds")
_LARGEST = 100_000


def models(
    format: Literal["table", "markdown", "json"] = "table",
    num_classes: int = 365,
    image_size: int = 224,
) -> int:
    """List the networks of places: what each costs, where weights are published, its paper.

    Parameters and multiply-adds of one picture are those of training and, where fewer are left,
    those of the folded network, as predict uses it. Papers are numbers of arXiv. What a recipe says
    of each network, such as "ResNet {depth: 50, resnet_d: true}", stands in the other two formats.

    Args:
        format: "table" for the terminal, "markdown" or "json", which holds exact numbers.
        num_classes: Number of categories.
        image_size: Height and width of the picture in pixels.
    """
    check_range("`num_classes`", num_classes, 1, _LARGEST)
    check_range("`image_size`", image_size, 63, _LARGEST)  # AlexNet takes no smaller ones
    rows = [_row(name, network, num_classes, image_size) for name, network in NETWORKS.items()]
    if format == "json":
        put(json.dumps(rows, indent=2))
    elif format == "markdown":
        put(_markdown(rows))
    else:
        put(_terminal_table(rows))
    return 0


def _row(name: str, network: Network, num_classes: int, image_size: int) -> dict[str, Any]:
    return {
        "name": name,
        "class_path": network.class_path,
        "init_args": dict(network.init_args),
        **cost_of_named(name, num_classes, image_size)._asdict(),
        "weights": list(network.weights),
        "paper": network.paper,
    }


def _markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table as GitHub's Markdown."""
    ruler = ["---:" if name in _NUMBERS else "---" for name in _COLUMNS]
    lines = [_COLUMNS, ruler, *((*_cells(row)[:-1], f"`{_cells(row)[-1]}`") for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _terminal_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return a table that fits 80 columns."""
    table = Table(box=None, pad_edge=False)
    for name in ("name", "para-\nmeters", "folded", "multiply-\nadds", "weights", "paper"):
        is_number = name not in ("name", "weights", "paper")
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        parameters, folded = (f"{row[key] / 1e6:.1f} M" for key in _PARAMETERS)
        table.add_row(
            row["name"],
            parameters,
            folded if _is_less(row, *_PARAMETERS) else "",
            f"{row['multiply_adds'] / 1e9:.2f} G",
            " ".join(row["weights"]),
            row["paper"].rpartition(" ")[2],
        )
    return table


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    arguments = ", ".join(f"{key}: {_in_yaml(value)}" for key, value in row["init_args"].items())
    bare = row["class_path"].rpartition(".")[2]
    return (
        row["name"],
        _both(row, *_PARAMETERS, lambda number: f"{number / 1e6:.1f} M"),
        _both(row, *_MULTIPLY_ADDS, lambda number: f"{number / 1e9:.2f} G"),
        ", ".join(row["weights"]),
        row["paper"],
        f"{bare} {{{arguments}}}" if arguments else bare,
    )


def _both(row: dict[str, Any], trained: str, folded: str, shown: Callable[[int], str]) -> str:
    number = shown(row[trained])
    if not _is_less(row, trained, folded):
        return number
    return f"{number}, folded {shown(row[folded])}"


def _is_less(row: dict[str, Any], trained: str, folded: str) -> bool:
    """Tell whether folding leaves less than 99 %: batch norms alone are hardly anything."""
    return bool(row[folded] < 0.99 * row[trained])


def _in_yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
