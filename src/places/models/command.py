"""`places models`: the networks that a recipe can name, and what each costs."""

import json
from collections.abc import Sequence
from typing import Any, Literal

import torch
from rich.table import Table

from places.config.ranges import check_range
from places.console import put
from places.models.cost import cost_of
from places.models.listing import NETWORKS, Network

_COLUMNS = ("name", "parameters", "folded", "multiply-adds", "weights", "paper", "net")
_NUMBERS = _COLUMNS[1:4]
_LARGEST = 100_000


def models(
    format: Literal["table", "markdown", "json"] = "table",
    num_classes: int = 365,
    image_size: int = 224,
) -> int:
    """List the networks of places: what each costs, where weights are published, its paper.

    Parameters are given as trained and, where another number is left, folded, as predict uses them.
    Multiply-adds are those of one picture. Any other class of a network works too:
    --model.net torchvision.models.convnext_tiny

    Args:
        format: "table" for the terminal, "markdown" or "json", which holds exact numbers.
        num_classes: Number of categories.
        image_size: Height and width of the picture in pixels.
    """
    check_range("num_classes", num_classes, 1, _LARGEST)
    check_range("image_size", image_size, 63, _LARGEST)  # AlexNet takes no smaller ones
    rows = [_row(name, network, num_classes, image_size) for name, network in NETWORKS.items()]
    if format == "json":
        put(json.dumps(rows, indent=2))
    elif format == "markdown":
        put(as_markdown(rows))
    else:
        put(_terminal_table(rows))
    return 0


def _row(name: str, network: Network, num_classes: int, image_size: int) -> dict[str, Any]:
    with torch.device("meta"):  # shapes without numbers
        cost = cost_of(network.build(num_classes), image_size)
    return {
        "name": name,
        "class_path": network.class_path,
        "init_args": dict(network.init_args),
        "parameters": cost.parameters,
        "folded_parameters": cost.folded_parameters,
        "multiply_adds": cost.multiply_adds,
        "weights": list(network.weights),
        "paper": network.paper,
    }


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Return the table as GitHub's Markdown."""
    ruler = ["---:" if name in _NUMBERS else "---" for name in _COLUMNS]
    lines = [_COLUMNS, ruler, *((*_cells(row)[:-1], f"`{_cells(row)[-1]}`") for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _terminal_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table()
    for name in _COLUMNS:
        is_number = name in _NUMBERS
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=is_number or name == "name",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    parameters, folded = (f"{row[key] / 1e6:.1f} M" for key in ("parameters", "folded_parameters"))
    arguments = ", ".join(f"{key}: {_in_yaml(value)}" for key, value in row["init_args"].items())
    bare = row["class_path"].rpartition(".")[2]
    return (
        row["name"],
        parameters,
        "" if folded == parameters else folded,
        f"{row['multiply_adds'] / 1e9:.2f} G",
        ", ".join(row["weights"]),
        row["paper"],
        f"{bare} {{{arguments}}}" if arguments else bare,
    )


def _in_yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
