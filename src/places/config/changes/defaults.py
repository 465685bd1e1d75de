"""Where a default stands in Python, read from the source: nothing is imported."""

import ast
import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from places.config.changes.leaves import CLASS, scopes
from places.config.written import Place

# The classes behind the parts of a recipe that name none.
_SECTIONS = {
    "trainer": "lightning.pytorch.Trainer",
    "checkpoint": "places.resume.best.BestCheckpoint",
    "resume": "places.resume.points.ResumePoints",
    "predictions": "places.reports.predictions.Predictions",
}
_MAX_DEPTH = 8  # of imports that lead on, and of base classes


@dataclass(frozen=True)
class Default:
    """The default of an argument: its text, and where it stands."""

    text: str
    place: Place


class SourceTree:
    """The Python files of a checkout.

    Args:
        top: The folder of the checkout, from which files are named.
        roots: The folders in it from which modules are imported.
    """

    def __init__(self, top: Path, roots: Sequence[Path]) -> None:
        self._top, self._roots = top, roots

    @functools.cache  # noqa: B019  # lives as long as one comparison
    def default(self, class_path: str, way: tuple[str, ...], depth: int = 0) -> Default | None:
        """Return the default of an argument of a class, if its source is in the checkout.

        Args:
            class_path: The class, as it is imported.
            way: Name of the argument, or of one of a dataclass that the argument takes.
            depth: How far this was looked for already.
        """
        found = self._find(class_path, depth)
        if found is None or depth > _MAX_DEPTH:
            return None
        file, module, node = found
        for name, annotation, value in _arguments(node):
            if name == way[0]:
                inner = _absolute(ast.unparse(annotation), module, class_path) if annotation else ""
                deeper = self.default(inner, way[1:], depth + 1) if len(way) > 1 and inner else None
                return deeper or self._default_at(file, value)
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            inner = _absolute(ast.unparse(base), module, class_path)
            if above := self.default(inner, way, depth + 1):
                return above
        return None

    def new_line_with(self, name: str, before: "SourceTree", files: Sequence[str]) -> Place | None:
        """Return the first line with a name that another tree does not have."""
        for file in files:
            old = set(_lines(before._top / file))
            for number, line in enumerate(_lines(self._top / file), 1):
                if line not in old and re.search(rf"\b{re.escape(name)}\b", line):
                    return Place(file, number)
        return None

    def _default_at(self, file: Path, value: ast.expr | None) -> Default | None:
        if value is None:
            return None
        shown = file.relative_to(self._top).as_posix()
        return Default(ast.unparse(value), Place(shown, value.lineno))

    def _find(
        self, path: str, depth: int
    ) -> tuple[Path, ast.Module, ast.ClassDef | ast.FunctionDef] | None:
        way, _, name = path.rpartition(".")
        file = self._file(way)
        module = _parsed(file) if file else None
        if file is None or module is None or depth > _MAX_DEPTH:
            return None
        for node in module.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
                return file, module, node
        elsewhere = _imported(module, name)
        return self._find(elsewhere, depth + 1) if elsewhere else None

    def _file(self, module: str) -> Path | None:
        parts = module.split(".") if module else []
        for root in self._roots if parts else ():
            for file in (
                root.joinpath(*parts).with_suffix(".py"),
                root.joinpath(*parts, "__init__.py"),
            ):
                if file.is_file():
                    return file
        return None


def cause_of_default(
    key: str,
    flat: Mapping[str, Any],
    before: SourceTree,
    after: SourceTree,
    changed_files: Sequence[str] = (),
) -> tuple[str, Place | None]:
    """Return why a default is another in other code, in words and with its place.

    Args:
        key: The setting.
        flat: The config that has it, as `leaves` returns it.
        before: The code before.
        after: The code after.
        changed_files: Where to look for the name of the setting, if no signature tells.
    """
    for scope in scopes(key):
        class_path = flat.get(f"{scope}{CLASS}") or _SECTIONS.get(scope)
        if not isinstance(class_path, str):
            continue
        way = tuple(key[len(scope) + 1 :].removesuffix(CLASS).split("."))
        old, new = before.default(class_path, way), after.default(class_path, way)
        name = f"{class_path}({way[0]})"
        if new is not None and old is None:
            return f"new in {name}", new.place
        if old is not None and new is None:
            return f"gone from {name}", old.place
        if old is not None and new is not None and old.text != new.text:
            return f"default of {name} in Python", new.place
    name = key.removesuffix(CLASS).rpartition(".")[2]
    return "default in Python", after.new_line_with(name, before, changed_files)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # it is not in this tree
        return []


@functools.cache
def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _arguments(
    node: ast.ClassDef | ast.FunctionDef,
) -> list[tuple[str, ast.expr | None, ast.expr | None]]:
    """Return name, annotation and default of each argument of a function, class or dataclass."""
    if isinstance(node, ast.ClassDef):
        functions = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        constructor = next((part for part in functions if part.name == "__init__"), None)
        if constructor is None:
            return [
                (part.target.id, part.annotation, part.value)
                for part in node.body
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
            ]
        node = constructor
    plain, named = [*node.args.posonlyargs, *node.args.args], node.args.kwonlyargs
    defaults = [*[None] * (len(plain) - len(node.args.defaults)), *node.args.defaults]
    pairs = [*zip(plain, defaults, strict=True), *zip(named, node.args.kw_defaults, strict=True)]
    return [(argument.arg, argument.annotation, value) for argument, value in pairs]


def _absolute(name: str, module: ast.Module, path: str) -> str:
    """Return the path of a class that a module knows by a name."""
    first, _, rest = name.partition(" | ")[0].partition(".")
    found = _imported(module, first) or f"{path.rpartition('.')[0]}.{first}"
    return f"{found}.{rest}" if rest else found


def _imported(module: ast.Module, name: str) -> str | None:
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return alias.name
    return None
