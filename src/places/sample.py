"""`places sample`: a small synthetic Places365, drawn, archived as the official one, and packed."""

from collections.abc import Sequence
from pathlib import Path

from rich.progress import track  # noqa: F401  # placeholder
