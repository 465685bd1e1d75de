"""Progress of long passes over files, in bytes, on stderr."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

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
