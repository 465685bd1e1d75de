"""Commands as people type them, on unusual sources."""

from pathlib import Path

import pytest
from tests.data.packing.unusual import Outcome, Run

from places.cli.main import main as places


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command and returns the exit status and all lines that were printed."""

    def run_(*words: object) -> Outcome:
        status = places([str(word) for word in words])
        printed = capsys.readouterr()
        lines = [*printed.out.splitlines(), *printed.err.splitlines()]
        assert all(line.isprintable() for line in lines)
        assert "Traceback" not in printed.err
        assert len(printed.err.splitlines()) <= 4
        return status, lines

    return run_


@pytest.fixture
def pack(run: Run, tmp_path: Path) -> Run:
    """Packs sources as val and returns the exit status and the lines."""

    def pack_(*sources: Path) -> Outcome:
        return run("pack", *sources, "--root", tmp_path / "root", "--split", "val", "--force")

    return pack_
