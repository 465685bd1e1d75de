"""The page that belongs to a table of predictions: its name, and what it says of its network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from places.reports.gallery.gallery import Gallery
from places.reports.network_name import network_name

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
    way = "--model.net."
    arguments = {key[len(way) :]: x for key, x in made_by.items() if key.startswith(way)}
    return network_name(made_by.get("--model.net"), arguments)
