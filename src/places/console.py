"""What people are told on stderr: lines, progress, and "n and the first few"."""

import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lightning.pytorch.utilities import rank_zero_only

if TYPE_CHECKING:
    from rich.progress import Progress

_S_PER_LINE = 10.0


class ByteProgress:
    """A bar with rate and time left on a terminal, else a line of text every ten seconds.

    Args:
        title: What is being done, shown in front.
        total_bytes: Bytes to pass; more can be added with `expect`.
    """

    def __init__(self, title: str, total_bytes: int) -> None:
        self._title = title
        self._total_bytes = total_bytes
        self._done_bytes = 0
        self._start_s = self._line_s = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        """Show the bar."""
        if sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task(self._title, total=self._total_bytes)
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        if self._bar:
            self._bar.stop()

    def expect(self, num_bytes: int) -> None:
        """Add to the bytes that there are to pass."""
        self._total_bytes += num_bytes
        if self._bar:
            self._bar.update(self._task, total=self._total_bytes)

    def advance(self, num_bytes: int) -> None:
        """Count bytes as passed."""
        self._done_bytes += num_bytes
        if self._bar:
            self._bar.advance(self._task, num_bytes)
        elif time.monotonic() - self._line_s > _S_PER_LINE:
            self._line_s = time.monotonic()
            sys.stderr.write(self._line() + "\n")

    def _line(self) -> str:
        mb_per_s = self._done_bytes / (self._line_s - self._start_s) / 1e6
        left_s = (self._total_bytes - self._done_bytes) / max(mb_per_s * 1e6, 1)
        part = self._done_bytes / max(self._total_bytes, 1)
        return f"{self._title}: {part:.0%}, {mb_per_s:,.0f} MB/s, {left_s:,.0f} s left"


def _bar() -> "Progress":
    # rich takes longer to import than a help text to print.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


@dataclass
class LeftOut:
    """Files that are not packed: how many, and the first few names."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: bytes) -> None:
        """Count a file."""
        self.count += 1
        if self.count <= 3:
            self.names.append(name.decode(errors="replace"))

    def __str__(self) -> str:
        """Return the names, and how many more there are."""
        more = self.count - len(self.names)
        return ", ".join(self.names) + (f" and {more:,} more" if more else "")


@dataclass
class Problems:
    """What is wrong with a split: how much, and the first lines of it."""

    count: int = 0
    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Note a problem."""
        self.count += 1
        if self.count <= _MAX_LINES:
            self.lines.append(line)

    def __str__(self) -> str:
        """Return all that is printed: a verdict, and a line for each problem."""
        if not self.count:
            return "all is well"
        more = [f"and {self.count - _MAX_LINES:,} more"] if self.count > _MAX_LINES else []
        return "\n  ".join([f"problems: {self.count:,}", *self.lines, *more])


_MAX_LINES = 20


@rank_zero_only
def say(text: str) -> None:
    """Tell the user something, once for all processes."""
    print(f"places: {text}", file=sys.stderr)
