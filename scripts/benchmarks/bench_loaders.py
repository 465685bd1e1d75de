"""Compare the loader of `places` with its peers, side by side, on the same JPEG bytes.

The pictures are the first of the training split in `--root`, for example of what `places sample`
drew, repeated under other names until there are `--num`. Without `--root` they are drawn. They are
packed as JPEGs, as raw pixels and half and half. Each measurement is a process of its own: an epoch
that is checked, then whole epochs that are timed.

    python scripts/benchmarks/bench_loaders.py --root data/sample --num 6144 --folder /tmp/bench

WebDataset and torchvision come with `places` and its tests. The others may live in environments of
their own, which `--ffcv_python` and `--dali_python` name; what is not installed is left out.

    DALI:  pip install nvidia-dali-cuda120
    FFCV:  apt-get install libopencv-dev libturbojpeg0-dev pkg-config
           pip install torch==2.14.1 torchvision==0.29.1 "numpy<2.3" setuptools wheel
           pip install --no-build-isolation ffcv
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from places.data.packing.pack import pack
from places.data.streaming.samples import open_samples
from places.synthetic.archives import write_archives

LOADERS = Path(__file__).parent / "loaders"
NUM_SHARDS = 8
MOST_MEAN_ERROR = 5.0  # levels of 255: other crops, resizing and normalisation explain less
TIMEOUT_S = 300


class Loader(NamedTuple):
    """One line of the table."""

    title: str
    script: str
    python: str = sys.executable
    num_threads: int | None = None  # None: as the command line says


def loaders_of(options: argparse.Namespace) -> list[Loader]:
    """Return the loaders in the order of the table, that of `places` first."""
    return [
        Loader("places", "places_threads.py"),
        Loader("places, 1 thread", "places_threads.py", num_threads=1),
        Loader("places, raw pixels", "places_raw.py"),
        Loader("places, raw pixels, 1 thread", "places_raw.py", num_threads=1),
        Loader("places, half of the pixels raw", "places_mixed.py"),
        Loader("bare loop (decode and crop only)", "bare_loop.py"),
        Loader("FFCV, JPEG", "ffcv_jpeg.py", options.ffcv_python),
        Loader("FFCV, raw pixels", "ffcv_raw.py", options.ffcv_python),
        Loader("DALI, CPU", "dali_cpu.py", options.dali_python),
        Loader("WebDataset + Pillow + torchvision", "webdataset_pillow.py"),
        Loader("ImageFolder + DataLoader", "image_folder.py"),
    ]


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


def run(loader: Loader, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one loader in a process of its own.

    Returns:
        What `loaders/measure.py` printed; `missing` instead, where the package is not installed.
    """
    num_threads = loader.num_threads or options.num_threads
    command = [loader.python, str(LOADERS / loader.script), str(options.folder.absolute())]
    command += ["--batch_size", str(options.batch_size), "--num_threads", str(num_threads)]
    # All on the same few cores: else a main process would be one more worker.
    cores = sorted(os.sched_getaffinity(0))[: options.num_threads]
    done = subprocess.run(
        ["taskset", "--cpu-list", ",".join(map(str, cores)), *command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        if reason.startswith("ModuleNotFoundError"):
            return {"missing": reason.partition(": ")[2]}
        sys.exit(f"{loader.title} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def check(title: str, result: dict[str, Any], first: dict[str, Any], num: int) -> None:
    """Refuse what is no work: too few pictures, another shape, or other pixels than `places`."""
    wrong = []
    if sorted(result["shape"][1:]) != sorted(first["shape"][1:]):
        wrong.append(f"shape {result['shape']}")
    if not num - result["shape"][0] < result["num_images"] <= num:
        wrong.append(f"{result['num_images']:,} pictures in an epoch, not {num:,}")
    wrong += [
        f"{name} of the pixels {result[name]:.1f}, not {first[name]:.1f}"
        for name in ("mean", "std")
        if abs(result[name] - first[name]) > MOST_MEAN_ERROR
    ]
    if wrong:
        sys.exit(f"{title} did not do its job: {', '.join(wrong)}")


def measure(
    loaders: list[Loader], options: argparse.Namespace
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Run each loader several times in turns, beginning with another one each time.

    Returns:
        The results of all runs, and what the loaders that were left out need, by the loader's
        title.
    """
    results: dict[str, list[dict[str, Any]]] = {loader.title: [] for loader in loaders}
    missing: dict[str, str] = {}
    first = run(loaders[0], options)
    for number in range(options.runs):
        start = number * len(loaders) // options.runs
        for loader in loaders[start:] + loaders[:start]:
            if loader.title in missing:
                continue
            result = run(loader, options)
            if "missing" in result:
                missing[loader.title] = result["missing"]
                continue
            check(loader.title, result, first, options.num)
            results[loader.title].append(result)
            print(f"{loader.title}: {result['images_per_s']:,.0f}", file=sys.stderr)
    return results, missing


def report(results: dict[str, list[dict[str, Any]]], missing: dict[str, str]) -> None:
    """Print the table of medians, and what was left out."""
    print(
        "| loader | version | images/s | lowest to highest | `places` / it"
        " | processor ms per picture | gives |"
    )
    print("|:--|:--|--:|--:|--:|--:|:--|")
    places = statistics.median(result["images_per_s"] for result in next(iter(results.values())))
    for title, runs in results.items():
        if runs:
            rates = [result["images_per_s"] for result in runs]
            median = statistics.median(rates)
            spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
            cpu_ms = statistics.median(result["cpu_ms_per_image"] for result in runs)
            shape = " x ".join(map(str, runs[0]["shape"]))
            cells = [title, runs[0]["version"], f"{median:,.0f}", spread, f"{places / median:.2f}"]
            cells += [f"{cpu_ms:.3f}", f"{shape} {runs[0]['dtype']}"]
            print("|", " | ".join(cells), "|")
    print()
    for title, package in missing.items():
        print(f"left out: {title}: {package}")


def main() -> None:
    """Write the pictures, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="packed pictures; they are drawn by default")
    parser.add_argument("--num", type=int, default=6144, help="pictures of an epoch")
    parser.add_argument("--num_distinct", type=int, default=2400, help="pictures to repeat")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, in turns")
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--num_threads", type=int, default=2, help="threads or worker processes")
    parser.add_argument("--folder", type=Path, default=Path("bench_loaders"), help="for all files")
    parser.add_argument("--ffcv_python", default=sys.executable, help="Python that has FFCV")
    parser.add_argument("--dali_python", default=sys.executable, help="Python that has DALI")
    parser.add_argument("--only", default="", help="measure only loaders with this in their title")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    try:
        with redirect_stdout(sys.stderr):
            sizes_bytes = write_pictures(
                options.folder, options.root, options.num, options.num_distinct
            )
        loaders = [loader for loader in loaders_of(options) if options.only in loader.title]
        results, missing = measure(loaders, options)
    finally:
        shutil.rmtree(options.folder)
    cores = min(options.num_threads, len(os.sched_getaffinity(0)))
    mean_bytes = statistics.mean(sizes_bytes)
    print(f"{options.num:,} JPEGs of {mean_bytes:,.0f} bytes, {options.runs} runs")
    print(f"{platform.platform()}, {cores} cores, Python {platform.python_version()}\n")
    report(results, missing)


if __name__ == "__main__":
    main()
