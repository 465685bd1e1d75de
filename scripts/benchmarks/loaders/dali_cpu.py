"""DALI on the CPU: shards, decoding of the crop alone, uint8 batches that are not copied."""

from collections.abc import Iterator

import numpy as np
import nvidia.dali
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, Epoch, Task, measure
from nvidia.dali import fn, pipeline_def


@pipeline_def
def pipeline(shards: list[str]) -> tuple:
    """Read a JPEG and its label, decode and resize a random crop."""
    jpegs, labels = fn.readers.webdataset(
        paths=shards, ext=["jpg", "cls"], random_shuffle=True, initial_fill=1000, name="reader"
    )
    crops = fn.decoders.image_random_crop(
        jpegs, device="cpu", random_area=CROP_SCALE, random_aspect_ratio=CROP_RATIO
    )
    return fn.resize(crops, device="cpu", size=(IMAGE_SIZE, IMAGE_SIZE)), labels


def open_loader(task: Task) -> Epoch:
    """Return what begins an epoch; without a GPU, `device_id` is None."""
    shards = [str(path) for path in sorted(task.folder.glob("shards/train-*.tar"))]
    pipe = pipeline(
        shards, batch_size=task.batch_size, num_threads=task.num_threads, device_id=None, seed=0
    )
    pipe.build()
    num_batches = pipe.epoch_size("reader") // task.batch_size

    def epoch() -> Iterator[np.ndarray]:
        for _ in range(num_batches):
            images, _ = pipe.run()
            yield np.asarray(images.as_tensor())

    return epoch


if __name__ == "__main__":
    measure(open_loader, nvidia.dali.__version__)
