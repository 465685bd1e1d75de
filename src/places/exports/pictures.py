"""The pictures on which an exported network is compared with the one it came from."""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from places.console import FirstFew, counted
from places.data.folder_pictures import pictures_in
from places.data.given_batches import batches_of
from places.data.remote.urls import is_url
from places.data.standalone import open as open_split
from places.data.streaming.batches import EvalCrop
from places.errors import ConfigError
from places.synthetic.scenes.draw import SCENES, draw_scene

_BATCH_SIZE = 32
_MAX_PIXELS = 250_000_000
_NUM_DRAWN = 24  # each takes about 50 ms


class Pictures(NamedTuple):
    """Pictures as the network takes them, but for their colours.

    Attributes:
        images: `(N, 3, S, S)` uint8.
        labels: `(N,)` int64, -1 where there is none; `None` for pictures without labels.
        words: Which they are, for the answer.
    """

    images: Tensor
    labels: Tensor | None
    words: str

    def batches(self) -> list[Tensor]:
        """Return the pictures, some at a time."""
        return list(torch.split(self.images, _BATCH_SIZE))


def pictures_for(
    crop: EvalCrop,
    images: Path | None,
    root: Path | None,
    stored: Mapping[str, Any],
    num_pictures: int,
    split: str,
) -> Pictures:
    """Return real pictures, or drawn ones where there are none.

    Args:
        crop: How they are cut.
        images: A folder of pictures, which wins.
        root: A folder of shards; that of the checkpoint's data by default.
        stored: The config of the checkpoint's data; a folder in it is taken if it is there, a URL
            never is: a file of others does not choose whom this machine asks.
        num_pictures: How many, at most.
        split: Which split of the shards.

    Raises:
        DataError: There are none where they should be.
    """
    if images is not None:
        return _from_folder(images, crop, num_pictures)
    told = stored.get("root")
    folder = root
    if folder is None and isinstance(told, str) and not is_url(told):
        folder = Path(told) if (Path(told) / f"{split}.json").is_file() else None
    if folder is not None:
        return _from_shards(folder, split, crop, num_pictures)
    generator = np.random.default_rng(0)
    drawn = [
        draw_scene(SCENES[number % len(SCENES)], generator)
        for number in range(min(num_pictures, _NUM_DRAWN))
    ]
    words = f"{counted(len(drawn), 'drawn picture')}, as no real ones are given (--images FOLDER)"
    return Pictures(_cut(drawn, crop), None, words)


def _from_folder(folder: Path, crop: EvalCrop, num_pictures: int) -> Pictures:
    if not folder.is_dir():
        raise ConfigError(f"`images` must be a folder of pictures, not {folder}")
    paths = list(islice(pictures_in(str(folder), FirstFew()), num_pictures))
    if not paths:
        raise ConfigError(f"no pictures in {folder}")
    found = _cut(paths, crop)
    if not len(found):
        raise ConfigError(f"no picture in {folder} can be read")
    return Pictures(found, None, f"{counted(len(found), 'picture')} of {folder}")


def _from_shards(folder: Path, split: str, crop: EvalCrop, num_pictures: int) -> Pictures:
    loader = open_split(
        folder,
        split,
        min(_BATCH_SIZE, num_pictures),
        train=False,
        image_size=crop.image_size,
        resize_size=crop.resize_size,
        resize_mode=crop.resize_mode,
    )
    images, labels, count = [], [], 0
    for batch in loader:
        is_real = batch["weight"] > 0
        images.append(batch["image"][is_real].clone())
        labels.append(batch["label"][is_real].clone())
        count += len(images[-1])
        if count >= num_pictures:
            break
    found = torch.cat(images)[:num_pictures].contiguous()
    words = f"{counted(len(found), 'picture')} of the split {split} in {folder}"
    return Pictures(found, torch.cat(labels)[:num_pictures], words)


def _cut(given: list[Any], crop: EvalCrop) -> Tensor:
    rows = []
    batches = batches_of(
        given,
        crop,
        batch_size=_BATCH_SIZE,
        max_pixels=_MAX_PIXELS,
        exact=True,
        pin_memory=False,
    )
    for images, cuts in batches:
        rows += [row.clone() for row, cut in zip(images, cuts, strict=False) if not cut.error]
    if not rows:
        return torch.empty(0, 3, crop.image_size, crop.image_size, dtype=torch.uint8)
    return torch.stack(rows).contiguous()
