"""What people are told on stderr: lines, progress, and "n and the first few"."""

import logging
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.progress import Progress

_S_PER_LINE = 10.0


def say(text: object) -> None:
    """Tell the user something, once for all processes: a line after `places: `, or a rich table."""
    if _is_first_process():
        show(f"places: {text}" if isinstance(text, str) else text)


def show(content: object) -> None:
    """Write text or something of rich, a table for instance, to stderr, as it is."""
    if isinstance(content, str):
        # Names from files and words of a server may be anywhere in it: nothing reaches the
        # terminal that is more than text in lines.
        print("\n".join(map(printable, content.split("\n"))), file=sys.stderr)
        return
    from rich.console import Console  # takes longer to import than a help text to print

    Console(stderr=True, highlight=False, soft_wrap=True).print(content, markup=False)


class _Shown(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        show(f"places: {record.getMessage()}")


def show_warnings() -> None:
    """Let warnings that the library logs, such as a skipped sample, be shown like all else."""
    logger = logging.getLogger("places")
    if not logger.handlers:
        logger.addHandler(_Shown(logging.WARNING))


def _is_first_process() -> bool:
    from lightning_utilities.core.rank_zero import rank_zero_only

    # Lightning sets it, when it is imported and again when it starts its processes.
    return getattr(rank_zero_only, "rank", 0) == 0


def printable(text: str) -> str:
    r"""Return text from outside so that it can be shown in one line and do nothing there.

    A byte that is no UTF-8 becomes `\xff`; what moves the cursor, colours, rings or turns the
    direction of writing becomes its escape, such as `\x1b`, `\n` or `\u202e`.
    """
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a file name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def first_few(texts: "Iterable[str]", max_shown: int = 3) -> "FirstFew":
    """Return the first few of some texts, and how many more there are."""
    few = FirstFew(max_shown)
    for text in texts:
        few.add(text)
    return few


@dataclass
class FirstFew:
    """Counts things, and keeps what is said of the first few of them."""

    max_shown: int = 3
    count: int = 0
    shown: list[str] = field(default_factory=list)  # what is said of the first

    def add(self, text: str) -> None:
        """Count one more."""
        self.count += 1
        if self.count <= self.max_shown:
            self.shown.append(text)

    @property
    def more(self) -> str:
        """How many are not shown, in words; an empty string for none."""
        return f"and {self.count - len(self.shown):,} more" if self.count > len(self.shown) else ""

    def __str__(self) -> str:
        """Return the first few in one line, and how many more there are."""
        return " ".join(filter(None, [", ".join(self.shown), self.more]))


class Counter:
    """How far a long piece of work has come; made by `progress`, which says what its words mean.

    Without a bar it writes a line of text every ten seconds.
    """

    def __init__(self, title: str, total: int, unit: str, bar: "Progress | None" = None) -> None:
        self._title, self._total, self._unit, self._done = title, total, unit, 0
        self._start_s = self._line_s = time.monotonic()
        self._bar = bar
        self._task = bar.add_task(title, total=total) if bar else None

    def expect(self, num: int) -> None:
        """Add to what there is to do."""
        self._total += num
        if self._bar and self._task is not None:
            self._bar.update(self._task, total=self._total)

    def advance(self, num: int) -> None:
        """Count as done."""
        self._done += num
        if self._bar and self._task is not None:
            self._bar.advance(self._task, num)
        elif time.monotonic() - self._line_s > _S_PER_LINE:
            self._line_s = time.monotonic()
            show(self._line())

    def _line(self) -> str:
        per_s = self._done / (self._line_s - self._start_s)
        left_s = (self._total - self._done) / max(per_s, 1e-9)
        in_mb = self._unit == "bytes"
        rate = f"{per_s / 1e6:,.0f} MB/s" if in_mb else f"{per_s:,.1f} {self._unit}/s"
        part = self._done / max(self._total, 1)
        return f"{self._title}: {part:.0%}, {rate}, {left_s:,.0f} s left"


@contextmanager
def progress(title: str, total: int, unit: str = "bytes") -> "Iterator[Counter]":
    """Show how far a long piece of work has come, with its rate and the time left.

    On a terminal that is a bar, which goes away at the end; else a line every ten seconds.

    Args:
        title: What is being done, shown in front.
        total: How much there is to do; more can be added with `Counter.expect`.
        unit: What is counted: "bytes", or "pictures" and the like.
    """
    if not sys.stderr.isatty():
        yield Counter(title, total, unit)
        return
    # Takes longer to import than a help text to print.
    from rich import progress as rich
    from rich.console import Console

    columns = (
        (rich.DownloadColumn(), rich.TransferSpeedColumn())
        if unit == "bytes"
        else (rich.MofNCompleteColumn(), rich.TextColumn(unit))
    )
    with rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(),
        *columns,
        rich.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        yield Counter(title, total, unit, bar)
