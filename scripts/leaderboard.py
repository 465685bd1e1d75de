#!/usr/bin/env python3
"""Build the tables in `leaderboard/` from the results that lie there.

usage: scripts/leaderboard.py [--check]

With `--check` nothing is written, and what is stale ends it with 1.
"""

import os
import sys
from functools import cache
from pathlib import Path

from places.errors import PlacesError
from places.reports.leaderboard.entries import published_entries, read_entry, read_hits
from places.reports.leaderboard.table import as_html, as_markdown, boards_of

FOLDER = Path("leaderboard")
ABOUT = """\
# Leaderboard

Built by `make leaderboard`; a test fails while it is stale. Each folder beside this file holds
what `places test` wrote for one network, see [Results](../docs/results.md): `result.json` with
its scores, protocol, checksums, cost and config, `scores.parquet` with what it said of each
picture. To add yours, copy both files from the folder of the run into a folder of its own and
type `make leaderboard`.

Drawn pictures are the sample of `places sample`: they show that the way works, and say nothing
about photographs.
"""


def build() -> dict[Path, str]:
    """Return the content of each file that is built, by its path in the checkout.

    Raises:
        PlacesError: A result is damaged or does not match its files.
    """
    results = sorted(FOLDER.glob("*/result.json"))
    entries = [*map(read_entry, results), *published_entries()]
    boards = boards_of(entries, cache(read_hits))
    return {
        FOLDER / "README.md": f"{ABOUT}\n{as_markdown(boards)}\n",
        FOLDER / "leaderboard.html": f"{as_html(boards)}\n",
    }


def main(words: list[str]) -> int:
    """Write the files, or compare them with what they should be.

    Returns:
        0, or 1 if one is stale, or 2 if a result is not right.
    """
    os.chdir(Path(__file__).parents[1])
    try:
        built = build()
    except PlacesError as error:
        print(error, file=sys.stderr)
        return 2
    if words != ["--check"]:
        for path, text in built.items():
            path.write_text(text, encoding="utf-8")
        return 0
    texts = {path: path.read_text("utf-8") if path.is_file() else "" for path in built}
    stale = [str(path) for path, text in built.items() if text != texts[path]]
    if stale:
        print(f"stale: {', '.join(stale)}\n  type:  make leaderboard", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
