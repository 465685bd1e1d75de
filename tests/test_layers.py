"""Imports point downwards: the rule of docs/design.md, read from the source."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "places"

# The floors, from the bottom up: a module may import from lower floors and from its own room.
FLOORS = [
    {"__init__", "errors"},
    {
        "categories",
        "console",
        "files",
        "freed_memory",
        "hashing",
        "processes",
        "lightning_internals",
    },
    {"endings"},
    {"config"},
    {"data.shards", "models"},
    {"data.remote"},
    {"data.streaming"},
    {"data.packing", "training"},
    {"data.sequential"},
    {"synthetic", "data"},
    {"checkpoints"},
    {"classifier"},
    {"resume"},
    {"reports"},
    {"bench", "trained", "doctor"},
    {"exports"},
    {"cli"},
    {"__main__"},
]
MODULES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))


def _room(names: tuple[str, ...]) -> str:
    """Return the room of a dotted name within `places`, as `FLOORS` writes it."""
    if not names:
        return "__init__"
    if names[0] == "data" and len(names) > 1 and (SOURCE / "data" / names[1]).is_dir():
        return f"data.{names[1]}"
    return names[0]


def _room_of(path: Path) -> str:
    return _room(path.with_suffix("").parts)


def _floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        rooms |= {
            _room(tuple(name.split(".")[1:])) for name in names if name.split(".")[0] == "places"
        }
    return rooms


# The front door leads to rooms of all floors, but only who goes through it imports them, see
# tests/trained/test_front_door.py.
INSIDE = [path for path in MODULES if path != Path("__init__.py")]


@pytest.mark.parametrize("path", INSIDE, ids=str)
def test_imports_point_downwards(path: Path) -> None:
    room = _room_of(path)
    for imported in _imported_rooms(path) - {room}:
        assert _floor(imported) < _floor(room), f"{path} imports places.{imported}"


def test_models_and_data_do_not_know_each_other() -> None:
    strangers = {"models": "data", "data": "models"}
    for path in MODULES:
        rooms = {room.partition(".")[0] for room in _imported_rooms(path)}
        assert strangers.get(path.parts[0]) not in rooms, path


def test_only_the_console_writes_to_the_terminal() -> None:
    forbidden = ("sys.stderr", "sys.stdout", "print", "Console")
    for path in MODULES:
        for node in ast.walk(ast.parse((SOURCE / path).read_text(encoding="utf-8"))):
            is_name = isinstance(node, ast.Attribute | ast.Name)
            is_stream = is_name and ast.unparse(node) in forbidden
            is_console = isinstance(node, ast.keyword) and node.arg == "stderr"
            assert not (is_stream or is_console) or path.name == "console.py", path


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=str)
def test_init_files_compute_nothing(path: Path) -> None:
    # A function may import on demand, and types may be named for type checkers.
    allowed = (ast.ImportFrom, ast.Expr, ast.Assign, ast.FunctionDef, ast.If)
    for node in ast.parse((SOURCE / path).read_text(encoding="utf-8")).body:
        assert isinstance(node, allowed)
        if isinstance(node, ast.Expr | ast.Assign):
            assert isinstance(node.value, ast.Constant | ast.List)
        if isinstance(node, ast.If):
            assert ast.unparse(node.test) == "TYPE_CHECKING"
