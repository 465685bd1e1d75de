"""The loader of `places`: shards, uint8 batches; flips are left to the device."""

from collections.abc import Iterator

import torch
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, Epoch, Task, measure

import places
from places.data.streaming.batches import TrainCrop, Workers, train_batches
from places.data.streaming.samples import open_samples


def open_loader(task: Task, shards: str = "shards") -> Epoch:
    """Return what begins an epoch; each has another order and other crops."""
    source = open_samples(task.folder / shards, "train")
    crop = TrainCrop(IMAGE_SIZE, CROP_SCALE, CROP_RATIO, flip=True)
    workers = Workers(num_threads=task.num_threads)
    num_epochs = 0

    def epoch() -> Iterator[torch.Tensor]:
        nonlocal num_epochs
        num_epochs += 1
        for batch in train_batches(
            source, crop, workers, batch_size=task.batch_size, seed=0, epoch=num_epochs
        ):
            yield batch["image"]

    return epoch


if __name__ == "__main__":
    measure(open_loader, places.__version__)
