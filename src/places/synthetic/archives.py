"""Write a small synthetic Places365: drawn scenes, named and laid out as in the official archives.

Nothing here pretends to be official: a JSON file beside each archive, and a comment in each
picture, say that it was drawn.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from places import __version__
from places.categories import label_of, load_categories
from places.data.packing.official import synthetic_md5
from places.errors import DataError
from places.files import write_text, written_whole
from places.hashing import hash_of, shuffled
from places.synthetic.pictures import Picture, drawn
from places.synthetic.scenes.draw import SCENES

ARCHIVES = {
    "train": "train_256_places365standard.tar",
    "val": "val_256.tar",
    "test": "test_256.tar",
}
LISTS = "filelist_places365-standard.tar"

_NUM_LOOSE = 24


def archives_in(root: Path) -> list[Path]:
    """Return the archives of a sample: train, val, test and the lists."""
    return [root / "archives" / name for name in (*ARCHIVES.values(), LISTS)]


def write_archives(
    root: Path,
    *,
    seed: int = 0,
    num_train: int = 2400,
    num_val: int = 600,
    num_test: int = 240,
    num_processes: int | None = None,
    progress: Callable[[int], None] = lambda num: None,
) -> list[Path]:
    """Draw the pictures and write `archives/` and `pictures/` under a folder.

    The same seed gives the same bytes with the same versions of NumPy, OpenCV and Pillow,
    whatever the number of processes. `pictures/` holds the first 24 pictures of the test split.

    Args:
        root: The folder; made if missing.
        seed: Another seed draws other pictures.
        num_train: Pictures for training, spread evenly over the categories that can be drawn.
        num_val: Pictures for validation.
        num_test: Pictures for the test, without labels.
        num_processes: How many processes draw; the number of processors by default.
        progress: Called with the number of pictures drawn since the last call.

    Returns:
        The archives of train, val and test, and that of the lists.

    Raises:
        DataError: A count is below 1, or an archive that was not drawn is in the way.
    """
    counts = {"train": num_train, "val": num_val, "test": num_test}
    paths = archives_in(root)
    for split, count in counts.items():
        if count < 1:
            raise DataError(f"cannot draw {count} pictures for {split!r}", "draw at least one")
    for path in paths[:-1]:
        if path.exists() and synthetic_md5(path) is None:
            problem = f"{path} is in the way: it is not a drawn archive"
            raise DataError(problem, "choose another folder")
    (root / "pictures").mkdir(parents=True, exist_ok=True)
    for left in paths[0].parent.glob(".*.partial"):
        left.unlink(missing_ok=True)  # by a run that was killed
    plan = {split: _plan(split, seed, count) for split, count in counts.items()}
    pictures = [picture for split in plan.values() for picture in split]
    with drawn(pictures, num_processes or os.cpu_count() or 1) as files:
        for split, path in zip(plan, paths, strict=False):
            loose = root / "pictures" if split == "test" else None
            members = _members(plan[split], files, progress, loose)
            _write_tar(path, members, seed, counts[split])
    _write_tar(paths[-1], _lists(plan), seed, len(pictures))
    return paths


def _plan(split: str, seed: int, count: int) -> list[Picture]:
    """Return the pictures of a split: train by category, the others in a random order."""
    number = list(ARCHIVES).index(split)
    categories = sorted(SCENES[index % len(SCENES)] for index in range(count))
    if split != "train":
        categories = [categories[index] for index in shuffled(count, hash_of(seed, number))]
    pictures, seen = [], dict.fromkeys(SCENES, 0)
    for index, category in enumerate(categories):
        seen[category] += 1
        name = f"{split}_256/Places365_{split}_{index + 1:08d}.jpg"
        if split == "train":
            name = f"data_256/{category[0]}/{category}/{seen[category]:08d}.jpg"
        pictures.append(Picture(name, category, (seed, number, index)))
    return pictures


def _members(
    pictures: Sequence[Picture],
    files: Iterator[bytes],
    progress: Callable[[int], None],
    loose: Path | None,
) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents, and write the first ones as loose files into a folder."""
    for index, (picture, file) in enumerate(zip(pictures, files, strict=False)):
        progress(1)
        if loose and index < _NUM_LOOSE:
            (loose / Path(picture.name).name).write_bytes(file)
        yield picture.name, file


def _lists(plan: dict[str, list[Picture]]) -> Iterator[tuple[str, bytes]]:
    """Yield the official lists, which name only the pictures that were drawn."""
    categories = [f"/{name[0]}/{name} {label}" for label, name in enumerate(load_categories())]
    yield "categories_places365.txt", "\n".join(categories).encode()
    train = [f"{p.name.removeprefix('data_256')} {label_of(p.category)}" for p in plan["train"]]
    val = [f"{Path(p.name).name} {label_of(p.category)}" for p in plan["val"]]
    test = [Path(p.name).name for p in plan["test"]]
    for split, lines in (("train_standard", train), ("val", val), ("test", test)):
        yield f"places365_{split}.txt", "".join(f"{line}\n" for line in lines).encode()


def _write_tar(
    path: Path, members: Iterable[tuple[str, bytes]], seed: int, num_images: int
) -> None:
    """Write a tar without times and owners, and the JSON file beside it."""
    with written_whole(path) as partial:
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
            for name, file in members:
                header = tarfile.TarInfo(name)
                header.size = len(file)
                tar.addfile(header, io.BytesIO(file))
        with partial.open("rb") as written:
            md5 = hashlib.file_digest(written, "md5").hexdigest()
        fields = {
            "synthetic": True,
            "seed": seed,
            "num_images": num_images,
            "md5": md5,
            "made_by": f"places {__version__}",
        }
        # The JSON file comes first: there is never a drawn archive that does not say so.
        write_text(path.with_name(f"{path.name}.json"), json.dumps(fields, indent=2) + "\n")
