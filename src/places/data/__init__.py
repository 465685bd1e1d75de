"""From archives to batches: pack, plan, stream. Imports nothing, so that packing needs no torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from places.data.standalone import open as open  # used as places.data.open

__all__ = ["open"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # whatever the module holds
    if name != "open":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from places.data.standalone import open  # imports torch, so only when asked for

    return open
