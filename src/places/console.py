"""What people are told: lines and tables, progress, and "n and the first few".

All that a command writes for people goes through `_write`, which lets nothing but text pass.
"""

import io
import logging
import os
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from places.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rich.progress import Progress, ProgressColumn

_S_PER_LINE = 30.0
_WIDEST = 10_000  # characters of a row where nothing says how many fit


def say(text: object) -> None:
    """Tell the user something, once for all processes: a line after `places: `, or a rich table."""
    if is_first_process():
        show(f"places: {text}" if isinstance(text, str) else text)


def show(content: object) -> None:
    """Write text or something of rich, a table for instance, to stderr.

    Nobody may be there to read it: that ends no command.
    """
    with suppress(OSError, ValueError):  # ValueError: the file is closed
        _write(content, sys.stderr)
        sys.stderr.flush()


def put(content: object) -> None:
    """Write text or something of rich, a table for instance, to stdout: what was asked for.

    Raises:
        StorageError: It cannot be written, to a full disk for instance.
        BrokenPipeError: Whoever read it has gone.
    """
    with _told():
        _write(content, sys.stdout)
        sys.stdout.flush()


def flush_output() -> None:
    """Write what libraries printed, such as a help text, while an error can still be told.

    Raises:
        StorageError: It cannot be written.
        BrokenPipeError: Whoever read it has gone.
    """
    with _told():
        sys.stdout.flush()


@contextmanager
def _told() -> "Iterator[None]":
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        what = f"cannot write to stdout: {error.strerror or error}"
        raise StorageError(what, "see where it goes: to a full disk, or closed?") from error


def discard_output() -> None:
    """Drop what could not be written, which Python would try again when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_standard_files() -> None:
    """Open stdin, stdout and stderr if they are closed: else a checkpoint may become one of them.

    What is written to stdout then fails, as it should: it was asked for. No letter ends a command.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # opening takes the lowest number that is free
            os.open(os.devnull, os.O_WRONLY if descriptor == 2 else os.O_RDONLY)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - stays open
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # stderr does so anyway


def _write(content: object, file: TextIO) -> None:
    text = f"{printable_lines(content)}\n" if isinstance(content, str) else _drawn(content, file)
    file.write(text)


def _drawn(content: object, file: TextIO) -> str:
    """Return what rich makes of something, in the colours and the width of a file."""
    from rich.console import Console  # takes longer to import than a help text to print
    from rich.segment import Segment, Segments

    console = Console(file=file, highlight=False, markup=False)
    options = console.options
    if not file.isatty():  # has no width: rows as long as they are
        options = options.update(no_wrap=True, overflow="ignore", max_width=_WIDEST)
    parts = [
        part if part.control or part.text == "\n" else Segment(printable(part.text), part.style)
        for part in console.render(content, options)  # type: ignore[arg-type]  # whatever rich draws
    ]
    with console.capture() as drawn:
        console.print(Segments(parts), end="", soft_wrap=True)
    return drawn.get()


def show_cursor() -> None:
    """Give the terminal back its cursor, which a progress bar hides; from any thread."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.isatty(descriptor):
                os.write(descriptor, b"\x1b[?25h")


class _Shown(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        show(f"places: {record.getMessage()}")


def show_warnings() -> None:
    """Let warnings that the library logs, such as a skipped sample, be shown like all else."""
    logger = logging.getLogger("places")
    if not logger.handlers:
        logger.addHandler(_Shown(logging.WARNING))


def is_first_process() -> bool:
    """Tell whether this process speaks for all processes of its run."""
    # Lightning sets it, when it is imported and again when it starts its processes.
    ranks = sys.modules.get("lightning_utilities.core.rank_zero")
    rank = getattr(getattr(ranks, "rank_zero_only", None), "rank", None)
    return os.environ.get("LOCAL_RANK", "0") == "0" if rank is None else rank == 0


def printable(text: str) -> str:
    r"""Return text from outside so that it can be shown in one line and do nothing there.

    A byte that is no UTF-8 becomes `\xff`; what moves the cursor, colours, rings or turns the
    direction of writing becomes its escape, such as `\x1b`, `\n` or `\u202e`.
    """
    return "".join(map(_visible, text))


def printable_lines(text: str) -> str:
    """Return text in lines, in which names from files and words of a server may be anywhere."""
    return "\n".join(map(printable, text.split("\n")))


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a file name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def counted(num: int, noun: str, plural: str = "") -> str:
    """Return how many there are of something, such as "1 picture" or "1,200 pictures".

    Args:
        num: How many.
        noun: What one of them is called.
        plural: What several are called, if not the same with an s.
    """
    return f"{num:,} {noun if num == 1 else plural or noun + 's'}"


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

    def add_all(self, others: "FirstFew") -> None:
        """Count what others counted."""
        room = max(self.max_shown - len(self.shown), 0)
        self.shown += others.shown[:room]
        self.count += others.count

    @property
    def more(self) -> str:
        """How many are not shown, in words; an empty string for none."""
        return f"and {self.count - len(self.shown):,} more" if self.count > len(self.shown) else ""

    def __str__(self) -> str:
        """Return the first few in one line, and how many more there are."""
        return " ".join(filter(None, [", ".join(self.shown), self.more]))


class Counter:
    """How far a long piece of work has come; made by `progress`, which says what its words mean.

    Without a bar it writes a line of text every 30 seconds.
    """

    def __init__(
        self,
        title: str,
        total: int,
        unit: str,
        bar: "Progress | None" = None,
        s_per_line: float | None = None,
    ) -> None:
        self._title, self._note, self._total, self._unit, self._done = title, "", total, unit, 0
        self._start_s = self._line_s = time.monotonic()
        self._s_per_line = _S_PER_LINE if s_per_line is None else s_per_line
        self._bar = bar
        self._task = bar.add_task(title, total=total or None, note="") if bar else None

    def describe(self, title: str, note: str = "") -> None:
        """Change the words in front, and those behind."""
        self._title, self._note = title, note
        if self._bar and self._task is not None:
            self._bar.update(self._task, description=printable(title), note=printable(note))

    def expect(self, num: int) -> None:
        """Add to what there is to do."""
        self._total += num
        if self._bar and self._task is not None:
            self._bar.update(self._task, total=self._total or None)

    def advance(self, num: int) -> None:
        """Count as done."""
        self._done += num
        if self._bar and self._task is not None:
            self._bar.advance(self._task, num)
        elif time.monotonic() - self._line_s > self._s_per_line:
            self._line_s = time.monotonic()
            show(self._line())

    def _line(self) -> str:
        per_s = self._done / max(self._line_s - self._start_s, 1e-9)
        part = f"{self._done / self._total:.0%}" if self._total else ""  # else nobody knows
        parts = [part, rate_in_words(per_s, self._unit)]
        if per_s > 0 and self._total:
            parts.append(f"{time_in_words((self._total - self._done) / per_s)} left")
        return f"{self._title}: {', '.join(filter(None, [*parts, self._note]))}"


def rate_in_words(per_s: float, unit: str) -> str:
    """Return how many are done in a second, or in a minute where they are slow; "" for none.

    Args:
        per_s: The number in a second.
        unit: What is counted; "bytes" are shown as MB or kB.
    """
    if per_s <= 0:
        return ""
    if unit == "bytes":
        return f"{per_s / 1e6:,.0f} MB/s" if per_s >= 1e6 else f"{per_s / 1e3:,.0f} kB/s"
    return f"{per_s:,.1f} {unit}/s" if per_s >= 0.1 else f"{60 * per_s:,.2g} {unit}/min"


def time_in_words(seconds: float) -> str:
    """Return a time as one says it: "20 s", "45 min", "3 h 5 min"."""
    if seconds < 600:
        return f"{seconds:,.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 2:
        return f"{60 * hours + minutes} min"
    return f"{hours:,} h {minutes} min"


def size_in_words(num_bytes: float) -> str:
    """Return a size in words, such as "1.22 GB"."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            number = num_bytes / scale
            return f"{number:,.3g} {unit}" if number < 1000 else f"{number:,.0f} {unit}"
    return f"{num_bytes:.0f} byte" + "s" * (num_bytes != 1)


def _rate_column(unit: str) -> "ProgressColumn":
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        """How many are done in a second."""

        def render(self, task: Task) -> Text:
            """Return the text, empty as long as nobody knows."""
            return Text(rate_in_words(task.speed or 0.0, unit))

    return Rate()


@contextmanager
def progress(
    title: str, total: int, unit: str = "bytes", s_per_line: float | None = None
) -> "Iterator[Counter]":
    """Show how far a long piece of work has come, with its rate and the time left.

    On a terminal that is a bar, which goes away at the end; else a line every 30 seconds.

    Args:
        title: What is being done, shown in front.
        total: How much there is to do; more can be added with `Counter.expect`.
        unit: What is counted: "bytes", or "pictures" and the like.
        s_per_line: Time between two lines, in seconds, if not 30.
    """
    if not sys.stderr.isatty():
        yield Counter(title, total, unit, s_per_line=s_per_line)
        return
    # Takes longer to import than a help text to print.
    from rich import progress as rich
    from rich.console import Console

    columns = (
        (rich.DownloadColumn(), rich.TransferSpeedColumn())
        if unit == "bytes"
        else (rich.MofNCompleteColumn(), _rate_column(unit))
    )
    with rich.Progress(
        rich.TextColumn("{task.description}"),
        rich.BarColumn(bar_width=None),
        *columns,
        rich.TimeRemainingColumn(),
        rich.TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    ) as bar:
        yield Counter(printable(title), total, unit, bar)
