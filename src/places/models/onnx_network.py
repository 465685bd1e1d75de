"""An ONNX file as a network: ONNX Runtime computes, everything around it stays as it is."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from places.errors import CheckpointError
from places.models.file_kinds import not_weights
from places.models.onnx_files import properties_of


class OnnxNetwork(nn.Module):
    """Runs the graph of an ONNX file on the CPU, as many threads as PyTorch has.

    Takes normalised pictures `(N, 3, H, W)`, returns logits `(N, num_classes)` float32. Has no
    parameters, and cannot be trained.

    Args:
        num_classes: Number of classes of the file, see `open`.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self._session: Any = None
        self._input = ""

    def open(self, path: Path) -> None:
        """Read the file.

        Raises:
            CheckpointError: It is no ONNX file of such a network, or a package is missing.
        """
        properties_of(path)  # refuses what is none, and weights in other files
        try:
            runtime = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise CheckpointError(
                f"running {path} needs the package onnxruntime",
                "install it:  pip install 'places[onnx]'",
            ) from error
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # it would write to the terminal
        try:
            session = runtime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # of many kinds, all its own
            reason = str(error).partition("\n")[0][:200]
            raise not_weights(path, "no program that ONNX Runtime can run", reason) from error
        inputs, outputs = session.get_inputs(), session.get_outputs()
        shape = outputs[0].shape if len(outputs) == 1 else None
        if len(inputs) != 1 or not shape or shape[-1] != self.num_classes:
            raise CheckpointError(
                f"{path} is no classifier of {self.num_classes} classes: {len(inputs)} inputs, "
                f"outputs {[output.shape for output in outputs]}"[:300]
            )
        self._session, self._input = session, inputs[0].name

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        if self._session is None:
            raise CheckpointError("no ONNX file is open", "give one:  --ckpt_path FILE.onnx")
        pictures = images.float().contiguous(memory_format=torch.contiguous_format)
        (logits,) = self._session.run(None, {self._input: pictures.cpu().numpy()})
        return torch.from_numpy(np.asarray(logits, np.float32)).to(images.device)
