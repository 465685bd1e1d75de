"""docs/runtime.md shows what the files in docs/measured say."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from places.reports.networks_file import SCHEMA, read_networks

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "docs" / "measured").glob("*.json"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_was_measured_has_the_form_of_its_schema(file: Path) -> None:
    jsonschema.validate(read_networks(file), json.loads(SCHEMA.read_text()))


def test_the_tables_are_those_of_the_files() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "runtime_tables.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
