"""An ONNX graph in whole numbers of 8 bits: static, calibrated on pictures."""

from pathlib import Path
from typing import Any

from torch import Tensor

from places.checkpoints.description import Description
from places.errors import CheckpointError
from places.exports.formats import needed, quiet, tell_onnx


class _Calibration:
    """Gives pictures to ONNX Runtime's calibration, one batch after the other.

    Args:
        name: Of the graph's input.
        batches: Normalised pictures.
    """

    def __init__(self, name: str, batches: list[Tensor]) -> None:
        self._name = name
        self._batches = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        """Return the next batch; `None` after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {self._name: batch.numpy()}


def quantize(source: Path, path: Path, batches: list[Tensor], description: Description) -> None:
    """Write a graph with weights and activations of 8 bits.

    Weights have a scale for each channel; activations one for each map, from the smallest and the
    largest value that the pictures lead to.

    Args:
        source: The graph in floating point.
        path: The file to write.
        batches: Normalised pictures to calibrate on.
        description: What the file says of the network.

    Raises:
        CheckpointError: The graph cannot be quantized.
        ConfigError: A package is missing.
    """
    needed("onnx", "onnx")
    tools = needed("onnxruntime.quantization", "onnx")
    onnx = needed("onnx", "onnx")
    name = onnx.load(source).graph.input[0].name
    try:
        with quiet():
            tools.quantize_static(
                str(source),
                str(path),
                _Calibration(name, batches),
                quant_format=tools.QuantFormat.QDQ,
                per_channel=True,
                activation_type=tools.QuantType.QUInt8,
                weight_type=tools.QuantType.QInt8,
            )
    except OSError:
        raise
    except Exception as error:  # of many kinds, for graphs that it does not know
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise CheckpointError("the network cannot be written in 8 bits", reason[:200]) from error
    tell_onnx(description, path)
