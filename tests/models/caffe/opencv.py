"""What OpenCV's importer of Caffe answers, with OpenCV before release 5, which dropped it.

`python -m tests.models.caffe.opencv` writes `opencv_logits.json`, for those who have a later one.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from tests.models.caffe.networks import SIZE, resnet, torch_resnet, torch_vgg, vgg
from tests.models.caffe.writer import OLD_KINDS, Caffe, caffemodel, prototxt
from torch import nn

from places.models.caffe.weights import PLACES365_MEAN

RECORDED = Path(__file__).with_name("opencv_logits.json")
IMPORTER = "readNetFromCaffe"
CAN_IMPORT = hasattr(cv2.dnn, IMPORTER)
# Each network, the same in PyTorch, and whether its file is of Caffe's old form.
CASES: dict[str, tuple[Callable[[], list[Caffe]], Callable[[], nn.Module], bool]] = {
    "vgg": (vgg, torch_vgg, False),
    "vgg_v1": (lambda: vgg("fc8"), torch_vgg, True),
    "resnet": (resnet, torch_resnet, False),
    "resnet_bias_eps": (lambda: resnet(bias=True, eps=1e-3, factor=3.0), torch_resnet, False),
}


def picture() -> npt.NDArray[np.uint8]:
    """A picture `(SIZE, SIZE, 3)`, RGB."""
    generator = np.random.default_rng(0)
    return generator.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def written(name: str) -> bytes:
    """The `.caffemodel` of a case."""
    make, _, is_old = CASES[name]
    layers = make()
    if is_old:
        layers = [layer for layer in layers if layer.kind in OLD_KINDS]
    return caffemodel(layers, old=is_old, form="old" if is_old else "new")


def logits(name: str, folder: Path) -> list[float]:
    """What OpenCV makes of the picture."""
    (folder / "net.caffemodel").write_bytes(written(name))
    (folder / "net.prototxt").write_text(prototxt(CASES[name][0](), SIZE), encoding="utf-8")
    read = getattr(cv2.dnn, IMPORTER)
    net = read(str(folder / "net.prototxt"), str(folder / "net.caffemodel"))
    bgr = picture()[:, :, ::-1].astype(np.float32) - np.array(PLACES365_MEAN, np.float32)
    net.setInput(np.ascontiguousarray(bgr.transpose(2, 0, 1)[None]))
    return [round(float(value), 4) for value in net.forward()[0]]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        found = {name: logits(name, Path(folder)) for name in CASES}
    text = json.dumps({"opencv": cv2.__version__, **found}, indent=1)
    RECORDED.write_text(f"{text}\n", encoding="utf-8")
