#!/usr/bin/env python3
"""Print the lowest releases that pyproject.toml admits, as a file of requirements for pip.

usage: python scripts/lowest_requirements.py > FILE      from the repository root

The job "lowest" in .github/workflows/test.yml installs them and runs the fast tests.
"""

import re
import tomllib
from pathlib import Path

EXTRAS = ("wandb", "s3")  # those that tests use, as in scripts/requirements.sh


def main() -> None:
    """Print a line for each package that is asked for directly."""
    settings = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    project = settings["project"]
    for requirement in (
        *settings["build-system"]["requires"],
        *project["dependencies"],
        *(line for extra in EXTRAS for line in project["optional-dependencies"][extra]),
        *settings["dependency-groups"]["dev"],
    ):
        print(re.sub(r">=([\w.]+)(,.*)?$", r"==\1", requirement))


if __name__ == "__main__":
    main()
