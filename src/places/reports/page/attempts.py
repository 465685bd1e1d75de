"""Parts of a page that may fail one by one: what a run left may be damaged or somebody's joke."""

from collections.abc import Callable
from typing import TypeVar

from places.console import printable

_T = TypeVar("_T")


class Attempts:
    """Builds the parts of a page, and notes those that cannot be shown.

    Attributes:
        notes: A sentence for each part that is missing.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []

    def part(self, what: str, build: Callable[[], _T]) -> _T | None:
        """Return a part of the page, or `None` if it cannot be built, for whatever reason.

        Args:
            what: What it shows, as the note calls it.
            build: Builds it.
        """
        try:
            return build()
        except Exception as error:  # of files that may hold anything
            reason = printable(f"{type(error).__name__}: {error}".partition("\n")[0])[:160]
            self.notes.append(f"{what} cannot be shown: {reason}")
            return None
