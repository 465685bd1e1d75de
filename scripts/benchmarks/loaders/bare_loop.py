"""No loader: threads that decode and crop JPEGs from memory, with the decoder of `places`.

Nothing is read, planned or put in order; it shows what the rest of a loader costs.
"""

import threading
from collections.abc import Iterator

import cv2
import numpy as np
from measure import CROP_RATIO, CROP_SCALE, IMAGE_SIZE, Epoch, Task, measure

import places
from places.data.streaming.decode import NUM_CROP_UNIFORMS, decode_train_crop
from places.data.streaming.jpeg import Pixels
from places.hashing import shuffled, uniforms


def open_loader(task: Task) -> Epoch:
    """Read all pictures into memory, in random order, and choose the crops."""
    cv2.setNumThreads(0)
    jpegs = [path.read_bytes() for path in sorted(task.folder.glob("pictures/**/*.jpg"))]
    order = shuffled(len(jpegs), 0)
    jpegs = [jpegs[i] for i in order]
    numbers = uniforms(order, NUM_CROP_UNIFORMS, 0).tolist()

    def run(thread: int, done: list[Pixels]) -> None:
        images = np.zeros((task.batch_size, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        for row, i in enumerate(range(thread, len(jpegs), task.num_threads)):
            out = images[row % len(images)]
            decode_train_crop(jpegs[i], numbers[i], out, CROP_SCALE, CROP_RATIO)
        done.append(images)

    def epoch() -> Iterator[Pixels]:
        done: list[Pixels] = []
        threads = [threading.Thread(target=run, args=(i, done)) for i in range(task.num_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Only the last batch of a thread is left: it stands for the others.
        for _ in range(len(jpegs) // task.batch_size):
            yield done[0]

    return epoch


if __name__ == "__main__":
    measure(open_loader, places.__version__)
