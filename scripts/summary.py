#!/usr/bin/env python3
"""Say what the newest runs reached and which of their files to open; ends `make train`.

usage: scripts/summary.py [RUNS]
"""

import csv
import json
import sys
from pathlib import Path

# What is worth opening, in the order of a run: the file, and what it shows.
FILES = {
    "curves.png": "how the training went",
    "checkpoints/best.ckpt": "the network, for places test and places predict",
    "result.json": "all scores, with versions and checksums",
    "confusion.png": "which scenes are taken for which",
    "predictions.csv": "five guesses for each picture",
    "gallery.html": "the pictures with their guesses, to look at",
    # Last: the page of the test, made after that of fit.
    "report.html": "all of the run on one page",
}


def main(runs: Path) -> int:
    """Print the summary of a folder of runs.

    Args:
        runs: Folder with runs as `<recipe>/<number>`.

    Returns:
        0, or 1 if there is no run with any of the files.
    """
    newest = {name: path for name in FILES if (path := newest_file(runs, name))}
    if not newest:
        print(f"no finished run in {runs}", file=sys.stderr)
        return 1
    print()
    if "result.json" in newest:
        print(describe_result(newest["result.json"]))
    if "predictions.csv" in newest:
        print(describe_predictions(newest["predictions.csv"]))
    print("Open:")
    width = max(len(str(path)) for path in newest.values())
    for name, path in newest.items():
        print(f"  {path!s:<{width}}  {FILES[name]}")
    return 0


def newest_file(runs: Path, name: str) -> Path | None:
    """Return the file of that name that was written last among all runs."""
    found = runs.glob(f"*/*/{name}")
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def describe_result(path: Path) -> str:
    """Return the scores of a `result.json` as a line."""
    result = json.loads(path.read_text(encoding="utf-8"))
    scores, data = result["scores"], result["data"]
    kind = "synthetic pictures" if data["synthetic"] else "pictures"
    return (
        f"Scored {result['num_images']:,} {kind} of the split {data['split']}: "
        f"top-1 {scores['top1']:.2%}, top-5 {scores['top5']:.2%}"
    )


def describe_predictions(path: Path) -> str:
    """Return the number of rows of a `predictions.csv`, and of those without a guess, as a line."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    num_errors = sum(bool(row["error"]) for row in rows)
    return f"Classified {len(rows):,} pictures, {num_errors} of them unreadable"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs")))
