"""From archives to batches: pack, plan, stream. Imports nothing, so that packing needs no torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from places.data.standalone import open as open  # used as places.data.open
    from places.data.web_dataset import WebDataset as WebDataset

__all__ = ["WebDataset", "open"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  # whatever the module holds
    # Both import torch, so only when asked for.
    if name == "open":
        from places.data.standalone import open

        return open
    if name == "WebDataset":
        from places.data.web_dataset import WebDataset

        globals()[name] = WebDataset  # for who looks what there is, and imports nothing
        return WebDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
