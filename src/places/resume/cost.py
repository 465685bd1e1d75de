"""What a training has cost so far: pictures and time, over all its resumptions."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COST_KEY = "cost"  # in the record that a checkpoint holds


@dataclass
class Cost:
    """What was spent.

    Attributes:
        num_images: Pictures of all steps and processes.
        seconds: Time from the first batch on, with validations; without what a kill undid.
    """

    num_images: int = 0
    seconds: float = 0.0


def cost_of(record: Mapping[str, Any]) -> Cost | None:
    """Return the cost that the record in a checkpoint tells; `None` where it tells none.

    Args:
        record: What a checkpoint holds under the key `places`; nothing in it is believed.
    """
    stored = record.get(COST_KEY)
    if not isinstance(stored, Mapping):
        return None
    num_images, seconds = stored.get("num_images"), stored.get("seconds")
    if not isinstance(num_images, int) or not isinstance(seconds, float):
        return None
    is_plausible = num_images >= 0 and math.isfinite(seconds) and seconds >= 0
    return Cost(int(num_images), seconds) if is_plausible else None
