"""MosaicML's Streaming: its shards of JPEGs, Pillow, torchvision's transforms, worker processes."""

from collections.abc import Iterator
from pathlib import Path

import streaming
import torch
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, MEAN, STD, Epoch, Task, measure
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms


class Pictures(streaming.StreamingDataset):
    """The pictures, of which each epoch takes other crops."""

    def __init__(self, folder: Path, batch_size: int) -> None:
        super().__init__(local=str(folder), batch_size=batch_size, shuffle=True)
        self._transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(IMAGE_SIZE, scale=CROP_SCALE, ratio=CROP_RATIO),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        """Return a normalised crop, `(3, height, width)` float32, and its label."""
        sample = super().__getitem__(number)
        return self._transform(sample["image"]), sample["label"]


def open_loader(task: Task) -> Epoch:
    """Write the shards if there are none, and return what begins an epoch."""
    folder = task.folder / "streaming"
    if not folder.exists():
        unfinished = folder.with_suffix(".part")
        columns = {"image": "jpeg", "label": "int"}
        with streaming.MDSWriter(out=str(unfinished), columns=columns) as writer:
            for number, path in enumerate(sorted(task.folder.glob("pictures/**/*.jpg"))):
                # A JPEG that is not changed keeps its bytes.
                writer.write({"image": Image.open(path), "label": number})
        unfinished.replace(folder)
    streaming.base.util.clean_stale_shared_memory()
    loader = DataLoader(
        Pictures(folder, task.batch_size),
        batch_size=task.batch_size,
        num_workers=task.num_threads,
        persistent_workers=True,
    )

    def epoch() -> Iterator[torch.Tensor]:
        return (images for images, _ in loader)

    return epoch


if __name__ == "__main__":
    measure(open_loader, streaming.__version__)
