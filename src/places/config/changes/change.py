"""Changes between two resolved configs, each with why it is there, those of a class together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from places.config.changes.leaves import CLASS, leaves, list_orders, scopes
from places.config.compare import ABSENT, is_same
from places.config.groups import Group, group_of
from places.config.secrets import MASK, is_secret, masked
from places.config.written import Place, Written, place_of

Kind = Literal["changed", "added", "removed", "moved", "type"]
Why = Literal["written", "implied"]


@dataclass(frozen=True)
class Side:
    """One of two configs: what it resolves to, and what of it was written."""

    config: Mapping[str, Any]
    written: Mapping[str, Written] = field(default_factory=dict)
    # A run saved it with all its defaults: what was written of it is not known.
    recorded: str = ""


@dataclass(frozen=True)
class Change:
    """A key with two values."""

    key: str  # as it is typed
    kind: Kind
    why: Why
    group: Group
    old: Any  # without secrets; `ABSENT` where there is none
    new: Any
    cause: str  # in words
    place: Place | None  # of the line that made it
    is_minor: bool = False  # null, false, 0 or empty in a class that came or went

    @property
    def identity(self) -> tuple[object, ...]:
        """What is the same where two recipes change alike, whatever their lines are."""
        cause = self.cause if self.why == "implied" else ""
        return self.key, self.kind, self.why, repr(self.old), repr(self.new), cause


@dataclass(frozen=True)
class Block:
    """A change, and those that follow from it: of a class, the changes of its arguments."""

    head: Change
    rest: tuple[Change, ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """All of them."""
        return (self.head, *self.rest)

    @property
    def identity(self) -> tuple[object, ...]:
        """See `Change.identity`."""
        return tuple(change.identity for change in self.changes)


# Given the key of a changed default and the values on both sides: in words, and where it stands.
DefaultCause = Callable[[str, Mapping[str, Any]], tuple[str, Place | None]]


def compare_sides(
    before: Side, after: Side, cause_of_default: DefaultCause | None = None
) -> list[Block]:
    """Return what differs, classes first, each with its arguments.

    Args:
        before: One side.
        after: The other.
        cause_of_default: Tells where a default was changed.
    """
    left, right = leaves(before.config), leaves(after.config)
    changed = [
        key
        for key in {**right, **left}
        if not is_same(left.get(key, ABSENT), right.get(key, ABSENT))
        and not _stands_for_class(key, left, right)
    ]
    swapped = {key.removesuffix(CLASS) for key in changed if key.endswith(CLASS)}
    explain = _Explain(before, after, left, right, swapped, cause_of_default)
    changes = {key: explain(key) for key in changed}
    for key, (old, new) in _moved(left, right).items():
        written = place_of(key, after.written)
        place = written.place if written else None
        changes[key] = Change(
            key, "moved", "written", group_of(f"{key}["), old, new, "order", place
        )
    return _blocks(changes, swapped)


def _stands_for_class(key: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """Tell whether a key is null or empty on one side, and has a class or settings on the other."""
    for here, there in ((left, right), (right, left)):
        is_empty = key in here and key not in there and not here[key]
        if is_empty and any(other.startswith((f"{key}.", f"{key}[")) for other in there):
            return True
    return False


def _moved(
    left: Mapping[str, Any], right: Mapping[str, Any]
) -> dict[str, tuple[list[str], list[str]]]:
    old, new = list_orders(left), list_orders(right)
    both = {key: (old[key], new[key]) for key in old if key in new}
    common = {
        key: ([n for n in a if n in b], [n for n in b if n in a]) for key, (a, b) in both.items()
    }
    return {key: pair for key, pair in common.items() if pair[0] != pair[1]}


@dataclass(frozen=True)
class _Explain:
    """Says of a changed key why it changed."""

    before: Side
    after: Side
    left: Mapping[str, Any]
    right: Mapping[str, Any]
    swapped: set[str]
    cause_of_default: DefaultCause | None

    def __call__(self, key: str) -> Change:
        old, new = self.left.get(key, ABSENT), self.right.get(key, ABSENT)
        scope = next((scope for scope in scopes(key) if scope in self.swapped), "")
        if key.endswith(CLASS) and key.removesuffix(CLASS) in self.swapped:
            own = key.removesuffix(CLASS)
            scope = next((s for s in scopes(own) if s in self.swapped), "")
        why, cause, place = self._reason(key, scope)
        is_minor = bool(
            scope and why == "implied" and ABSENT in (old, new) and self._is_dull(old, new, scope)
        )
        parts = key.replace("[", ".").replace("]", "").split(".")
        return Change(
            key=key,
            kind=_kind(old, new),
            why=why,
            group=group_of(key),
            old=_shown(old, parts),
            new=_shown(new, parts),
            cause=cause,
            place=place,
            is_minor=is_minor,
        )

    def _is_dull(self, old: object, new: object, scope: str) -> bool:
        has_gone = f"{scope}{CLASS}" not in self.right  # with all that it had
        return has_gone or not (new if old is ABSENT else old)

    def _reason(self, key: str, scope: str) -> tuple[Why, str, Place | None]:
        a, b = place_of(key, self.before.written), place_of(key, self.after.written)
        if self.before.recorded or self.after.recorded:
            return self._of_recorded(key, scope, a, b)
        if b is not None and not (a is not None and a.text and a.text == b.text):
            return "written", "written", b.place
        if a is not None and b is None:
            now = f", now the {self._of_class(key, scope)}" if scope and key in self.right else ""
            return "written", f"left out{now}", a.place
        if scope:
            return "implied", self._of_class(key, scope), None
        if self.cause_of_default is None:
            return "implied", "default", None
        cause, place = self.cause_of_default(key, self.right if key in self.right else self.left)
        return "implied", cause, place

    def _of_recorded(
        self, key: str, scope: str, a: Written | None, b: Written | None
    ) -> tuple[Why, str, Place | None]:
        if scope:
            return "implied", self._of_class(key, scope), None
        if b is not None and not self.after.recorded:
            return "written", "written", b.place
        if a is not None and not self.before.recorded:
            return "written", "left out", a.place
        where = self.after.recorded or self.before.recorded
        is_written = key.endswith(CLASS) or bool(self.before.recorded and self.after.recorded)
        return ("written" if is_written else "implied"), f"recorded in {where}", None

    def _of_class(self, key: str, scope: str) -> str:
        old, new = self.left.get(f"{scope}{CLASS}"), self.right.get(f"{scope}{CLASS}")
        if new is None:
            return f"gone with {old}"
        if key not in self.right:
            return f"{new} has none"
        return f"default of {new}"


def _kind(old: object, new: object) -> Kind:
    if old is ABSENT:
        return "added"
    if new is ABSENT:
        return "removed"
    if old is None or new is None or type(old) is type(new):
        return "changed"
    return "type" if str(old).lower() == str(new).lower() or old == new else "changed"


def _shown(value: object, parts: Sequence[str]) -> Any:  # noqa: ANN401  # of any config
    if value is ABSENT:
        return value
    return MASK if is_secret(parts, value) else masked(value, parts)


def _blocks(changes: Mapping[str, Change], swapped: set[str]) -> list[Block]:
    """Put each change below the outermost class that changed around it; classes come first."""
    rest: dict[str, list[Change]] = {}
    heads: list[Change] = []
    for key, change in changes.items():
        own = key.removesuffix(CLASS) if key.endswith(CLASS) else None
        around = [scope for scope in scopes(key) if scope in swapped and scope != own]
        if around:
            rest.setdefault(f"{around[-1]}{CLASS}", []).append(change)
        else:
            heads.append(change)
    heads.sort(key=lambda change: not change.key.endswith(CLASS))
    return [
        Block(head, tuple(sorted(rest.get(head.key, ()), key=_order_in_class))) for head in heads
    ]


def _order_in_class(change: Change) -> tuple[bool, int]:
    order = ("changed", "type", "moved", "added", "removed")
    return change.why != "written", order.index(change.kind)


def without_defaults(blocks: Sequence[Block]) -> list[Block]:
    """Return only what is written and what follows from it: of a recipe that others build upon."""
    return [block for block in blocks if any(change.why == "written" for change in block.changes)]
