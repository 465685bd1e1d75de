"""Names that `result.json` and its readers share. Imports nothing heavy."""

import math
from pathlib import Path
from typing import Any

FORMAT_VERSION = 3
SCHEMA = Path(__file__).with_name("result.schema.json")
PICTURES = "scores.parquet"  # the scores of each picture, beside the result
INSTALL_PARQUET = "pip install 'places[parquet]'"


def in_json(value: Any) -> Any:  # noqa: ANN401  # whatever JSON can hold
    """Return a value in which numbers that JSON does not know are texts, such as "inf"."""
    if isinstance(value, dict):
        return {key: in_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [in_json(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
