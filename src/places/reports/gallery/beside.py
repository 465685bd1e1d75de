"""The page that belongs to a table of predictions: its name, and what it says of its network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from places.reports.gallery.gallery import Gallery

_NAME = "gallery.html"


def gallery_beside(table: Path, made_by: Mapping[str, Any], default_name: str) -> Gallery:
    """Return the page of a table, which lies beside it.

    Args:
        table: The table.
        made_by: The settings that made it, see `PredictionState`; empty if they are not known.
        default_name: Name of the table if nobody asked for another. Another one is a part of the
            name of the page, so that several tables in a folder have a page each.
    """
    name = _NAME if table.name == default_name else f"{table.name}.{_NAME}"
    weights = made_by.get("weights") or {}
    checkpoint = weights.get("file") or ("random weights" if "random" in weights else "")
    return Gallery(table.with_name(name), _network(made_by), checkpoint, table)


def _network(made_by: Mapping[str, Any]) -> str:
    """Return the name of a network as people write it, such as "ResNet-50"."""
    name = str(made_by.get("--model.net") or "").rpartition(".")[2]
    depth = made_by.get("--model.net.depth")
    return f"{name}-{depth}" if name and depth else name
