"""The field's plain pipeline: webdataset's reader, a shuffle buffer, Pillow, worker processes.

It is what `places.data.WebDataset` trains with. Its batches are uint8, as those of `places` and of
FFCV: flip and normalisation are left to the device, which spares it two passes over floats.
"""

from itertools import islice

import webdataset
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, Epoch, Task, measure

from places.data.sequential.worker_batches import Failure, Share, training_batches
from places.data.streaming.batches import TrainCrop
from places.data.web_shards import split_in


def open_loader(task: Task) -> Epoch:
    """Return what begins an epoch; the processes stay from one to the next."""
    split = split_in(str(task.folder / "shards"), "train", num_samples=None, timeout_s=10)
    share = Share(split.shards, task.batch_size, rank=0, num_ranks=1, num_workers=task.num_threads)
    crop = TrainCrop(IMAGE_SIZE, CROP_SCALE, CROP_RATIO, flip=True)
    # The workers go through their shards again and again.
    batches = training_batches(
        share, crop, num_batches=1 << 40, buffer=1000, seed=0, pin_memory=False
    )
    num_batches = split.manifest.num_samples // task.batch_size
    return lambda: (
        delivered[0]["image"]
        for delivered in islice(batches, num_batches)
        if not isinstance(delivered, Failure)
    )


if __name__ == "__main__":
    measure(open_loader, webdataset.__version__)
