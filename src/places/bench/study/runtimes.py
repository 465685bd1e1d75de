"""Networks run by other libraries than PyTorch: ONNX Runtime and OpenVINO."""

import logging
import tempfile
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import torch
from torch import Tensor, nn

from places.bench.study.ways import Way

INSTALL = "pip install onnx onnxscript onnxruntime openvino"


class NotInstalledError(RuntimeError):
    """A library is not installed."""


def run_elsewhere(
    net: nn.Module, way: Way, example: Tensor, num_threads: int
) -> Callable[[Tensor], Tensor]:
    """Return a function that runs a network by another library, on the CPU.

    Args:
        net: The network in evaluation mode.
        way: Which library; with "bf16" OpenVINO may compute with 16 bits, else it may not.
        example: Pictures `(2, 3, H, W)` float32; the batch size may vary later.
        num_threads: Threads of the library.

    Raises:
        NotInstalledError: The library, or one that writes the exported file, is not installed.
        RuntimeError: It is for the CPU only.
        Exception: The network cannot be exported.
    """
    if example.device.type != "cpu":
        raise RuntimeError(f"{way.runtime} is measured on the CPU only")
    try:
        if way.runtime == "onnxruntime":
            return _onnxruntime(net, example, num_threads)
        return _openvino(net, example, num_threads, is_half="bf16" in way.parts)
    except ModuleNotFoundError as error:
        raise NotInstalledError(f"{error.name} is not installed: {INSTALL}") from error


def _onnxruntime(net: nn.Module, example: Tensor, num_threads: int) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        file = _exported(net, example, Path(folder))
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
    name = session.get_inputs()[0].name

    def run(images: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: images.numpy()})[0])

    return run


def _openvino(
    net: nn.Module, example: Tensor, num_threads: int, *, is_half: bool
) -> Callable[[Tensor], Tensor]:
    import openvino

    # Without it OpenVINO computes with 16 bits wherever the processor can: another way, not this.
    settings = {
        "INFERENCE_NUM_THREADS": num_threads,
        "INFERENCE_PRECISION_HINT": "bf16" if is_half else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    core = openvino.Core()
    with tempfile.TemporaryDirectory() as folder:
        file = _exported(net, example, Path(folder))
        compiled = core.compile_model(core.read_model(str(file)), "CPU", settings)
    request = compiled.create_infer_request()

    def run(images: Tensor) -> Tensor:
        results = request.infer([images.numpy()], share_inputs=True)
        return torch.from_numpy(results[0])

    return run


def _exported(net: nn.Module, example: Tensor, folder: Path) -> Path:
    import onnxscript  # noqa: F401  # torch's exporter needs it, and says so in many lines

    file = folder / "network.onnx"
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            # Not within inference mode, whose tensors the exporter refuses.
            with torch.inference_mode(False), torch.no_grad():
                torch.onnx.export(
                    net,
                    (example.clone(),),
                    str(file),
                    dynamo=True,
                    verbose=False,
                    dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
                    input_names=["images"],
                    output_names=["logits"],
                )
    finally:
        logger.setLevel(level)
    return file
