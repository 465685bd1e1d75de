"""`places sample`: a small synthetic Places365, drawn, archived as the official one, and packed."""

from collections.abc import Sequence
from pathlib import Path

from places.data.pack import pack
from places.data.progress import ProgressBar
from places.data.synthetic import write_archives
from places.tool_parser import run_tool


def main(words: Sequence[str]) -> int:
    """Run `places sample`.

    Args:
        words: The command line after `places`.
    """
    return run_tool(sample, words)


def sample(
    root: Path = Path("data/sample"),
    num_train: int = 2400,
    num_val: int = 600,
    num_test: int = 240,
    seed: int = 0,
) -> int:
    """Draw a small synthetic Places365, in the layout of the official archives, and pack it.

    The pictures are drawn by a program: they show how places works, and say nothing about how well
    a network does on photographs.

    Args:
        root: Folder for the shards; archives go to its folder `archives`, some loose pictures of
            the test split to `pictures`.
        num_train: Training pictures, over all categories.
        num_val: Validation pictures, over all categories.
        num_test: Test pictures, without labels.
        seed: The same seed gives the same bytes.

    Returns:
        0.
    """
    ...
