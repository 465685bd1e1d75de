"""All that is told of a comparison: recipes, what changed in each, and what many share."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from places.config.changes.change import Block, Change
from places.config.changes.leaves import CLASS
from places.config.groups import GROUPS, Group

Status = Literal["same", "changed", "added", "removed", "renamed", "invalid", "repaired"]
Pair = tuple[Any, Any]


@dataclass(frozen=True)
class Compared:
    """One recipe on both sides."""

    path: str  # as it is now; of one that was removed, as it was
    status: Status
    blocks: tuple[Block, ...] = ()
    old_path: str = ""  # of one that was renamed, or what a new one is compared with
    hashes: tuple[str | None, str | None] = (None, None)
    derived: Mapping[str, Pair] = field(default_factory=dict)
    note: str = ""
    # Why it does not resolve, before and now.
    problems: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    @property
    def changes(self) -> Iterator[Change]:
        """All changes; those of a new recipe are no changes of what was there."""
        for block in self.blocks if self.status != "added" else ():
            yield from block.changes


@dataclass(frozen=True)
class Report:
    """A whole comparison."""

    before: str  # how the sides are called
    after: str
    stage: str
    recipes: tuple[Compared, ...]
    fail_on: Group | None = None
    command: str = ""  # that says the same again

    @property
    def different(self) -> list[Compared]:
        """Those recipes of which there is something to tell."""
        return [recipe for recipe in self.recipes if recipe.status != "same"]

    def count(self, group: Group, why: str = "") -> int:
        """Return the number of changes in a group, over all recipes."""
        changes = (change for recipe in self.recipes for change in recipe.changes)
        return sum(change.group == group and why in ("", change.why) for change in changes)

    @property
    def num_invalid(self) -> int:
        """Recipes that do not resolve now."""
        return sum(recipe.status == "invalid" for recipe in self.recipes)

    @property
    def exit_status(self) -> int:
        """As `diff` has it: 0 the same, 1 different, 2 trouble; 3 for changes not wanted."""
        if self.num_invalid:
            return 2
        # Nobody knows what changed in a recipe that did not resolve before.
        is_repaired = any(recipe.status == "repaired" for recipe in self.recipes)
        if self.fail_on and (
            self.count(self.fail_on) or (is_repaired and self.fail_on == "results")
        ):
            return 3
        return 1 if self.different else 0


@dataclass(frozen=True)
class Section:
    """What some recipes have in common."""

    recipes: tuple[Compared, ...]
    blocks: tuple[Block, ...]

    def of_group(self, group: Group) -> list[Block]:
        """Return its blocks whose first change is in a group."""
        return [block for block in self.blocks if block.head.group == group]


def sections(recipes: Sequence[Compared]) -> list[Section]:
    """Return changes with the recipes that they are in, those of many recipes first.

    A recipe of which there is more to tell than changes is told in a section of its own, too.
    """
    owners: dict[tuple[object, ...], list[Compared]] = {}
    blocks: dict[tuple[object, ...], Block] = {}
    for recipe in recipes:
        for block in recipe.blocks:
            identity = (recipe.path, block.identity) if recipe.status == "added" else block.identity
            owners.setdefault(identity, []).append(recipe)
            blocks.setdefault(identity, block)
    together: dict[tuple[str, ...], list[Block]] = {}
    found: dict[tuple[str, ...], tuple[Compared, ...]] = {}
    for identity, group in owners.items():
        paths = tuple(recipe.path for recipe in group)
        together.setdefault(paths, []).append(blocks[identity])
        found[paths] = tuple(group)
    for recipe in recipes:
        if recipe.status != "changed":
            together.setdefault((recipe.path,), [])
            found[(recipe.path,)] = (recipe,)
    result = [Section(found[paths], tuple(together[paths])) for paths in together]
    # Then those that changed, classes first, then those that are new or gone.
    return sorted(result, key=_order)


def _order(section: Section) -> tuple[int, bool, bool]:
    is_new_or_gone = section.recipes[0].status in ("added", "removed")
    has_class = any(block.head.key.endswith(CLASS) for block in section.blocks)
    return -len(section.recipes), is_new_or_gone, not has_class


def verdict(report: Report) -> str:
    """Return in one line what changes."""
    if not report.different:
        return "nothing changes"
    parts = []
    for group in GROUPS:
        written, implied = report.count(group, "written"), report.count(group, "implied")
        if written or implied:
            parts.append(f"{group}: {written} written, {implied} implied")
    told = ("added", "removed", "renamed")
    for status in told:
        num = sum(recipe.status == status for recipe in report.recipes)
        parts += [f"{num} {'recipe' if num == 1 else 'recipes'} {status}"] if num else []
    if report.num_invalid:
        parts.append(f"{report.num_invalid} cannot be resolved")
    return "; ".join(parts) or "no setting changes"
