"""Numbers that follow from a config: what a reviewer would otherwise work out by hand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

PLACES365_STANDARD = 1_803_460  # training pictures
_REFERENCE_BATCH = 256  # of the learning rates that are published


@dataclass(frozen=True)
class Cost:
    """Of a network."""

    parameters: int
    multiply_adds: int  # of one picture forward


def derived_numbers(
    config: Mapping[str, Any], num_images: int, cost: Cost | None
) -> dict[str, float | int | None]:
    """Return the numbers by their names; `None` stands for what is not known.

    Args:
        config: A resolved config of `fit`.
        num_images: Training pictures.
        cost: Of the network, if it is known.
    """
    trainer, data = config.get("trainer") or {}, _arguments(config.get("data"))
    optimizer = _arguments(_arguments(config.get("model")).get("optimizer"))
    batch_size, lr = data.get("batch_size"), optimizer.get("lr")
    steps_per_batch = trainer.get("accumulate_grad_batches") or 1
    numbers: dict[str, float | int | None] = dict.fromkeys(NAMES)
    if _is_number(batch_size) and _is_number(steps_per_batch) and batch_size > 0:
        batch = int(batch_size) * int(steps_per_batch)
        numbers["global_batch"] = batch
        steps, batches = _steps(trainer, num_images, int(batch_size), int(steps_per_batch))
        numbers["steps"] = steps
        numbers["images_seen"] = None if batches is None else batches * int(batch_size)
        if _is_number(lr):
            numbers["peak_lr_per_256"] = float(f"{lr * _REFERENCE_BATCH / batch:.6g}")
    if cost is not None:
        numbers |= {"parameters": cost.parameters, "multiply_adds": cost.multiply_adds}
    return numbers


NAMES = {
    "global_batch": "global batch",
    "steps": "steps",
    "images_seen": "images seen",
    "peak_lr_per_256": "peak learning rate per 256",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
}
"""Each number, and how it is called."""


def _steps(
    trainer: Mapping[str, Any], num_images: int, batch_size: int, steps_per_batch: int
) -> tuple[int | None, int | None]:
    """Return the optimizer steps of a run and its batches; `None` for a run without end."""
    batches = num_images // batch_size
    limit = trainer.get("limit_train_batches")
    if isinstance(limit, int) and not isinstance(limit, bool):
        batches = min(batches, limit)
    elif isinstance(limit, float):
        batches = int(batches * limit)
    per_epoch = math.ceil(batches / steps_per_batch)
    max_steps, max_epochs = trainer.get("max_steps", -1), trainer.get("max_epochs")
    has_steps = _is_number(max_steps) and max_steps >= 0
    if not _is_number(max_epochs):
        max_epochs = -1 if has_steps else 1000  # as Lightning does
    epochs = math.inf if max_epochs < 0 else max_epochs
    steps = min(epochs * per_epoch, max_steps if has_steps else math.inf)
    if not math.isfinite(steps):
        return None, None
    whole, rest = divmod(int(steps), max(per_epoch, 1))
    return int(steps), whole * batches + min(rest * steps_per_batch, batches)


def _arguments(spec: object) -> Mapping[str, Any]:
    found = spec.get("init_args") if isinstance(spec, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
