"""Measure decoding in one thread: in full against reduced size, for the pictures in a folder.

Each picture is brought to some short sides and saved as a JPEG of quality 75. From each, random
crops of 224 pixels are taken as in training. Those that are at least 448 pixels wide and high allow
decoding at half the size or less; they are measured both ways:

    python scripts/benchmarks/bench_decode.py photos --runs 5

A last line compares how `places predict` decodes photographs of 12 megapixels with Pillow.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from places.data.streaming.decode import (
    NUM_CROP_UNIFORMS,
    crop_box,
    decode_train_crop,
    resize_crop,
)
from places.data.streaming.jpeg import Pixels, decode_jpeg
from places.data.streaming.picture_files import decode_file
from places.hashing import uniforms

SIZE = 224
QUALITY = 75  # gives the large archives' mean of 58 KB for pictures of 512 pixels, about
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)


def jpegs_of(paths: list[Path], short_side: int) -> list[bytes]:
    """Return the pictures as JPEGs with a short side in pixels."""
    files = []
    for path in paths:
        with Image.open(path) as opened:
            factor = short_side / min(opened.size)
            size = round(opened.width * factor), round(opened.height * factor)
            file = io.BytesIO()
            opened.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(
                file, "JPEG", quality=QUALITY
            )
            files.append(file.getvalue())
    return files


def decode_in_full(jpeg: bytes, uniforms: list[float], out: Pixels) -> None:
    """Take the crop that `decode_train_crop` takes, from the whole picture."""
    pixels = decode_jpeg(jpeg)
    left, top, width, height = crop_box(pixels.shape[1], pixels.shape[0], uniforms, SCALE, RATIO)
    resize_crop(pixels[top : top + height, left : left + width], out)


Crop = tuple[bytes, list[float]]


def crops_of(jpegs: list[bytes]) -> tuple[list[Crop], float]:
    """Return those of eight random crops of each JPEG that allow less, and their share of all."""
    ids = np.arange(8 * len(jpegs))
    rows = uniforms(ids, NUM_CROP_UNIFORMS, 1).tolist()
    crops = []
    for row, numbers in enumerate(rows):
        jpeg = jpegs[row % len(jpegs)]
        height, width = decode_jpeg(jpeg).shape[:2]
        if min(crop_box(width, height, numbers, SCALE, RATIO)[2:]) >= 2 * SIZE:
            crops.append((jpeg, numbers))
    return crops, len(crops) / len(ids)


def time_per_crop_s(run: Callable[[bytes, list[float]], None], crops: list[Crop]) -> float:
    """Return the mean time of a crop in seconds."""
    start_s = time.perf_counter()
    for jpeg, numbers in crops:
        run(jpeg, numbers)
    return (time.perf_counter() - start_s) / len(crops)


def large_against_pillow(paths: list[Path], runs: int) -> list[float]:
    """Return how much faster than Pillow a photograph of 4000 x 3000 pixels is decoded.

    Args:
        paths: Photographs; the first eight are enlarged.
        runs: Runs of each, in turns.

    Returns:
        For each run the ratio of the times of all photographs.
    """
    with tempfile.TemporaryDirectory() as folder:
        large = [Path(folder) / f"{number}.jpg" for number in range(len(paths[:8]))]
        for path, file in zip(paths, large, strict=False):
            with Image.open(path) as opened:
                pixels = opened.convert("RGB").resize((4000, 3000), Image.Resampling.LANCZOS)
                pixels.save(file, "JPEG", quality=85)
        ratios = []
        for _ in range(runs):
            start_s = time.perf_counter()
            for file in large:
                with Image.open(file) as opened:
                    np.asarray(opened.convert("RGB"))
            middle_s = time.perf_counter()
            for file in large:
                decode_file(file, 250_000_000, 2 * 256)
            ratios.append((middle_s - start_s) / (time.perf_counter() - middle_s))
    return ratios


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, help="a folder with photographs")
    parser.add_argument("--runs", type=int, default=5, help="runs of each, in turns")
    parser.add_argument("--short_sides", type=int, nargs="+", default=[512, 768, 1024])
    options = parser.parse_args()
    cv2.setNumThreads(0)
    paths = sorted(options.pictures.rglob("*.jpg"))
    out = np.empty((SIZE, SIZE, 3), np.uint8)
    print("| short side | size | crops that allow it | in full | reduced | ratio, spread |")
    print("|--:|--:|--:|--:|--:|--:|")
    for short_side in options.short_sides:
        jpegs = jpegs_of(paths, short_side)
        crops, share = crops_of(jpegs)
        full_s, reduced_s = [], []
        for _ in range(options.runs):
            full_s.append(time_per_crop_s(lambda j, u: decode_in_full(j, u, out), crops))
            reduced_s.append(
                time_per_crop_s(lambda j, u: decode_train_crop(j, u, out, SCALE, RATIO), crops)
            )
        ratios = [full / reduced for full, reduced in zip(full_s, reduced_s, strict=True)]
        mean_kb = statistics.fmean(map(len, jpegs)) / 1e3
        print(
            f"| {short_side} | {mean_kb:.0f} KB | {share:.0%} "
            f"| {1e3 * statistics.median(full_s):.2f} ms "
            f"| {1e3 * statistics.median(reduced_s):.2f} ms "
            f"| {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f} |"
        )
    print(f"{len(paths)} pictures, 8 crops of each, {options.runs} runs, one thread")
    ratios = large_against_pillow(paths, options.runs)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"12 megapixels, against Pillow: {statistics.median(ratios):.2f} times as fast, {spread}")


if __name__ == "__main__":
    main()
