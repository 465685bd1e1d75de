"""The forms in which a network is written."""

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from places.checkpoints.description import Description
from places.checkpoints.exported import METADATA_KEY, text_of
from places.errors import CheckpointError, ConfigError
from places.models.folded import folded
from places.models.programs import EXTRA

SUFFIXES = {"safetensors": (".safetensors",), "onnx": (".onnx",), "torch": (".pt2", ".pt", ".pth")}
_INPUT, _OUTPUT, _BATCH = "pictures", "logits", "batch"
_EXAMPLE_SIZE = 2  # pictures; the number stays open


def write_safetensors(net: nn.Module, description: Description, path: Path) -> None:
    """Write the weights by their names, and what is needed to build the network.

    Raises:
        ConfigError: The package safetensors is missing.
    """
    save_file = needed("safetensors.torch", "safetensors").save_file
    # Each tensor by itself: the format has no views of another's memory.
    tensors = {key: value.detach().clone().contiguous() for key, value in net.state_dict().items()}
    save_file(tensors, path, metadata={METADATA_KEY: text_of(description)})


def write_program(net: nn.Module, description: Description, path: Path) -> None:
    """Write a program of `torch.export` with its weights: PyTorch runs it without `places`.

    Its batch norms stay, so that its weights have the names of the network's.

    Raises:
        CheckpointError: The network cannot be exported.
    """
    with quiet(), _explained(net), path.open("wb") as file:
        batch = torch.export.Dim(_BATCH)
        program = torch.export.export(net, (_example(description),), dynamic_shapes=({0: batch},))
        torch.export.save(program, file, extra_files={EXTRA: text_of(description)})


def own_program(path: Path) -> nn.Module:
    """Open a program that this process wrote just now, as others do; never one from elsewhere."""
    with quiet(), path.open("rb") as file:
        program: nn.Module = torch.export.load(file).module()
    return program


def write_onnx(net: nn.Module, description: Description, path: Path) -> None:
    """Write a graph of ONNX, with batch norms and branches folded.

    Raises:
        CheckpointError: The network cannot be exported.
        ConfigError: A package is missing.
    """
    needed("onnx", "onnx"), needed("onnxscript", "onnx")
    with quiet(), _explained(net):
        torch.onnx.export(
            folded(net),
            (_example(description),),
            str(path),
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            dynamic_shapes=({0: _BATCH},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    tell_onnx(description, path)


def tell_onnx(description: Description, path: Path) -> None:
    """Add what is needed to use a graph of ONNX to its file."""
    onnx = needed("onnx", "onnx")
    model = onnx.load(path)
    del model.metadata_props[:]
    model.metadata_props.add(key=METADATA_KEY, value=text_of(description))
    onnx.save(model, path)


def needed(module: str, extra: str) -> Any:  # noqa: ANN401  # any module
    """Return a module of an optional package.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ConfigError(
            f"this format needs the package {package}",
            f"install it:  pip install 'places[{extra}]'",
        ) from error


def _example(description: Description) -> torch.Tensor:
    size = description.crop.image_size
    return torch.zeros(_EXAMPLE_SIZE, 3, size, size)


@contextmanager
def _explained(net: nn.Module) -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # whatever the code of a network does while it is traced
        reason = f"{type(error).__name__}: {error}".strip().partition("\n")[0]
        raise CheckpointError(
            f"the network {type(net).__name__} cannot be written as a program",
            reason[:200],
            "its weights can be:  --format safetensors",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep exporters from telling of their steps, and of what no user can do anything about."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
