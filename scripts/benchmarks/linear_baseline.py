"""Score a linear classifier on 16x16 thumbnails: how far colour and layout alone go.

    python scripts/benchmarks/linear_baseline.py data/sample              # shards
    python scripts/benchmarks/linear_baseline.py data/sample/archives     # archives

Prints one line. The thumbnails are standardised, the classifier is trained to convergence.
"""

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import cross_entropy

SIDE = 16
PENALTY = 0.03  # times the sum of squared weights, beside the mean cross-entropy


def read_lists(folder: Path) -> dict[str, int]:
    """Return the label of each file name in the lists of a folder of archives."""
    labels = {}
    for path in folder.glob("filelist_*.tar"):
        with tarfile.open(path) as tar:
            for name in ("places365_train_standard.txt", "places365_val.txt"):
                for line in tar.extractfile(name).read().decode().splitlines():
                    file_name, label = line.rsplit(" ", 1)
                    labels[file_name.lstrip("/")] = int(label)
    return labels


def read_split(folder: Path, split: str) -> Iterator[tuple[bytes, int]]:
    """Yield the JPEG files and labels of a split, from shards or from its archive."""
    listed = read_lists(folder)
    for path in sorted([*folder.glob(f"{split}-*.tar"), *folder.glob(f"{split}_256*.tar")]):
        with tarfile.open(path) as tar:
            images, labels = {}, {}
            for member in tar:
                key, _, suffix = member.name.rpartition(".")
                if suffix == "jpg":
                    images[key] = tar.extractfile(member).read()
                    labels[key] = listed.get(member.name.partition("/")[2])
                elif suffix == "cls":
                    labels[key] = int(tar.extractfile(member).read())
        for key, image in images.items():
            yield image, labels[key]


def load(folder: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return thumbnails (n, 768) float32 from 0 to 255 and labels (n,) int64."""
    images, labels = [], []
    for file, label in read_split(folder, split):
        thumbnail = Image.open(io.BytesIO(file)).convert("RGB").resize((SIDE, SIDE), Image.BOX)
        images.append(np.asarray(thumbnail, np.float32).ravel())
        labels.append(label)
    if not images:
        sys.exit(f"linear_baseline: no pictures of {split!r} in {folder}")
    return torch.from_numpy(np.stack(images)), torch.tensor(labels)


def fit(images: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.nn.Linear:
    """Return a multinomial logistic regression, trained by L-BFGS from zero."""
    linear = torch.nn.Linear(images.shape[1], num_classes)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    optimizer = torch.optim.LBFGS(linear.parameters(), max_iter=1000, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = cross_entropy(linear(images), labels) + PENALTY * linear.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return linear


def main(folder: Path) -> None:
    """Train on the train split of a folder, and print the accuracy on its val split."""
    (images, labels), (val_images, val_labels) = load(folder, "train"), load(folder, "val")
    categories, labels = torch.unique(labels, return_inverse=True)
    mean, spread = images.mean(0), images.std(0) + 1e-3
    linear = fit((images - mean) / spread, labels, len(categories))
    with torch.inference_mode():
        guesses = [linear((x - mean) / spread).argmax(1) for x in (images, val_images)]
    train_top1 = (guesses[0] == labels).float().mean()
    val_top1 = (categories[guesses[1]] == val_labels).float().mean()
    print(
        f"linear on {SIDE}x{SIDE} RGB, {len(categories)} categories: "
        f"val top-1 {val_top1:.1%} (n={len(val_labels)}), train {train_top1:.1%} (n={len(labels)})"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/benchmarks/linear_baseline.py FOLDER")
    main(Path(sys.argv[1]))
