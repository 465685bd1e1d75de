"""Write a small synthetic Places365: drawn scenes, named and laid out as in the official archives.

Nothing here pretends to be official: a JSON file beside each archive, and a comment in each
picture, say that it was drawn.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from places import __version__
from places.categories import label_of, load_categories
from places.data.packing.official import synthetic_md5
from places.errors import DataError
from places.synthetic.scenes.draw import SCENES, draw_scene

__all__ = ["COMMENT", "SCENES", "draw_scene", "encode", "write_archives"]

COMMENT = "synthetic scene drawn by places"
ARCHIVES = {
    "train": "train_256_places365standard.tar",
    "val": "val_256.tar",
    "test": "test_256.tar",
}
LISTS = "filelist_places365-standard.tar"

_NUM_LOOSE = 24
# Most official pictures have 10 to 20 KB. The first quality that gives at most 17,500 bytes counts.
_MIN_BYTES = 10_000
_TARGET_BYTES = 17_500
_QUALITIES = (92, 86, 78, 68, 56, 44, 34, 26, 20)
# Of glibc: memory that a picture freed is kept for the next one. To give back each array to the
# system and to ask for it again takes an eighth of the time of drawing.
_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": f"{1 << 28}", "MALLOC_MMAP_THRESHOLD_": f"{1 << 28}"}
_MIN_PER_PROCESS = 100  # fewer are drawn before another process has started


class Picture(NamedTuple):
    """A picture to draw: its name in the archive, its category and what seeds it."""

    name: str
    category: str
    seed: tuple[int, int, int]


def write_archives(
    root: Path,
    *,
    seed: int = 0,
    num_train: int = 2400,
    num_val: int = 600,
    num_test: int = 240,
    num_processes: int | None = None,
    progress: Callable[[int], None] | None = None,
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
    for split, count in counts.items():
        if count < 1:
            raise DataError(f"cannot draw {count} pictures for {split!r}", "draw at least one")
    folder = root / "archives"
    paths = {split: folder / name for split, name in ARCHIVES.items()}
    for path in paths.values():
        if path.exists() and synthetic_md5(path) is None:
            raise DataError(
                f"{path} is in the way: it is not a drawn archive", "choose another folder"
            )
    for made in (folder, root / "pictures"):
        made.mkdir(parents=True, exist_ok=True)
    plan = {split: _plan(split, seed, count) for split, count in counts.items()}
    pictures = [picture for split in ARCHIVES for picture in plan[split]]
    with _drawn(pictures, num_processes or os.cpu_count() or 1) as files:
        counted = _count(files, progress)
        for split, path in paths.items():
            keep = root / "pictures" if split == "test" else None
            members = zip(plan[split], islice(counted, counts[split]), strict=True)
            _write_tar(path, _members(members, keep), seed, counts[split])
    _write_tar(folder / LISTS, _lists(plan), seed, len(pictures))
    return [*paths.values(), folder / LISTS]


def encode(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Return a picture (rows, columns, 3) RGB as a baseline JPEG.

    The quality is chosen so that each drawn scene gets 10,000 to 20,480 bytes.
    """
    image = Image.fromarray(pixels)
    for quality in _QUALITIES:
        file = _jpeg(image, quality)
        if len(file) <= _TARGET_BYTES:
            break
    while len(file) < _MIN_BYTES and quality < 100:
        quality += 1
        file = _jpeg(image, quality)
    return file


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", comment=COMMENT)
    return buffer.getvalue()


def _plan(split: str, seed: int, count: int) -> list[Picture]:
    """Return the pictures of a split: train by category, the others in a random order."""
    number = list(ARCHIVES).index(split)
    categories = sorted(SCENES[index % len(SCENES)] for index in range(count))
    if split != "train":
        generator = _generator(seed, number)
        categories = [categories[index] for index in generator.permutation(count)]
    pictures, seen = [], dict.fromkeys(SCENES, 0)
    for index, category in enumerate(categories):
        seen[category] += 1
        if split == "train":
            name = f"data_256/{category[0]}/{category}/{seen[category]:08d}.jpg"
        else:
            name = f"{split}_256/Places365_{split}_{index + 1:08d}.jpg"
        pictures.append(Picture(name, category, (seed, number, index)))
    return pictures


def _generator(seed: int, *position: int) -> np.random.Generator:
    # The algorithm is named, since NumPy may change the default one.
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=position)))


def _draw(picture: Picture) -> bytes:
    return encode(draw_scene(picture.category, _generator(*picture.seed)))


@contextmanager
def _drawn(pictures: Sequence[Picture], num_processes: int) -> Iterator[Iterator[bytes]]:
    """Give an iterator over the JPEG files, which are drawn meanwhile by several processes."""
    num_processes = min(num_processes, 1 + len(pictures) // _MIN_PER_PROCESS)
    if num_processes == 1:
        yield map(_draw, pictures)
        return
    # Forking is not safe in a program that may have threads.
    context = get_context("spawn")
    pool = ProcessPoolExecutor(num_processes, context, cv2.setNumThreads, (1,))
    try:
        with _environment(_KEEP_MEMORY):
            files = pool.map(_draw, pictures, chunksize=8)  # starts the processes
        yield files
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables that are not set, for the processes that are started meanwhile."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


def _count(files: Iterable[bytes], progress: Callable[[int], None] | None) -> Iterator[bytes]:
    for file in files:
        if progress:
            progress(1)
        yield file


def _members(
    drawn: Iterable[tuple[Picture, bytes]], keep: Path | None
) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents, and write the first ones as loose files into a folder."""
    for index, (picture, file) in enumerate(drawn):
        if keep and index < _NUM_LOOSE:
            (keep / Path(picture.name).name).write_bytes(file)
        yield picture.name, file


def _lists(plan: dict[str, list[Picture]]) -> Iterator[tuple[str, bytes]]:
    """Yield the official lists, which name only the pictures that were drawn."""
    names = enumerate(load_categories())
    yield (
        "categories_places365.txt",
        "\n".join(f"/{n[0]}/{n} {label}" for label, n in names).encode(),
    )
    train = [f"{p.name.removeprefix('data_256')} {label_of(p.category)}" for p in plan["train"]]
    val = [f"{Path(p.name).name} {label_of(p.category)}" for p in plan["val"]]
    test = [Path(picture.name).name for picture in plan["test"]]
    for split, lines in (("train_standard", train), ("val", val), ("test", test)):
        yield f"places365_{split}.txt", "".join(f"{line}\n" for line in lines).encode()


def _write_tar(
    path: Path, members: Iterable[tuple[str, bytes]], seed: int, num_images: int
) -> None:
    """Write a tar without times and owners, and the JSON file beside it."""
    unfinished = path.with_name(f".{path.name}.part")
    with tarfile.open(unfinished, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, file in members:
            header = tarfile.TarInfo(name)
            header.size = len(file)
            tar.addfile(header, io.BytesIO(file))
    with unfinished.open("rb") as written:
        md5 = hashlib.file_digest(written, "md5").hexdigest()
    fields = {
        "synthetic": True,
        "seed": seed,
        "num_images": num_images,
        "md5": md5,
        "made_by": f"places {__version__}",
    }
    # The JSON file comes first: there is never a drawn archive that does not say so.
    sidecar = path.with_name(f"{path.name}.json")
    half = sidecar.with_name(f".{sidecar.name}.part")
    half.write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
    half.replace(sidecar)
    unfinished.replace(path)
