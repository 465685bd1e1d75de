"""What a check of the machine says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line about the machine.

    Attributes:
        topic: What it is about, such as "lightning" or "open files".
        seen: What was seen, such as a version.
        problem: What is wrong with that; empty if nothing is.
        remedy: What to type or do then.
    """

    topic: str
    seen: str
    problem: str = ""
    remedy: str = ""
