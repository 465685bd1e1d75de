"""WebDataset as documented: shards, Pillow, torchvision's transforms, worker processes."""

import webdataset
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, MEAN, STD, Epoch, Task, measure
from torchvision import transforms


def open_loader(task: Task) -> Epoch:
    """Return what begins an epoch; the processes stay from one to the next."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(IMAGE_SIZE, scale=CROP_SCALE, ratio=CROP_RATIO),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    shards = [str(path) for path in sorted(task.folder.glob("shards/train-*.tar"))]
    dataset = (
        webdataset.WebDataset(shards, shardshuffle=len(shards))
        .shuffle(1000)
        .decode("pil")
        .to_tuple("jpg", "cls")
        .map_tuple(transform)
    )
    loader = webdataset.WebLoader(
        dataset,
        batch_size=task.batch_size,
        num_workers=task.num_threads,
        persistent_workers=True,
    )
    return lambda: (images for images, _ in loader)


if __name__ == "__main__":
    measure(open_loader, webdataset.__version__)
