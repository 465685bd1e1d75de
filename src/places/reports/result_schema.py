"""Names that `result.json` and its readers share. Imports nothing heavy."""

from pathlib import Path

FORMAT_VERSION = 2
SCHEMA = Path(__file__).with_name("result.schema.json")
PICTURES = "scores.parquet"  # the scores of each picture, beside the result
INSTALL_PARQUET = "pip install 'places[parquet]'"
