"""SPDL: its threads read JPEG files; FFmpeg decodes, and its filters crop, flip and resize."""

import math
import random
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import spdl.io
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, Epoch, Task, measure
from spdl.pipeline import PipelineBuilder


def random_filter() -> str:
    """Return FFmpeg's words for a random crop; it puts in the width `iw` and the height `ih`."""
    area = random.uniform(*CROP_SCALE)
    ratio = math.exp(random.uniform(*map(math.log, CROP_RATIO)))
    width = f"min(iw,round(sqrt(iw*ih*{area * ratio:.6f})))"
    height = f"min(ih,round(sqrt(iw*ih*{area / ratio:.6f})))"
    left, top = f"(iw-ow)*{random.random():.6f}", f"(ih-oh)*{random.random():.6f}"
    flip = "hflip," if random.random() < 0.5 else ""
    resize = f"scale={IMAGE_SIZE}:{IMAGE_SIZE}:flags=bilinear,format=rgb24"
    return f"crop='{width}':'{height}':'{left}':'{top}',{flip}{resize}"


def decode(sample: tuple[Path, int]) -> tuple[spdl.io.ImageFrames, int]:
    """Return a random crop of a picture, still FFmpeg's, and its label."""
    path, label = sample
    packets = spdl.io.demux_image(path.read_bytes())
    return spdl.io.decode_packets(packets, filter_desc=random_filter()), label


def batch_of(samples: list[tuple[spdl.io.ImageFrames, int]]) -> tuple[np.ndarray, list[int]]:
    """Copy the crops into one array, `(N, height, width, 3)` uint8."""
    frames, labels = zip(*samples, strict=True)
    return spdl.io.to_numpy(spdl.io.convert_frames(list(frames))), list(labels)


def open_loader(task: Task) -> Epoch:
    """Return what begins an epoch, each with threads of its own."""
    paths = sorted(task.folder.glob("pictures/**/*.jpg"))
    decode((paths[0], 0))  # says why, where it does not find FFmpeg's libraries

    def epoch() -> Iterator[np.ndarray]:
        order = random.sample(range(len(paths)), len(paths))
        pipeline = (
            PipelineBuilder()
            .add_source([(paths[i], i) for i in order])
            .pipe(decode, concurrency=task.num_threads)
            .aggregate(task.batch_size)
            .pipe(batch_of)
            .add_sink(3)
            .build(num_threads=task.num_threads)
        )
        with pipeline.auto_stop():
            for images, _ in pipeline.get_iterator():
                yield images

    return epoch


if __name__ == "__main__":
    measure(open_loader, version("spdl"))
