"""Where a default stands in Python, in files that nobody imports."""

from pathlib import Path

import pytest

from places.config.changes.defaults import SourceTree, cause_of_default
from places.config.written import Place

OPTIONS = """
from dataclasses import dataclass

@dataclass
class Options:
    alpha: float = 0.2
    other: int
"""
NETWORK = """
import torch.nn as nn
from lib.options import Options as Settings

class Base:
    def __init__(self, width: int = 8, /, *, dropout: float = 0.5) -> None: ...

class Network(Base):
    def __init__(self, depth: int, options: Settings | None = None, *, groups: int = 1): ...

def build(size: int = 3): ...
"""


@pytest.fixture
def before(tmp_path: Path) -> SourceTree:
    return _tree(tmp_path / "before", NETWORK, OPTIONS)


def _tree(top: Path, network: str, options: str) -> SourceTree:
    package = top / "src" / "lib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("from lib.network import Network\n")
    (package / "network.py").write_text(network)
    (package / "options.py").write_text(options)
    (package / "broken.py").write_text("class Broken(:\n")
    return SourceTree(top, [top / "nowhere", top / "src"])


@pytest.mark.parametrize(
    ("path", "way", "text", "line"),
    [
        ("lib.network.Network", ("groups",), "1", 9),
        ("lib.Network", ("groups",), "1", 9),  # imported from there
        ("lib.network.Network", ("dropout",), "0.5", 6),  # of the class above
        ("lib.network.Network", ("width",), "8", 6),
        ("lib.network.Network", ("options",), "None", 9),
        ("lib.network.Network", ("options", "alpha"), "0.2", 6),  # in options.py
        ("lib.network.build", ("size",), "3", 11),
    ],
)
def test_a_default_is_found_with_its_line(
    before: SourceTree, path: str, way: tuple[str, ...], text: str, line: int
) -> None:
    found = before.default(path, way)
    assert found is not None
    assert found.text == text
    file = "options.py" if "alpha" in way else "network.py"
    assert found.place == Place(f"src/lib/{file}", line)


@pytest.mark.parametrize(
    ("path", "way"),
    [
        ("lib.network.Network", ("depth",)),  # has none
        ("lib.network.Network", ("nothing",)),
        ("lib.network.Nothing", ("depth",)),
        ("lib.broken.Broken", ("depth",)),
        ("torch.nn.Linear", ("bias",)),  # of another package
        ("Network", ("groups",)),
    ],
)
def test_what_has_no_default_has_none(before: SourceTree, path: str, way: tuple[str, ...]) -> None:
    assert before.default(path, way) is None


def test_the_cause_of_another_default_is_named(before: SourceTree, tmp_path: Path) -> None:
    network = NETWORK.replace("groups: int = 1", "groups: int = 2, new: int = 7")
    after = _tree(tmp_path / "after", network.replace("width: int = 8, /, *, ", ""), OPTIONS)
    flat = {"model.net.class_path": "lib.network.Network"}

    def cause(key: str, *files: str) -> tuple[str, Place | None]:
        return cause_of_default(key, flat, before, after, files)

    place = Place("src/lib/network.py", 9)
    named = "lib.network.Network"
    assert cause("model.net.groups") == (f"default of {named}(groups) in Python", place)
    assert cause("model.net.new") == (f"new in {named}(new)", place)
    assert cause("model.net.width") == (
        f"gone from {named}(width)",
        Place("src/lib/network.py", 6),
    )
    # No signature tells: the first line that is new and has the name.
    assert cause("extra.new", "src/lib/gone.py", "src/lib/network.py") == (
        "default in Python",
        place,
    )
    assert cause("extra.nothing", "src/lib/network.py") == ("default in Python", None)
