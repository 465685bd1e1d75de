"""TurboLoader on a tar of JPEGs: its threads crop, flip and normalise.

It gives no labels but the number of each picture, by which its users look them up.
"""

import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import turboloader
from measure import IMAGE_SIZE, Epoch, Task, measure


def write_tar(task: Task) -> Path:
    """Write the one tar that it takes, if there is none."""
    tar = task.folder / "turboloader.tar"
    if not tar.exists():
        unfinished = tar.with_suffix(".part")
        with tarfile.open(unfinished, "w") as file:
            for number, path in enumerate(sorted(task.folder.glob("pictures/**/*.jpg"))):
                file.add(path, f"{number:06d}.jpg")
        unfinished.replace(tar)
    return tar


def epochs_of(loader: turboloader.DataLoader) -> Epoch:
    """Return what begins an epoch, each with another order and other crops."""
    num_epochs = 0

    def epoch() -> Iterator[np.ndarray]:
        nonlocal num_epochs
        num_epochs += 1
        loader.set_epoch(num_epochs)
        for images, _ in loader:
            yield images

    return epoch


def open_loader(task: Task) -> Epoch:
    """Return what begins an epoch."""
    loader = turboloader.DataLoader(
        str(write_tar(task)),
        batch_size=task.batch_size,
        num_workers=task.num_threads,
        image_size=IMAGE_SIZE,
        output_format="pytorch",
        transform=turboloader.ImageNetNormalize(),
        train_aug=True,
        shuffle=True,
        seed=0,
    )
    return epochs_of(loader)


if __name__ == "__main__":
    measure(open_loader, version("turboloader"))
