"""The hash of a config: the same for runs that differ in speed and output only."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from places.config.changes.leaves import leaves
from places.config.groups import group_of
from places.config.secrets import masked

NUM_SHOWN = 12  # of its letters, where people read it


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of the settings in a resolved config that change results.

    They are written as canonical JSON: keys as they are typed and sorted, floats as short as can
    be, whole numbers without a point. Secrets count as one: a hash of a short one could be guessed.

    Args:
        config: With all defaults, as `config.yaml` in the folder of a run holds it.
    """
    kept = {key: _canonical(value) for key, value in leaves(masked(config)).items()}
    # In their order: what is in front of a key tells which list its class is in.
    kept = {key: value for key, value in kept.items() if group_of(key) == "results"}
    lists = {key: [k for k in kept if k.startswith(f"{key}[")] for key in ("trainer.callbacks",)}
    kept |= {f"{key}[]": [k for k in keys if k.endswith("].class_path")] for key, keys in lists.items()}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
