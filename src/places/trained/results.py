"""What a network answers about a picture, for programs and for people."""

from dataclasses import dataclass

from places.console import printable

_BAR_WIDTH = 20
_NUM_SHOWN = 3  # categories in a `repr`


@dataclass(frozen=True)
class Category:
    """A category with its chance.

    Attributes:
        name: As `church/outdoor`.
        label: Its number.
        probability: In 0..1.
    """

    name: str
    label: int
    probability: float


@dataclass(frozen=True, repr=False)
class Prediction:
    """The answer about one picture, or why there is none.

    Attributes:
        path: Its path as it was given; `None` for a picture in memory.
        categories: The best categories, best first; none if there is an error.
        indoor: Sum of the probabilities of all indoor categories, in 0..1; `None` if there is an
            error, or nobody knows which are indoor.
        width: Width of the upright picture in pixels; `None` if it could not be read.
        height: Its height.
        error: Why there is no answer, or an empty string.
    """

    path: str | None
    categories: tuple[Category, ...] = ()
    indoor: float | None = None
    width: int | None = None
    height: int | None = None
    error: str = ""

    def __str__(self) -> str:
        """Return the answer as `places predict` prints it: a line and a bar for each category."""
        title = [] if self.path is None else [printable(self.path)]
        if self.error:
            return ": ".join(["unreadable", *title, printable(self.error)])
        width = max((len(category.name) for category in self.categories), default=0)
        lines = (
            f"  {printable(each.name):<{width}}  {each.probability:4.0%}  "
            f"{'█' * round(_BAR_WIDTH * each.probability)}".rstrip()
            for each in self.categories
        )
        return "\n".join([*title, *lines])

    def __repr__(self) -> str:
        """Return the answer in one line."""
        if self.error:
            told = f"error={self.error!r}"
        else:
            best = self.categories[:_NUM_SHOWN]
            more = ", ..." if len(self.categories) > _NUM_SHOWN else ""
            told = ", ".join(f"{each.name} {each.probability:.0%}" for each in best) + more
        return f"Prediction({self.path!r}: {told})"
