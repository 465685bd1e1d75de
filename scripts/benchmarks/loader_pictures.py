"""The pictures that `bench_loaders.py` measures with: as files, and as shards of each kind."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from places.data.packing.pack import pack
from places.data.streaming.samples import open_samples
from places.synthetic.archives import write_archives

NUM_SHARDS = 8
NOTE = "written.json"


def has_pictures(folder: Path) -> bool:
    """Tell whether `--keep` left pictures there, all of them."""
    return (folder / NOTE).exists()


def pictures_in(options: argparse.Namespace) -> list[int]:
    """Write the pictures into `options.folder`, or find those that `--keep` left there.

    Returns:
        The size of each JPEG in bytes.
    """
    wanted = {"root": str(options.root), "num": options.num, "num_distinct": options.num_distinct}
    note = options.folder / NOTE
    if note.exists():
        written = json.loads(note.read_text())
        sizes_bytes: list[int] = written.pop("sizes_bytes")
        if written != wanted:
            sys.exit(f"{options.folder} holds {written}, not {wanted}")
        return sizes_bytes
    sizes_bytes = write_pictures(options.folder, options.root, options.num, options.num_distinct)
    note.write_text(json.dumps(wanted | {"sizes_bytes": sizes_bytes}))
    return sizes_bytes


def write_pictures(folder: Path, root: Path | None, num: int, num_distinct: int) -> list[int]:
    """Write the pictures as files, one folder per category, and pack them into shards.

    Returns:
        The size of each JPEG in bytes.
    """
    if root is None:
        root = folder / "drawn"
        archive = write_archives(root, num_train=num_distinct, num_val=1, num_test=1)[0]
        pack([archive], root)
    source = open_samples(root, "train")
    entries = source.entries(np.arange(min(num_distinct, source.manifest.num_samples)))
    sizes_bytes = []
    for number in range(num):
        entry = entries[number % len(entries)]
        _, jpeg = source.read(entry)
        category = source.manifest.categories[entry[-1]]
        path = folder / "pictures" / category / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg)
        sizes_bytes.append(len(jpeg))
    source.close()
    # Worker processes share whole shards, so there must be some for each.
    shard_size_mb = max(1, (sum(sizes_bytes) + 2000 * num) // NUM_SHARDS >> 20)
    pack([folder / "pictures"], folder / "shards", split="train", shard_size_mb=shard_size_mb)
    for pixels in ("raw", "mixed:0.5"):
        root = folder / f"{pixels.partition(':')[0]}_shards"
        pack([folder / "pictures"], root, split="train", pixels=pixels)
    return sizes_bytes
