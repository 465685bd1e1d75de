"""How a network is built and how pictures are prepared for it: what `places.load` needs to know."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from places.data.streaming.batches import EvalCrop
from places.errors import CheckpointError, PlacesError

MODEL = "places.classifier.SceneClassifier"
"""The model whose arguments say how its network is built."""

_CROP_KEYS = ("image_size", "resize_size", "resize_mode")
_Kind = TypeVar("_Kind")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP = EvalCrop(image_size=224, resize_size=256, resize_mode="short_side")


@dataclass(frozen=True)
class Description:
    """A network and what its pictures have to be like.

    Attributes:
        net: Its class path with its arguments, not yet checked; `None` if nothing tells.
        num_classes: Number of classes, its first argument.
        crop: How a picture is resized and cut.
        mean: Mean of the red, green and blue values, in 0..1.
        std: Their standard deviation, in 0..1.
        channels_last: Whether the channels are last in memory.
        use_average: Whether to use the average of the weights.
        categories: Names in the order of the labels; `None` for the official 365.
    """

    net: object
    num_classes: int = 365
    crop: EvalCrop = CROP
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    channels_last: bool = True
    use_average: bool = False
    categories: tuple[str, ...] | None = None


def description_of(config: Mapping[str, Any], path: Path, *, needs_net: bool = True) -> Description:
    """Return what the config in a checkpoint tells.

    Args:
        config: The config, of which `check_parts` found all parts that are read here.
        path: The checkpoint, for messages.
        needs_net: Whether its network has to be known.

    Raises:
        CheckpointError: It tells of another model, or settings are not what they should be.
    """
    model, data = config["model"], config["data"]["init_args"]
    if needs_net and model["class_path"] != MODEL:
        raise CheckpointError(
            f"{path} holds a model {model['class_path']!r:.80}, of which only its own code knows "
            "what it answers",
            "load it with its class:  YOUR_CLASS.load_from_checkpoint(PATH)",
        )
    told = {**model["init_args"], **{key: data[key] for key in _CROP_KEYS if key in data}}
    found = described(told, path)
    return replace(found, use_average=_is(bool, told, "use_average", False, path))


def described(told: Mapping[str, Any], path: Path) -> Description:
    """Return what a table of settings tells; what is missing is as by default.

    Raises:
        CheckpointError: Some are not what they should be.
    """
    num_classes = _is(int, told, "num_classes", 365, path)
    if num_classes < 1:
        raise _wrong(path, "num_classes", num_classes)
    try:
        crop = EvalCrop(
            _is(int, told, "image_size", CROP.image_size, path),
            _is(int, told, "resize_size", CROP.resize_size, path),
            _is(str, told, "resize_mode", CROP.resize_mode, path),  # type: ignore[arg-type]  # seen to by EvalCrop
        )
        return Description(
            net=told.get("net"),
            num_classes=num_classes,
            crop=crop,
            mean=_colour(told, "mean", MEAN, path),
            std=_colour(told, "std", STD, path),
            channels_last=_is(bool, told, "channels_last", True, path),
        )
    except CheckpointError:
        raise
    except PlacesError as error:
        raise CheckpointError(f"the config in {path} cannot be used: {error.message}") from error


def _is(kind: type[_Kind], told: Mapping[str, Any], key: str, default: Any, path: Path) -> _Kind:  # noqa: ANN401  # of the same kind
    value = told.get(key, default)
    if type(value) is not kind:
        raise _wrong(path, key, value)
    return value


def _colour(
    told: Mapping[str, Any], key: str, default: tuple[float, float, float], path: Path
) -> tuple[float, float, float]:
    values = told.get(key, default)
    least = 0.001 if key == "std" else -math.inf
    if (
        not isinstance(values, list | tuple)
        or len(values) != 3
        or not all(type(value) in (int, float) and math.isfinite(value) for value in values)
        or min(values) < least
    ):
        raise _wrong(path, key, values)
    red, green, blue = map(float, values)
    return red, green, blue


def _wrong(path: Path, key: str, value: object) -> CheckpointError:
    return CheckpointError(f"the config in {path} cannot be used: {key} is {value!r:.60}")
