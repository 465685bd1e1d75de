"""TurboLoader in its raw mode: pixels in its own file, mapped into memory, given as float16."""

from importlib.metadata import version

import turboloader
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, Epoch, Task, measure
from turboloader_jpeg import epochs_of, write_tar

STORED_SIZE = 256  # all of its pictures have one size; those of the benchmark have this one


def open_loader(task: Task) -> Epoch:
    """Write its file if there is none, and return what begins an epoch."""
    file = task.folder / "turboloader.tbl"
    if not file.exists():
        unfinished = file.with_suffix(".part")
        turboloader.preprocess_to_tbl(str(write_tar(task)), str(unfinished), image_size=STORED_SIZE)
        unfinished.replace(file)
    loader = turboloader.TblRawImageLoader(
        str(file),
        batch_size=task.batch_size,
        image_size=IMAGE_SIZE,
        train_aug=True,
        scale=CROP_SCALE,
        ratio=CROP_RATIO,
        hflip_prob=0.5,
        shuffle=True,
        seed=0,
        dtype="float16",
    )
    return epochs_of(loader)


if __name__ == "__main__":
    measure(open_loader, version("turboloader"))
