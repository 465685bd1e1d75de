"""Imports point downwards: the rule of docs/design.md, read from the source."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "places"

# From the bottom up; a module may import from lower layers and from its own.
LAYERS = [
    {"__init__", "errors"},
    {"categories", "ranges", "tool_parser", "recipes", "runs"},
    {"data", "models", "figures", "sample"},
    {"metrics", "schedules", "trivial_augment", "average", "mixing"},
    {"augment"},
    {"classifier"},
    {"callbacks", "checkpoint_files", "checkpoint_urls", "checkpoints", "last", "trainer_parts"},
    {"suggestions"},
    {"refusals"},
    {"mistakes", "parser"},
    {"stages"},
    {"config", "bench"},
    {"cli", "__main__"},
]
MODULES = sorted(path.relative_to(SOURCE) for path in SOURCE.rglob("*.py"))


def _room(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py") if parts else "__init__"


def _layer(room: str) -> int:
    return next(number for number, rooms in enumerate(LAYERS) if room in rooms)


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
            _room(tuple(name.split(".")[1:2])) for name in names if name.split(".")[0] == "places"
        }
    return rooms


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_downwards(path: Path) -> None:
    room = _room(path.parts)
    for imported in _imported_rooms(path):
        assert _layer(imported) <= _layer(room), f"{path} imports places.{imported}"


def test_models_and_data_do_not_know_each_other() -> None:
    for path in MODULES:
        if path.parts[0] == "models":
            assert "data" not in _imported_rooms(path)
        if path.parts[0] == "data":
            assert "models" not in _imported_rooms(path)


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
