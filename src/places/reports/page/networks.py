"""What `places bench networks` measured, as a part of a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from places.reports.networks_section import TextTable, networks_section
from places.reports.svg import as_svg


@dataclass(frozen=True)
class ShownNetworks:
    """The costs of networks.

    Attributes:
        tables: Tables of text.
        facts: How they were measured, lines of text.
        svg: Speed against parameters; empty if nothing was measured.
    """

    tables: list[TextTable]
    facts: list[str]
    svg: str


def shown_networks(content: Mapping[str, Any]) -> ShownNetworks:
    """Return what a page shows of a file of `places bench networks`."""
    section = networks_section(content)
    words = "pictures per second by millions of parameters; the tables below have all numbers"
    svg = "" if section.figure is None else as_svg(section.figure, "plot-networks", words)
    return ShownNetworks(section.tables, section.facts, svg)
