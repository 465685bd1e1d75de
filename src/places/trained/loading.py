"""`places.load`: a trained network from a run, a checkpoint, an official file or an export."""

import os
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from places.checkpoints.contents import (
    CHECKPOINT_KEY,
    check_network,
    check_parts,
    read_checkpoint,
)
from places.checkpoints.description import Description, description_of
from places.checkpoints.download import fetch_checkpoint
from places.checkpoints.exported import is_exported, read_exported
from places.checkpoints.runs import RUNS, find_checkpoint
from places.checkpoints.whole import check_whole
from places.config.build import build
from places.config.ranges import check_range
from places.config.trust import check_trusted
from places.data.remote.urls import is_url
from places.data.streaming.batches import EvalCrop
from places.data.streaming.decode import ResizeMode
from places.errors import CheckpointError, ConfigError, PlacesError
from places.models.archives import is_archive, what_is_damaged
from places.models.recognise import call_of
from places.models.weights import (
    colours_of_official,
    load_weights,
    network_of_official,
    num_classes_of_official,
    read_weights,
)
from places.trained.model import TrainedModel, after_fork
from places.training.weight_average import match_average

# What messages say to who types a command, and what does the same here.
_IN_PYTHON = (
    (r"--trust (\S+)", r'trust=["\1"]'),
    (r"--config RECIPE --model\.weights \S+", "net=YOUR_NETWORK"),
    (r"--model\.net CLASS --model\.weights \S+", "net=YOUR_NETWORK"),
    (r"leave the checkpoint's settings, or start anew .*", "give the network that was trained"),
    (r"--model\.use_average false", "use_average=False"),
    (
        r"to load all but .*--model\.replace_head true",
        "give a network with as many:  net=YOUR_NETWORK",
    ),
    (r"(?:name it|it fits):  --model\.net .*", "leave out `net`, or give the network it is for"),
)


def load(  # used as places.load
    path: str | os.PathLike[str],
    *,
    net: nn.Module | None = None,
    device: str | torch.device | None = None,
    trust: str | Collection[str] = (),
    use_average: bool | None = None,
    image_size: int | None = None,
    resize_size: int | None = None,
    resize_mode: ResizeMode | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
) -> TrainedModel:
    """Load a trained network, to classify pictures with it.

    What is left out is as the file tells it, and else as `places predict` has it by default.
    Nothing in the file is executed. Needs neither Lightning nor a recipe.

    Args:
        path: The folder of a run, of which the best checkpoint is taken; a checkpoint; an official
            file of Places365 such as `resnet18_places365.pth.tar` or `vgg16_places365.caffemodel`;
            what `places export` wrote, see `places.checkpoints.exported`; or the URL of one of
            these, which is fetched into `runs/downloads`.
        net: The network that the weights are for, if the file does not tell or is not to choose:
            `places.models.ResNet(365, depth=18)` for instance. It is filled, and becomes a part of
            the model.
        device: Where it runs, such as "cpu" or "cuda:1"; a GPU if there is one, by default.
        trust: Packages whose networks a checkpoint may name, beside those of PyTorch, torchvision
            and `places`. They are imported, which runs their code.
        use_average: Use the average of the weights; by default as the checkpoint says.
        image_size: Height and width of the network's input in pixels.
        resize_size: Size of a picture before its centre is cut out, in pixels.
        resize_mode: "short_side" keeps the aspect ratio, "squash" makes the picture square first.
        mean: Mean of the red, green and blue values of the training pictures, in 0..1.
        std: Their standard deviation, in 0..1.

    Raises:
        CheckpointError: There is no such file, it is damaged, names what it may not name, or does
            not tell how its network is built.
        ConfigError: An argument is not what it should be.
    """
    after_fork()
    device = _device(device)
    trusted = {trust} if isinstance(trust, str) else {*trust}
    with _told_in_python():
        check_trusted(trusted)
        text = os.fsdecode(path)
        file = (
            fetch_checkpoint(text, RUNS / "downloads")
            if is_url(text)
            else find_checkpoint(Path(text))
        )
        net, description = read_trained(file, net, trusted, use_average)
    crop = EvalCrop(
        description.crop.image_size if image_size is None else image_size,
        description.crop.resize_size if resize_size is None else resize_size,
        description.crop.resize_mode if resize_mode is None else resize_mode,
    )
    colours = mean or description.mean, std or description.std
    for name, values in zip(("`mean`", "`std`"), colours, strict=True):
        if len(values) != 3:
            raise ConfigError(f"{name} must be three numbers, not {len(values)}")
    check_range("`std`", min(colours[1]), 0.001)
    description = replace(description, crop=crop, mean=colours[0], std=colours[1])
    return TrainedModel(net, description, device)


def read_trained(
    path: Path, net: nn.Module | None, trusted: Collection[str], use_average: bool | None
) -> tuple[nn.Module, Description]:
    """Return a network with the weights in a file, and how pictures are prepared for it.

    Args:
        path: The file.
        net: The network to fill; built as the file tells it, if it is `None`.
        trusted: See `load`.
        use_average: See `load`.

    Raises:
        CheckpointError: See `load`.
    """
    description, state = _told(path, net is None)
    if net is None:
        first = (description.num_classes,)
        with torch.random.fork_rng(devices=[]):  # leave the caller's random numbers alone
            built = build("model.net", description.net, trusted, path, first)
        if not isinstance(built, nn.Module):
            raise CheckpointError(f"{path} names as model.net what is no network")
        net = built
    if state is not None:
        _fill(net, state, path, description.use_average if use_average is None else use_average)
    elif use_average:
        raise CheckpointError(f"{path} has no average of the weights", "leave out:  use_average")
    else:
        load_weights(net, path, mean=description.mean, std=description.std)
    return net, description


def _told(path: Path, needs_net: bool) -> tuple[Description, dict[str, Tensor] | None]:
    """Return what a file tells of its network, and the weights of a checkpoint of `places`.

    Raises:
        CheckpointError: It is damaged, or tells no network and one is needed.
    """
    if is_exported(path):
        exported = read_exported(path)
        if exported is None and needs_net:
            raise _untold(path)
        return exported or Description(net=None), None
    if needs_net and (official := network_of_official(path)):
        mean, std = colours_of_official(path)
        num_classes = num_classes_of_official(path)
        return Description(official, num_classes, mean=mean, std=std), None
    try:
        content = read_checkpoint(path)
    except CheckpointError as error:
        if not needs_net:
            return Description(net=None), None
        if is_archive(path) and what_is_damaged(path):
            raise
        raise _untold(path) from error
    check_whole(path)
    check_parts(content, path)
    description = description_of(content[CHECKPOINT_KEY]["config"], path, needs_net=needs_net)
    return description, content["state_dict"]


def _untold(path: Path) -> CheckpointError:
    """Return what to type for a file of weights that does not tell its network.

    Raises:
        CheckpointError: It is no file of weights; the message says what it is.
    """
    call = call_of(read_weights(path)) or "YOUR_NETWORK"
    return CheckpointError(
        f"{path} was not written by places, so it does not say how its network is built",
        f'name it:  places.load("{path}", net={call})',
    )


def _fill(net: nn.Module, state: dict[str, Tensor], path: Path, use_average: bool) -> None:
    """Copy the weights in a checkpoint into a network.

    Raises:
        CheckpointError: They do not fit it, or there is no average of them.
    """
    if use_average:
        match_average(dict(state), None, needed=True)
    prefixes = ("net.", "average.") if use_average else ("net.",)
    tensors = net.state_dict()
    check_network(
        {f"{first}{name}": tensors[name] for first in prefixes for name in tensors}, path, {}
    )
    prefix = prefixes[-1]
    own = {name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)}
    net.load_state_dict(own)


def _device(asked: str | torch.device | None) -> torch.device:
    """Return a device that there is.

    Raises:
        ConfigError: There is none of this name.
    """
    try:
        found = torch.device(asked or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"`device` {str(asked)[:40]!r} cannot be used", reason) from error
    return found


@contextmanager
def _told_in_python() -> Iterator[None]:
    """Let errors say what to type in Python, where they say what to type as a command."""
    try:
        yield
    except PlacesError as error:
        raise type(error)(_in_python(error.message), *map(_in_python, error.hint)) from error


def _in_python(text: str) -> str:
    for typed, same in _IN_PYTHON:
        text = re.sub(typed, same, text)
    return text
