"""Figures as SVG for pages: without styles of their own, in the colours of the page.

A page allows no style but its own, so attributes are made of the styles that matplotlib writes, and
its colours become variables of the page, which knows dark screens.
"""

import io
import re
import warnings
from typing import Any
from xml.etree import ElementTree

from matplotlib import rc_context
from matplotlib.figure import Figure

from places.reports.figures import INK, LINE, SERIES, SOFT

_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
_COLOURS = {INK: "ink", SOFT: "soft", LINE: "line", "#000000": "ink", "#ffffff": "card"} | {
    colour: f"series-{number}" for number, colour in enumerate(SERIES)
}
_KEPT = re.compile(r"(curve|cell)-[\d-]+")
_REFERENCE = re.compile(r"url\(#(.+?)\)")
_POINTS_PER_INCH = 72


def as_svg(figure: Figure, name: str, label: str) -> str:
    """Return a figure as an SVG element for a page.

    Args:
        figure: The figure, of `places.reports.figures`.
        name: What its ids begin with, to be no other's on the page.
        label: What it shows, in words, for those who do not see it.
    """
    file = io.StringIO()
    with warnings.catch_warnings():  # of signs that the font lacks: the browser has others
        warnings.simplefilter("ignore")
        figure.patch.set_visible(False)
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": "places"}):
            figure.savefig(file, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())  # our own
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        _clean(element, name)
    for size in ("width", "height"):
        root.attrib.pop(size)
    root.set("id", name)
    root.set("role", "img")
    root.set("aria-label", label)
    ElementTree.register_namespace("", "http://www.w3.org/2000/svg")
    return ElementTree.tostring(root, encoding="unicode")


def places_of(figure: Figure) -> list[dict[str, Any]]:
    """Return where the axes of a figure lie in its SVG, for scripts. To be called after `as_svg`.

    Returns:
        For each: "box" (left, top, right, bottom), "x" and "y" (the values at the ends), and "log".
    """
    width, height = figure.get_size_inches() * _POINTS_PER_INCH
    found = []
    for axes in figure.axes:
        box = axes.get_position()
        found.append(
            {
                "box": [
                    round(float(value), 2)
                    for value in (
                        box.x0 * width,
                        (1 - box.y1) * height,
                        box.x1 * width,
                        (1 - box.y0) * height,
                    )
                ],
                "x": [float(value) for value in axes.get_xlim()],
                "y": [float(value) for value in axes.get_ylim()],
                "log": axes.get_yscale() == "log",
            }
        )
    return found


def _clean(element: ElementTree.Element, name: str) -> None:
    attributes = dict(element.attrib)
    element.attrib.clear()
    for declaration in attributes.pop("style", "").split(";"):
        key, _, value = declaration.partition(":")
        attributes |= _attributes(key.strip(), value.strip())
    for key, value in attributes.items():
        key = key.replace(_XLINK, "")
        if key == "id":
            is_wanted = element.tag in (f"{_SVG}clipPath", f"{_SVG}path") or _KEPT.fullmatch(value)
            if is_wanted:
                element.set("id", f"{name}-{value}")
            elif value.startswith(("xtick", "ytick")):
                element.set("class", "tick")  # a script that zooms draws others
        elif key == "href":
            element.set("href", f"#{name}-{value.removeprefix('#')}")
        else:
            value = _REFERENCE.sub(rf"url(#{name}-\1)", value)
            colour = _COLOURS.get(value.lower())
            element.set(key, f"var(--{colour})" if colour else value)
    if element.tag == f"{_SVG}text" and "fill" not in element.attrib:
        element.set("fill", "var(--ink)")


def _attributes(key: str, value: str) -> dict[str, str]:
    if key != "font":
        return {key: value} if key else {}
    size = re.search(r"([\d.]+)px", value)
    # The family is the page's.
    return {"font-size": size[1]} if size else {}
