"""LitData: chunks of JPEGs, torchvision's decoder and its transforms of uint8, worker processes."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import litdata
import torch
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, Epoch, Task, measure
from PIL import Image
from torchvision.transforms import v2


class Pictures(litdata.StreamingDataset):
    """The pictures, of which each epoch takes other crops."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), shuffle=True)
        self._transform = v2.Compose(
            [
                v2.RandomResizedCrop(IMAGE_SIZE, scale=CROP_SCALE, ratio=CROP_RATIO),
                v2.RandomHorizontalFlip(),
            ]
        )

    def __getitem__(self, index: Any) -> tuple[torch.Tensor, int]:  # noqa: ANN401 - LitData's own
        """Return a crop, `(3, height, width)` uint8, and its label."""
        sample = super().__getitem__(index)
        return self._transform(sample["image"]), sample["label"]


def as_it_is(sample: tuple[Path, int]) -> dict[str, Any]:
    """Return what becomes a row of LitData's chunks; a JPEG that is not changed keeps its bytes."""
    path, label = sample
    return {"image": Image.open(path), "label": label}


def open_loader(task: Task) -> Epoch:
    """Write LitData's chunks if there are none, and return what begins an epoch."""
    folder = task.folder / "litdata"
    if not folder.exists():
        paths = sorted(task.folder.glob("pictures/**/*.jpg"))
        unfinished = folder.with_suffix(".part")
        litdata.optimize(
            as_it_is,
            list(zip(paths, range(len(paths)), strict=True)),
            str(unfinished),
            chunk_bytes="64MB",
            num_workers=task.num_threads,
        )
        unfinished.replace(folder)
    loader = litdata.StreamingDataLoader(
        Pictures(folder),
        batch_size=task.batch_size,
        num_workers=task.num_threads,
        persistent_workers=True,
    )
    return lambda: (images for images, _ in loader)


if __name__ == "__main__":
    measure(open_loader, version("litdata"))
