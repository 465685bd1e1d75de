"""What a checkpoint says about itself, read before anything is built."""

import pickle
from pathlib import Path
from typing import Any

import torch

from places.callbacks.record import CHECKPOINT_KEY
from places.errors import CheckpointError

# What another data module must do alike, so that the network sees the pictures it was trained for.
_PREPROCESSING = ("image_size", "resize_size", "resize_mode")


def load_record(path: Path) -> dict[str, Any]:
    """Return the record that `places` wrote into a checkpoint; its weights are not read.

    Raises:
        CheckpointError: The file is damaged, or was not written by `places`.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
        first_line = str(error).partition("\n")[0]
        raise CheckpointError(f"cannot read checkpoint {path}", first_line) from error
    record = checkpoint.get(CHECKPOINT_KEY) if isinstance(checkpoint, dict) else None
    if record is None:
        raise CheckpointError(
            f"{path} was not written by places, so it does not say how its network is built",
            "use it as weights:  --config RECIPE --model.weights " + str(path),
        )
    config: dict[str, Any] = record
    return config


def defaults_from(config: dict[str, Any], data_class: str) -> dict[str, Any]:
    """Return the part of a checkpoint's config that replaces the defaults of a later command.

    Args:
        config: The resolved config that the checkpoint was written under.
        data_class: Class path of the data module of the later command. If it is another one, only
            how pictures are prepared is taken over.
    """
    model, data = dict(config["model"]), dict(config["data"])
    # The checkpoint's own weights replace those that its training started from.
    model["init_args"] = {
        key: value for key, value in model["init_args"].items() if key != "weights"
    }
    if data["class_path"] != data_class:
        kept = {key: data["init_args"][key] for key in _PREPROCESSING if key in data["init_args"]}
        data = {"class_path": data_class, "init_args": kept}
    return {"model": model, "data": data}
