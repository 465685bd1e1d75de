"""FFCV in its JPEG mode, with the JPEG bytes as they are, and what its raw mode shares with it."""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
from ffcv.fields.rgb_image import IMAGE_MODES
from ffcv.loader import Loader, OrderOption
from ffcv.transforms import ToTensor
from ffcv.writer import DatasetWriter
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, Epoch, Task, measure
from PIL import Image

Mode = Literal["jpg", "raw"]


class Pictures:
    """The paths of the pictures or, in raw mode, their pixels; with a number as label."""

    def __init__(self, paths: list[Path], mode: Mode) -> None:
        self._paths, self._mode = paths, mode

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self._paths)

    def __getitem__(self, number: int) -> tuple[Any, int]:
        """Return a picture as FFCV's writer takes it, and its label."""
        path = self._paths[number]
        return (path if self._mode == "jpg" else Image.open(path).convert("RGB")), number


def store_as_it_is(
    row: Any,  # noqa: ANN401 - a row of FFCV's table
    path: Path,
    allocate: Callable[[int], tuple[int, Any]],
) -> None:
    """Do what `RGBImageField.encode` does, but for encoding the picture again."""
    jpeg = np.frombuffer(path.read_bytes(), np.uint8)
    row["mode"] = IMAGE_MODES["jpg"]
    with Image.open(path) as image:
        row["width"], row["height"] = image.size
    row["data_ptr"], place = allocate(jpeg.nbytes)
    place[:] = jpeg


def open_loader(task: Task, mode: Mode = "jpg") -> Epoch:
    """Write FFCV's file if there is none, and return what begins an epoch."""
    file = task.folder / f"{mode}.beton"
    if not file.exists():
        image = RGBImageField(write_mode=mode)
        if mode == "jpg":
            # Set on the object: a class of its own would be unknown to FFCV's reader.
            image.encode = store_as_it_is
        unfinished = file.with_suffix(".part")
        writer = DatasetWriter(str(unfinished), {"image": image, "label": IntField()})
        writer.num_workers = task.num_threads
        paths = sorted(task.folder.glob("pictures/**/*.jpg"))
        writer.from_indexed_dataset(Pictures(paths, mode), shuffle_indices=True)
        unfinished.replace(file)
    decoder = RandomResizedCropRGBImageDecoder((IMAGE_SIZE, IMAGE_SIZE), CROP_SCALE, CROP_RATIO)
    loader = Loader(
        str(file),
        batch_size=task.batch_size,
        num_workers=task.num_threads,
        order=OrderOption.RANDOM,
        os_cache=True,
        drop_last=False,
        pipelines={"image": [decoder, ToTensor()], "label": [IntDecoder(), ToTensor()]},
    )
    return lambda: (images for images, _ in loader)


if __name__ == "__main__":
    measure(open_loader, version("ffcv"))
