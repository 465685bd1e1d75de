"""The hash of a config: the same for runs that differ in speed and output only."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from places.config.changes.leaves import leaves, list_orders
from places.config.groups import group_of
from places.config.secrets import masked

NUM_SHOWN = 12  # of its letters, where people read it


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of the settings in a resolved config that change results.

    They are written as canonical JSON: keys as they are typed and sorted, floats as short as can
    be, whole numbers without a point. Secrets count as one: a hash of a short one could be guessed.

    Where the data lie does not count: that differs from machine to machine, and the digest of
    their manifest, which checkpoints and results have too, says which they are.

    Args:
        config: With all defaults, as `config.yaml` in the folder of a run holds it.
    """
    flat = leaves(masked(config))
    kept = {key: _canonical(value) for key, value in flat.items() if _counts(key)}
    # The order of callbacks is part of it.
    kept |= {f"{key}[]": names for key, names in list_orders(flat).items() if _counts(f"{key}[")}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _counts(key: str) -> bool:
    return group_of(key) == "results" and key != "data.root"


def _canonical(value: Any) -> Any:  # noqa: ANN401  # of any config
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return int(value) if value.is_integer() else value
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value if isinstance(value, str | int | bool | None) else str(value)
