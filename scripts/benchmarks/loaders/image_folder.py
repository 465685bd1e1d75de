"""torchvision's reference pipeline: ImageFolder, Pillow, a DataLoader with worker processes."""

import torchvision
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, MEAN, STD, Epoch, Task, measure
from torch.utils.data import DataLoader
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
    loader = DataLoader(
        torchvision.datasets.ImageFolder(str(task.folder / "pictures"), transform),
        batch_size=task.batch_size,
        shuffle=True,
        num_workers=task.num_threads,
        persistent_workers=True,
    )
    return lambda: (images for images, _ in loader)


if __name__ == "__main__":
    measure(open_loader, torchvision.__version__)
