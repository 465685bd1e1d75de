"""A recipe on two sides, from what they resolve to."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from places.cli.configs.operands import Files
from places.cli.configs.resolvers import Answer, Resolver
from places.config.changes.change import Block, DefaultCause, Side, compare_sides
from places.config.changes.derived import PLACES365_STANDARD, Cost, derived_numbers
from places.config.changes.report import Compared, Pair, Status
from places.config.config_hash import config_hash
from places.data.shards.manifest import load_manifest
from places.errors import PlacesError

_NETWORK = ("net", "num_classes")

# A side: what a run saved, or files with the answer for them; and who was asked.
Given = tuple[Side | None, Files, Answer, Resolver]


def compared(
    name: str,
    before: Given,
    after: Given,
    *,
    old_name: str = "",
    both_matter: bool = False,
    cause_of_default: DefaultCause | None = None,
    chosen: Callable[[Sequence[Block]], list[Block]] = list,
) -> Compared:
    """Return what became of a recipe.

    Args:
        name: How it is called now.
        before: One side.
        after: The other.
        old_name: How it was called, if it was renamed.
        both_matter: Neither side may be without a config; else only the later one.
        cause_of_default: See `compare_sides`.
        chosen: Chooses among the changes.
    """
    sides = [_side(given) for given in (before, after)]
    left, right = (side if isinstance(side, Side) else None for side in sides)
    if left is None or right is None:
        problems = [side if not isinstance(side, Side) else () for side in sides]
        status: Status = "invalid" if right is None or both_matter else "repaired"
        return Compared(name, status, old_path=old_name, problems=(problems[0], problems[1]))
    blocks = tuple(chosen(compare_sides(left, right, cause_of_default)))
    derived, note = _derived((left, before[3]), (right, after[3])) if blocks else ({}, "")
    status = "renamed" if old_name else "changed" if blocks else "same"
    hashes = config_hash(left.config), config_hash(right.config)
    return Compared(name, status, blocks, old_name, hashes, derived, note)


def _side(given: Given) -> Side | tuple[str, ...]:
    """Return a side, or why there is none, in lines."""
    saved, files, answer, _ = given
    if saved is not None:
        return saved
    if "problem" in answer:
        return tuple(answer["problem"])
    try:
        return files.side(answer["config"])
    except PlacesError as error:
        return tuple(str(error).splitlines())


def _derived(
    before: tuple[Side, Resolver], after: tuple[Side, Resolver]
) -> tuple[dict[str, Pair], str]:
    """Return the derived numbers of both sides, and what is to be said of them."""
    configs = [side.config for side, _ in (before, after)]
    networks = [_network(config) for config in configs]
    now = _cost(after[1], networks[1])
    costs = now if networks[0] == networks[1] else _cost(before[1], networks[0]), now
    counts = [_num_images(config) for config in configs]
    old, new = (
        derived_numbers(config, num or PLACES365_STANDARD, cost)
        for config, num, cost in zip(configs, counts, costs, strict=True)
    )
    note = (
        f"Steps and images are those of the {PLACES365_STANDARD:,} pictures of Places365-Standard."
    )
    return {key: (old[key], new[key]) for key in new}, "" if all(counts) else note


def _network(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the request for what a network costs."""
    try:
        model, data = config["model"]["init_args"], config["data"]["init_args"]
        return {key: model[key] for key in _NETWORK} | {"image_size": data["image_size"]}
    except (KeyError, TypeError):
        return None


def _cost(resolver: Resolver, request: dict[str, Any] | None) -> Cost | None:
    answer = resolver.ask(request).result() if request else {}
    return Cost(**answer["cost"]) if "cost" in answer else None


def _num_images(config: Mapping[str, Any]) -> int | None:
    """Return the number of training pictures, if they are on this machine."""
    try:
        root = Path(config["data"]["init_args"]["root"])
        return load_manifest(root, "train").num_samples if root.is_dir() else None
    except (KeyError, TypeError, OSError, PlacesError):
        return None
