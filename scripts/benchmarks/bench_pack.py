"""Compare `places pack` with a plain loop over `webdataset.TarWriter`, side by side.

Writes an archive in the official layout with JPEGs of the official size (13.7 KB), then packs it in
turns, several times each:

    python scripts/benchmarks/bench_pack.py --num 20000 --runs 5 --folder /tmp/bench
"""

import argparse
import hashlib
import io
import json
import os
import platform
import shutil
import statistics
import tarfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import webdataset
from PIL import Image

from places.categories import label_of, load_categories
from places.data.packing.pack import pack
from places.data.shards.tar_members import members_of
from places.data.shards.tar_reader import Member
from places.hashing import shuffled

NUM_PER_SHARD = 18_000  # about what 256 MiB hold


def write_archive(folder: Path, num: int) -> Path:
    """Write an archive in the official layout, with the sidecar of a drawn one."""
    rng = np.random.default_rng(0)
    jpegs = []
    for _ in range(64):
        small = Image.fromarray(rng.integers(0, 256, (26, 26, 3), np.uint8))
        file = io.BytesIO()
        small.resize((256, 256), Image.Resampling.BICUBIC).save(file, "JPEG", quality=83)
        jpegs.append(file.getvalue())
    path = folder / "train_256_places365standard.tar"
    categories = load_categories()
    with tarfile.open(path, "w") as tar:
        for number in range(num):
            name = categories[number * len(categories) // num]
            member = tarfile.TarInfo(f"data_256/{name[0]}/{name}/{number:08d}.jpg")
            jpeg = jpegs[number % len(jpegs)]
            member.size = len(jpeg)
            tar.addfile(member, io.BytesIO(jpeg))
    with path.open("rb") as archive:
        md5 = hashlib.file_digest(archive, "md5").hexdigest()
    path.with_name(f"{path.name}.json").write_text(json.dumps({"synthetic": True, "md5": md5}))
    return path


def loop_over_known_members(archive: Path, members: list[Member], out: Path) -> None:
    """Write shuffled pictures with TarWriter; finding them in the archive costs nothing."""
    labels = {name: label_of(name) for name in load_categories()}
    file = os.open(archive, os.O_RDONLY)
    order = shuffled(len(members), 0).tolist()
    for start in range(0, len(order), NUM_PER_SHARD):
        path = out / f"train-{start // NUM_PER_SHARD:06d}.tar"
        with webdataset.TarWriter(str(path)) as writer:
            for position in order[start : start + NUM_PER_SHARD]:
                name, offset, size_bytes = members[position]
                key = name.decode().removeprefix("data_256/").removesuffix(".jpg")
                label = labels[key[2:].rpartition("/")[0]]
                jpeg = os.pread(file, size_bytes, offset)
                writer.write({"__key__": key, "jpg": jpeg, "cls": label})
    os.close(file)


def loop_over_tarfile(archive: Path, out: Path) -> None:
    """Copy pictures in the order of the archive, from tarfile to TarWriter."""
    labels = {name: label_of(name) for name in load_categories()}
    pattern = str(out / "train-%06d.tar")
    with (
        tarfile.open(archive) as tar,
        webdataset.ShardWriter(pattern, maxcount=NUM_PER_SHARD, verbose=0) as writer,
    ):
        for member in tar:
            key = member.name.removeprefix("data_256/").removesuffix(".jpg")
            label = labels[key[2:].rpartition("/")[0]]
            file = tar.extractfile(member)
            assert file is not None
            writer.write({"__key__": key, "jpg": file.read(), "cls": label})


def pack_quietly(archive: Path, out: Path, md5: bool) -> None:
    """Run `places pack` without its line of text."""
    with redirect_stdout(io.StringIO()):
        pack([archive], out, md5=md5)


def timed(run: Callable[[Path], None], out: Path) -> float:
    """Return how long a run takes, in seconds; no writes of earlier runs are pending."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    os.sync()
    start_s = time.perf_counter()
    run(out)
    time_s = time.perf_counter() - start_s
    shutil.rmtree(out)
    return time_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=20_000, help="pictures")
    parser.add_argument("--runs", type=int, default=5, help="runs of each, in turns")
    parser.add_argument("--folder", type=Path, default=Path("bench_pack"), help="for all files")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    try:
        archive = write_archive(options.folder, options.num)
        members = list(members_of(archive))
        cases: dict[str, Callable[[Path], None]] = {
            "TarWriter, pictures at known places": lambda out: loop_over_known_members(
                archive, members, out
            ),
            "TarWriter, pictures from tarfile": lambda out: loop_over_tarfile(archive, out),
            "places pack --no-md5": lambda out: pack_quietly(archive, out, md5=False),
            "places pack": lambda out: pack_quietly(archive, out, md5=True),
        }
        times_s: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(options.runs):
            for name, run in cases.items():
                times_s[name].append(timed(run, options.folder / "out"))
        mean_bytes = sum(member.size_bytes for member in members) / len(members)
    finally:
        shutil.rmtree(options.folder)
    report(times_s, options.num, mean_bytes)


def report(times_s: dict[str, list[float]], num: int, mean_bytes: float) -> None:
    """Print medians, spread, and the ratio to the first case."""
    print(f"{num:,} JPEGs of {mean_bytes:,.0f} bytes, {len(next(iter(times_s.values())))} runs")
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    first_s = statistics.median(next(iter(times_s.values())))
    for name, values in times_s.items():
        median_s = statistics.median(values)
        low, high = (num / value for value in (max(values), min(values)))
        print(
            f"{name:<38}{num / median_s:>9,.0f} images/s  ({low:,.0f} to {high:,.0f})"
            f"{first_s / median_s:>7.1f}x"
        )


if __name__ == "__main__":
    main()
