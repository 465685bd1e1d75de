"""`run.json`: what ran, with what, where its time went, and how it ended. Written while it runs."""

import math
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from places.console import printable

RUN_FILE = "run.json"
FORMAT, VERSION = "places.run", 1
_MAX_ENTRIES = 100
_MAX_SILENCE_S = 1800  # a long validation
_MAX_CHARACTERS = 500


def process_of() -> dict[str, Any]:
    """Return what tells this process from all others: machine, number and when it started."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "started": _start_of(os.getpid())}


def is_going_on(record: Mapping[str, Any]) -> bool:
    """Tell whether the run of a record goes on: it has not ended, and its process is there.

    Of a process on another machine only the record tells, which is written once a minute.
    """
    process = record.get("process")
    if record.get("ended") is not None or not isinstance(process, dict):
        return False
    if process.get("host") != socket.gethostname():
        return _age_s(record.get("written")) < _MAX_SILENCE_S
    pid = process.get("pid")
    return isinstance(pid, int) and _start_of(pid) == process.get("started") is not None


def _age_s(moment: object) -> float:
    try:
        written = datetime.fromisoformat(str(moment))
        return (datetime.now(UTC) - written).total_seconds()
    except (TypeError, ValueError):  # TypeError: a moment without its zone
        return math.inf


def _start_of(pid: int) -> int | None:
    """Return when a process started, in ticks since the machine did; `None` if there is none."""
    try:
        text = Path(f"/proc/{pid:d}/stat").read_text(errors="replace")
        # The name of the program, in brackets, may hold anything.
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def number_table(found: object) -> dict[str, float]:
    """Return what are finite numbers of at least 0, by their names, of something that was read."""
    pairs = list(found.items())[:_MAX_ENTRIES] if isinstance(found, dict) else []
    return {
        printable(str(name))[:_MAX_CHARACTERS]: float(value)
        for name, value in pairs
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value < 1e18
        and math.isfinite(value)
    }


def text_table(found: object) -> dict[str, str]:
    """Return what can be shown as a text, by its name, of something that was read."""
    pairs = list(found.items())[:_MAX_ENTRIES] if isinstance(found, dict) else []
    return {
        printable(str(name))[:_MAX_CHARACTERS]: printable(str(value))[:_MAX_CHARACTERS]
        for name, value in pairs
        if isinstance(value, str | int | float)
    }
