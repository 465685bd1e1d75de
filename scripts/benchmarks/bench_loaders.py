"""Compare the loader of `places` with its peers, side by side, on the same JPEG bytes.

The pictures are the first of the training split in `--root`, for example of what `places sample`
drew, repeated under other names until there are `--num`. Without `--root` they are drawn. They are
packed as JPEGs, as raw pixels and half and half. Each measurement is a process of its own: an epoch
that is checked, then whole epochs that are timed.

    python scripts/benchmarks/bench_loaders.py --root data/sample --num 6144 --folder /tmp/bench

WebDataset and torchvision come with `places` and its tests. The others may live in environments of
their own, each named by `--python ffcv=/path/to/bin/python`; what cannot be imported is left out.
With `--keep` the next call finds all files in the folder, those that the others wrote included.

    dali:         pip install nvidia-dali-cuda120
    ffcv:         apt-get install libopencv-dev libturbojpeg0-dev pkg-config
                  pip install torch==2.14.1 torchvision==0.29.1 "numpy<2.3" setuptools wheel
                  pip install --no-build-isolation ffcv
    litdata:      pip install litdata
    spdl:         apt-get install libavdevice59 libavfilter8  (FFmpeg, here of Debian 12)
                  pip install spdl
    streaming:    pip install mosaicml-streaming
    turboloader:  pip install turboloader
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

from loader_pictures import has_pictures, pictures_in

LOADERS = Path(__file__).parent / "loaders"
MOST_MEAN_ERROR = 5.0  # levels of 255: other crops, resizing and normalisation explain less
TIMEOUT_S = 300
PEERS = ("dali", "ffcv", "litdata", "spdl", "streaming", "turboloader")


class Loader(NamedTuple):
    """One line of the table."""

    title: str
    script: str
    peer: str | None = None  # whose Python it needs, a name of `PEERS`; None: this one
    num_threads: int | None = None  # None: as the command line says


# In the order of the table, that of `places` first.
LOADERS_TO_MEASURE = [
    Loader("places", "places_threads.py"),
    Loader("places, 1 thread", "places_threads.py", num_threads=1),
    Loader("places, raw pixels", "places_raw.py"),
    Loader("places, raw pixels, 1 thread", "places_raw.py", num_threads=1),
    Loader("places, half of the pixels raw", "places_mixed.py"),
    Loader("bare loop (decode and crop only)", "bare_loop.py"),
    Loader("FFCV, JPEG", "ffcv_jpeg.py", "ffcv"),
    Loader("FFCV, raw pixels", "ffcv_raw.py", "ffcv"),
    Loader("TurboLoader, JPEG", "turboloader_jpeg.py", "turboloader"),
    Loader("TurboLoader, raw pixels", "turboloader_raw.py", "turboloader"),
    Loader("DALI, CPU", "dali_cpu.py", "dali"),
    Loader("SPDL", "spdl_threads.py", "spdl"),
    Loader("LitData", "litdata_tensors.py", "litdata"),
    Loader("MosaicML Streaming + Pillow + torchvision", "streaming_pillow.py", "streaming"),
    Loader("WebDataset + Pillow + torchvision", "webdataset_pillow.py"),
    Loader("ImageFolder + DataLoader", "image_folder.py"),
]


def run(loader: Loader, options: argparse.Namespace) -> dict[str, Any]:
    """Measure one loader in a process of its own.

    Returns:
        What `loaders/measure.py` printed; instead `missing`, what cannot be imported, or `failed`,
        how it ended.
    """
    num_threads = loader.num_threads or options.num_threads
    python = options.python.get(loader.peer, sys.executable)
    command = [python, str(LOADERS / loader.script), str(options.folder.absolute())]
    command += ["--batch_size", str(options.batch_size), "--num_threads", str(num_threads)]
    # All on the same few cores: else a main process would be one more worker.
    cores = sorted(os.sched_getaffinity(0))[: options.num_threads]
    command = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return {"failed": f"no result within {TIMEOUT_S} s"}
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        if reason.startswith(("ModuleNotFoundError", "ImportError")):
            return {"missing": reason.partition(": ")[2]}
        print(done.stderr, file=sys.stderr)
        return {"failed": reason}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def faults_of(result: dict[str, Any], first: dict[str, Any], num: int) -> list[str]:
    """Tell what is no work: too few pictures, another shape, or other pixels than `places`."""
    wrong = []
    if sorted(result["shape"][1:]) != sorted(first["shape"][1:]):
        wrong.append(f"shape {result['shape']}")
    if not num - result["shape"][0] < result["num_images"] <= num:
        wrong.append(f"{result['num_images']:,} pictures in an epoch, not {num:,}")
    wrong += [
        f"{name} of the pixels {result[name]:.1f}, not {first[name]:.1f}"
        for name in ("mean", "std")
        if not abs(result[name] - first[name]) <= MOST_MEAN_ERROR
    ]
    return wrong


def measure(
    loaders: list[Loader], options: argparse.Namespace
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str], dict[str, str]]:
    """Run each loader several times in turns, beginning with another one each time.

    Returns:
        By the loader's title the results of all runs; what those need that were left out; and what
        was wrong with the others that are not in the table, which do not end the measurement.
    """
    results: dict[str, list[dict[str, Any]]] = {loader.title: [] for loader in loaders}
    missing: dict[str, str] = {}
    failed: dict[str, str] = {}
    first = run(LOADERS_TO_MEASURE[0], options)
    if "shape" not in first:
        sys.exit(f"{LOADERS_TO_MEASURE[0].title}: {first}")
    for number in range(options.runs):
        start = number * len(loaders) // options.runs
        for loader in loaders[start:] + loaders[:start]:
            title = loader.title
            if title in missing or title in failed:
                continue
            result = run(loader, options)
            if "missing" in result:
                missing[title] = result["missing"]
            elif "failed" in result:
                failed[title] = result["failed"]
            elif faults := faults_of(result, first, options.num):
                failed[title] = f"did not do its job: {', '.join(faults)}"
            else:
                results[title].append(result)
                print(f"{title}: {result['images_per_s']:,.0f}", file=sys.stderr)
    return results, missing, failed


def report(results: dict[str, list[dict[str, Any]]]) -> None:
    """Print the table of medians."""
    print(
        "| loader | version | images/s | lowest to highest | `places` / it"
        " | processor ms per picture | gives |"
    )
    print("|:--|:--|--:|--:|--:|--:|:--|")
    places = 0.0
    for title, runs in results.items():
        rates = [result["images_per_s"] for result in runs]
        median = statistics.median(rates)
        if title == LOADERS_TO_MEASURE[0].title:
            places = median
        ratio = f"{places / median:.2f}" if places else ""
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        cpu_ms = statistics.median(result["cpu_ms_per_image"] for result in runs)
        shape = " x ".join(map(str, runs[0]["shape"]))
        cells = [title, runs[0]["version"], f"{median:,.0f}", spread, ratio]
        cells += [f"{cpu_ms:.3f}", f"{shape} {runs[0]['dtype']}"]
        print("|", " | ".join(cells), "|")


def python_of_peer(text: str) -> tuple[str, str]:
    """Return the name and the Python that `--python` names."""
    peer, _, python = text.partition("=")
    if peer not in PEERS:
        raise argparse.ArgumentTypeError(f"{peer!r} is none of {', '.join(PEERS)}")
    if not shutil.which(python):
        raise argparse.ArgumentTypeError(f"no program {python!r}")
    return peer, python


def main() -> int:
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
    parser.add_argument("--keep", action="store_true", help="use the folder again, and leave it")
    parser.add_argument(
        "--python",
        type=python_of_peer,
        action="append",
        default=[],
        metavar="PEER=PATH",
        help=f"Python that has one of {', '.join(PEERS)}; may be given several times",
    )
    parser.add_argument("--only", default="", help="measure only loaders with this in their title")
    options = parser.parse_args()
    options.python = dict(options.python)
    if not (options.keep and has_pictures(options.folder)):
        options.folder.mkdir(parents=True)
    try:
        with redirect_stdout(sys.stderr):
            sizes_bytes = pictures_in(options)
        loaders = [loader for loader in LOADERS_TO_MEASURE if options.only in loader.title]
        results, missing, failed = measure(loaders, options)
    finally:
        if not options.keep:
            shutil.rmtree(options.folder)
    cores = min(options.num_threads, len(os.sched_getaffinity(0)))
    mean_bytes = statistics.mean(sizes_bytes)
    print(f"{options.num:,} JPEGs of {mean_bytes:,.0f} bytes, {options.runs} runs")
    print(f"{platform.platform()}, {cores} cores, Python {platform.python_version()}\n")
    report({title: runs for title, runs in results.items() if title not in missing | failed})
    print()
    for title, reason in missing.items():
        print(f"left out: {title}: {reason}")
    for title, reason in failed.items():
        print(f"failed: {title}: {reason}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
