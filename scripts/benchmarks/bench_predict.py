"""Compare `places predict` with timm's `inference.py` and ultralytics' classify, end to end.

Each is a process of its own, from its start to its end, imports included: ResNet-50 with random
weights, 365 classes, float32, 224 pixels, batches of 32, all cores. They run in turns, several
times each; the table has the medians and what `places` is faster by.

    curl -O https://raw.githubusercontent.com/huggingface/pytorch-image-models/main/inference.py
    python scripts/benchmarks/bench_predict.py --timm inference.py \
        --ultralytics VENV/bin/python --num 2000 --runs 3

`--quick` takes 100 pictures, once. ultralytics has a ResNet-50 of its own with its own head
(yolov8-cls-resnet50), as it has none of torchvision's. With `--steady` it says how near `predict`
comes to the network alone, on the same batches.
"""

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

NUM_CLASSES, BATCH_SIZE, IMAGE_SIZE = 365, 32, 224
_ULTRALYTICS = f"""
import csv, sys
from ultralytics import YOLO
model = YOLO("yolov8-cls-resnet50.yaml", task="classify")
with open(sys.argv[2], "w", newline="") as file:
    table = csv.writer(file)
    found = model.predict(sys.argv[1], imgsz={IMAGE_SIZE}, batch={BATCH_SIZE}, device="cpu",
                          stream=True, verbose=False, save=False)
    for result in found:
        table.writerow([result.path, *result.probs.top5, *result.probs.top5conf.tolist()])
"""


def make_photos(folder: Path, num: int, photos: Path | None) -> None:
    """Fill a folder with pictures: copies of photographs, or drawn ones of 0.3 megapixels."""
    folder.mkdir()
    if photos is not None:
        found = sorted(p for p in photos.iterdir() if p.suffix.lower() in (".jpg", ".jpeg"))
        for number in range(num):
            shutil.copy(found[number % len(found)], folder / f"{number:06d}.jpg")
        return
    rng = np.random.default_rng(0)
    for number in range(num):
        small = Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8))
        large = small.resize((640, 480), Image.Resampling.BICUBIC)
        large.save(folder / f"{number:06d}.jpg", quality=90)


def commands(options: argparse.Namespace, folder: Path) -> dict[str, list[str]]:
    """Return the command of each program."""
    photos = str(folder / "photos")
    places = [sys.executable, "-m", "places", "predict", photos, "--random_weights"]
    found = {
        "places": places,
        "places --model.compile false": [*places, "--model.compile", "false"],
    }
    if options.timm is not None:
        import timm

        weights = folder / "timm.pth"  # it would fetch some otherwise
        torch.save(timm.create_model("resnet50", num_classes=NUM_CLASSES).state_dict(), weights)
        command = [sys.executable, str(options.timm.resolve()), photos, "--model", "resnet50"]
        command += ["--num-classes", str(NUM_CLASSES), "--checkpoint", str(weights), "--topk", "5"]
        command += ["--device", "cpu", "-b", str(BATCH_SIZE), "--img-size", str(IMAGE_SIZE)]
        command += ["--results-dir", str(folder), "--include-index", "--no-console-results"]
        command += ["--fullname", "--label-type", "none"]
        found |= {"timm --channels-last": [*command, "--channels-last"], "timm": command}
    if options.ultralytics is not None:
        table = str(folder / "ultralytics.csv")
        found["ultralytics"] = [str(options.ultralytics), "-c", _ULTRALYTICS, photos, table]
    return found


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Return how long a command takes, and the time of all cores together, in seconds.

    Raises:
        SystemExit: It failed.
    """
    before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    time_s, after = time.perf_counter() - start_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)[:300]} failed:\n{result.stderr[-3000:]}")
    for line in result.stderr.splitlines():
        if "compil" in line:
            print(f"    {line}")
    shutil.rmtree(folder / "runs", ignore_errors=True)
    return time_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num", type=int, default=2000, help="pictures")
    parser.add_argument("--runs", type=int, default=3, help="runs of each, in turns")
    parser.add_argument("--photos", type=Path, help="folder of JPEGs to copy; default: drawn ones")
    parser.add_argument("--timm", type=Path, help="inference.py of timm's repository")
    parser.add_argument("--ultralytics", type=Path, help="a Python that has ultralytics")
    parser.add_argument("--quick", action="store_true", help="100 pictures, once")
    parser.add_argument("--steady", action="store_true", help="against the network alone instead")
    options = parser.parse_args()
    num, runs = (100, 1) if options.quick else (options.num, options.runs)
    with tempfile.TemporaryDirectory(prefix="bench_predict") as name:
        folder = Path(name)
        make_photos(folder / "photos", num, options.photos)
        print(f"{describe()}\n{num} pictures, {runs} runs of each in turns")
        if options.steady:
            from steady_predict import print_share  # beside this file

            print_share(folder / "photos")
            return
        programs = commands(options, folder)
        times_s: dict[str, list[tuple[float, float]]] = {program: [] for program in programs}
        for number in range(runs):
            for program, command in programs.items():
                times_s[program].append(timed(command, folder))
                time_s, cores_s = times_s[program][-1]
                line = f"{time_s:.1f} s, {cores_s:.1f} s of all cores"
                print(f"  run {number + 1}, {program}: {line}", flush=True)
    report(times_s, num)


def report(times_s: dict[str, list[tuple[float, float]]], num: int) -> None:
    """Print medians, spread, and the ratio to ours.

    Args:
        times_s: For each program its runs, see `timed`.
        num: Number of pictures.
    """
    print("\n| program | s | spread | images/s | places is faster by | s of all cores |")
    print("|---|---|---|---|---|---|")
    ours_s = statistics.median(time_s for time_s, _ in times_s["places"])
    for program, runs in times_s.items():
        values = [time_s for time_s, _ in runs]
        median_s, cores_s = statistics.median(values), statistics.median(c for _, c in runs)
        print(
            f"| {program} | {median_s:.1f} | {min(values):.1f} to {max(values):.1f} | "
            f"{num / median_s:.1f} | {median_s / ours_s:.2f} | {cores_s:.1f} |"
        )


def describe() -> str:
    """Return the machine and the versions."""
    here = Path(__file__).parent
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True
    ).stdout.strip()
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return (
        f"commit {commit}, torch {torch.__version__}, Python {platform.python_version()}, "
        f"{cores} cores, {time.strftime('%Y-%m-%d')}, load before {load:.1f}"
    )


if __name__ == "__main__":
    main()
