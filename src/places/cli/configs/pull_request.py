"""All recipes of a checkout, compared with what they were in another revision."""

import difflib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from places.cli.configs.compared import Given, compared
from places.cli.configs.operands import Files
from places.cli.configs.resolvers import Apart, Resolver, of_worktree, source_roots
from places.cli.configs.revisions import Repository, checked_out, repository
from places.config.changes.change import DefaultCause, without_defaults
from places.config.changes.defaults import SourceTree, cause_of_default
from places.config.changes.report import Compared, Report
from places.config.groups import Group
from places.errors import ConfigError

_RECIPES = (".yaml", ".yml")
_NO_CODE = (*_RECIPES, ".md")  # what cannot change how a recipe is read
_ALIKE = 0.6  # of difflib, 0 to 1: from there on a recipe that is gone and a new one are the same
_MAX_LINES = 500  # that are compared
_OVERLAYS = "overlays"  # the folder of those that are nothing by themselves
_NUM_SHOWN = 12  # letters of a commit


def compare_pull_request(
    base: str, paths: Sequence[str], stage: str, fail_on: Group | None, command: str
) -> Report:
    """Compare the recipes that are checked out with those of a revision.

    Args:
        base: The revision; where the branch left it counts.
        paths: Recipes and folders of recipes; none for `configs`.
        stage: The stage to resolve for.
        fail_on: See `Report`.
        command: See `Report`.

    Raises:
        ConfigError: There is no such revision, or no recipe on either side.
    """
    source = repository(Path.cwd())
    commit = source.branch_point(source.commit(base))
    short = base if len(base) <= _NUM_SHOWN or not commit.startswith(base) else commit[:_NUM_SHOWN]
    with ExitStack() as stack:
        tree = stack.enter_context(checked_out(source, commit))
        parts = _asked(paths, source.top, tree)
        old, new = _recipes(tree, parts), _recipes(source.top, parts)
        if not old and not new:
            raise ConfigError(
                f"no recipes in {', '.join(map(str, parts))}, neither now nor in {base}"
            )
        after = of_worktree(source.top)
        code = _changed_code(source, commit)
        if not code:
            before, cause = after, None
            same = {name for name in old if name in new and _is_equal(old[name], new[name])}
        else:
            before, same = stack.enter_context(Apart(tree, source.top)), set()
            trees = [SourceTree(top, source_roots(top, source.top)) for top in (tree, source.top)]
            python = sorted(name for name in code if name.endswith(".py"))
            cause = partial(cause_of_default, before=trees[0], after=trees[1], changed_files=python)
        stack.enter_context(after)
        found = _Comparison(f"{short}:", stage, old, new, before, after, cause)
        recipes = found.all(same)
    at = commit[:_NUM_SHOWN]
    name = short if commit.startswith(short) else f"{short} (at {at})"
    return Report(name, "the working tree", stage, tuple(recipes), fail_on, command)


class _Comparison:
    """The recipes on both sides, by their names."""

    def __init__(
        self,
        prefix: str,
        stage: str,
        old: Mapping[str, Path],
        new: Mapping[str, Path],
        before: Resolver,
        after: Resolver,
        cause: DefaultCause | None,
    ) -> None:
        self._prefix, self._stage = prefix, stage
        self._old, self._new = old, new
        self._before, self._after, self._cause = before, after, cause

    def all(self, same: set[str]) -> list[Compared]:
        """Return what became of each recipe.

        Args:
            same: Those that need not be resolved to know that nothing changed.
        """
        renamed = _renamed(self._old, self._new)
        pairs = {name: name for name in self._new if name in self._old} | renamed
        # All are asked for before the first answer is waited for: both sides work at once.
        for name, old_name in pairs.items():
            if name not in same:
                self._before.ask(self._files_before(old_name).request(self._stage))
        found = [self._pair(name, pairs[name]) for name in pairs if name not in same]
        found += [Compared(name, "same") for name in same]
        found += [self._added(name) for name in self._new if name not in pairs]
        gone = set(self._old) - set(pairs.values())
        found += [Compared(name, "removed") for name in gone]
        return sorted(found, key=lambda recipe: recipe.path)

    def _pair(self, name: str, old_name: str) -> Compared:
        is_overlay = _OVERLAYS in Path(name).parts
        return compared(
            name,
            self._given(self._files_before(old_name), self._before),
            self._given(self._files_after(name), self._after),
            old_name="" if name == old_name else old_name,
            cause_of_default=self._cause,
            chosen=without_defaults if is_overlay else list,
        )

    def _added(self, name: str) -> Compared:
        """Return a new recipe beside the one that is most like it."""
        others = {other: path for other, path in self._new.items() if other != name}
        nearest = max(
            others, key=lambda other: _likeness(others[other], self._new[name]), default=""
        )
        files = self._files_after(nearest) if nearest else Files()
        given = self._given(self._files_after(name), self._after)
        found = compared(name, self._given(files, self._after), given, old_name=nearest)
        return found if found.status == "invalid" else replace(found, status="added")

    def _given(self, files: Files, resolver: Resolver) -> Given:
        return None, files, resolver.ask(files.request(self._stage)).result(), resolver

    def _files_before(self, name: str) -> Files:
        return Files(((self._old[name], f"{self._prefix}{name}"),))

    def _files_after(self, name: str) -> Files:
        return Files(((self._new[name], name),))


def _asked(paths: Sequence[str], top: Path, tree: Path) -> list[Path]:
    """Return what is to be compared, within the repository.

    Raises:
        ConfigError: It is outside, or on neither side.
    """
    here = Path.cwd().resolve()
    if not paths:
        inside = here.relative_to(top) / "configs"
        is_here = (top / inside).is_dir() or (tree / inside).is_dir()
        return [inside if is_here else Path("configs")]
    parts = []
    for path in paths:
        absolute = (here / path).resolve()
        if not absolute.is_relative_to(top):
            raise ConfigError(f"{path} is not in the repository {top}")
        parts.append(absolute.relative_to(top))
        if not any((folder / parts[-1]).exists() for folder in (top, tree)):
            raise ConfigError(f"{path} is neither here nor in that revision")
    return parts


def _recipes(folder: Path, parts: Sequence[Path]) -> dict[str, Path]:
    """Return the recipes in a checkout by their names in it."""
    found = []
    for part in parts:
        path = folder / part
        found += [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    recipes = [path for path in found if path.suffix in _RECIPES]
    return {path.relative_to(folder).as_posix(): path for path in recipes}


def _changed_code(source: Repository, commit: str) -> list[str]:
    """Return the files that differ from a commit, without recipes and texts."""
    changed = source.git("diff", "--name-only", "-z", "--no-ext-diff", "--no-renames", commit, "--")
    new = source.git("-C", str(source.top), "ls-files", "-z", "--others", "--exclude-standard")
    names = [name for name in f"{changed}{new}".split("\0") if name]
    return [name for name in names if not name.endswith(_NO_CODE)]


def _renamed(old: Mapping[str, Path], new: Mapping[str, Path]) -> dict[str, str]:
    """Return what new recipes were called before, where one is gone that is much like them."""
    gone, come = [n for n in old if n not in new], [n for n in new if n not in old]
    pairs = sorted(((_likeness(old[a], new[b]), b, a) for a in gone for b in come), reverse=True)
    names: dict[str, str] = {}
    for likeness, name, old_name in pairs:
        if likeness >= _ALIKE and name not in names and old_name not in names.values():
            names[name] = old_name
    return names


def _likeness(one: Path, other: Path) -> float:
    first, second = (path.read_text(encoding="utf-8", errors="replace") for path in (one, other))
    lines = first.splitlines()[:_MAX_LINES], second.splitlines()[:_MAX_LINES]
    return difflib.SequenceMatcher(None, *lines).ratio()


def _is_equal(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()
