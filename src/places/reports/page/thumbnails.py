"""Small pictures for a page, read from the shards of a split; none where they are not at hand."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg

from places.console import printable
from places.data.remote.listed import listed_urls
from places.data.remote.urls import is_url
from places.data.streaming.any_format import decoder_of
from places.data.streaming.samples import SplitSamples, open_samples
from places.errors import PlacesError
from places.reports.run_facts import RunFacts

_SIDE = 144  # pixels
_QUALITY = 72


class Thumbnails:
    """Thumbnails of the pictures that a test scored.

    Attributes:
        why_not: Why there are none, a sentence; empty if there are some.
    """

    def __init__(self, facts: RunFacts) -> None:
        self.why_not = ""
        self._made: dict[int, str] = {}
        self._samples: SplitSamples | None = None
        try:
            self._samples = _open(facts)
        except (PlacesError, OSError, ValueError) as error:
            self.why_not = printable(str(error).partition("\n")[0])[:200]

    def of(self, position: int, key: str) -> str:
        """Return a picture of the split as a data URL; an empty string if it is not there.

        Args:
            position: Its row in the table of pictures, which is its place in the split.
            key: Its name, which the shard has to confirm.
        """
        if position not in self._made:
            self._made[position] = self._thumbnail(position, key)
        return self._made[position]

    def close(self) -> None:
        """Close the shards."""
        if self._samples is not None:
            self._samples.close()

    def _thumbnail(self, position: int, key: str) -> str:
        if self._samples is None or position >= self._samples.manifest.num_samples:
            return ""
        try:
            (entry,) = self._samples.entries(np.array([position]))
            found, picture = self._samples.read(entry)
            if found != key:
                return ""
            pixels = decoder_of(self._samples.manifest.formats)(picture)
        except (PlacesError, OSError, ValueError):
            return ""
        scale = min(1.0, _SIDE / max(pixels.shape[:2]))
        height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
        small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(small), _QUALITY, "RGB", "420")
        return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def _open(facts: RunFacts) -> SplitSamples:
    """Open the split that was scored.

    Raises:
        ValueError: It is not here, or another one.
        PlacesError: It is damaged.
    """
    result = facts.result or {}
    told: Mapping[str, Any] = result["data"] if isinstance(result.get("data"), dict) else {}
    root = _root_of(facts)
    if root is None or not isinstance(told.get("split"), str):
        raise ValueError("nothing tells where the pictures are")
    if is_url(root):
        raise ValueError("the pictures are not on this machine, and a page fetches nothing")
    if told["split"] not in ("train", "val", "test") or not Path(root).is_dir():
        raise ValueError(f"the pictures are not at {root}, seen from here")
    if listed_urls(Path(root), told["split"]):
        raise ValueError("the pictures are not on this machine, and a page fetches nothing")
    samples = open_samples(root, told["split"])
    if samples.manifest.digest != told.get("manifest_digest"):
        samples.close()
        raise ValueError(f"other pictures are at {root} now")
    return samples


def _root_of(facts: RunFacts) -> str | None:
    content: object = facts.config
    for key in ("data", "init_args", "root"):
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, str) and "\0" not in content else None
