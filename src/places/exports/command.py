"""`places export`: a trained network as one file for others."""

import shutil
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from places.categories import load_categories
from places.checkpoints.contents import CHECKPOINT_KEY, read_checkpoint
from places.checkpoints.description import Description
from places.checkpoints.download import fetch_checkpoint
from places.checkpoints.runs import RUNS, find_checkpoint
from places.config.ranges import check_range
from places.config.trust import check_trusted
from places.console import put, say
from places.data.remote.urls import is_url
from places.errors import CheckpointError, ConfigError
from places.exports import formats
from places.exports.parity import Parity, compare, hits, logits_of, normalised, pictures_per_s
from places.exports.pictures import Pictures, pictures_for
from places.exports.quantize import quantize
from places.files import written_whole
from places.trained.loading import read_trained

Format = Literal["safetensors", "onnx", "torch"]
_WRITERS = {
    "safetensors": formats.write_safetensors,
    "onnx": formats.write_onnx,
    "torch": formats.write_program,
}
_TOLERANCE = {"float32": 1e-4, "int8": 0.25}
_LEAST_SAME = {"float32": 0.9, "int8": 0.5}  # of the pictures
_DIFFERS = 1
_CALIBRATED_ON = ("train", "val")


def export(
    ckpt_path: str = "",
    format: Format = "safetensors",
    file: Path | None = None,
    precision: Literal["float32", "int8"] = "float32",
    images: Path | None = None,
    root: Path | None = None,
    num_pictures: int = 64,
    num_calibration: int = 128,
    tolerance: float | None = None,
    use_average: bool | None = None,
    trust: str | list[str] = "",
) -> int:
    """Write a trained network as one file, with preprocessing and names of categories in it.

    The file is read again as `places.load` reads it, and its answers are compared with those of the
    network before: what differs by more than the tolerance is not kept. "safetensors" has the
    weights and tells the class of the network. "onnx" is a graph for ONNX Runtime and others, with
    batch norms and branches folded; "torch" is a program of torch.export (.pt2). The number of
    pictures in a batch stays open in both.

    Args:
        ckpt_path: The trained network: what `places predict --ckpt_path` takes.
        format: "safetensors", "onnx" or "torch".
        file: The file to write.
        precision: "float32", or "int8" with "onnx": weights and activations of 8 bits, calibrated
            on pictures; what that loses and gains is measured.
        images: Folder of pictures to compare on, and to calibrate on.
        root: Folder of shards to compare and to calibrate on; by default that of the checkpoint's
            data. Without any, pictures are drawn.
        num_pictures: Pictures to compare on, at most.
        num_calibration: Pictures to calibrate on, at most; of the training split.
        tolerance: Largest difference of a logit, as a share of the largest logit; 0.0001 by
            default, 0.25 with "int8".
        use_average: Export the average of the weights; by default as the checkpoint says.
        trust: Packages whose networks a checkpoint may name; they are imported, which runs their
            code.

    Returns:
        The exit status: 1 if the answers differ; then no file is written.

    Raises:
        ConfigError: What was given does not suit.
        CheckpointError: The network cannot be read or written.
    """
    target = _checked(ckpt_path, format, file, precision)
    check_range("`num_pictures`", num_pictures, 1)
    check_range("`num_calibration`", num_calibration, 1)
    check_range("`tolerance`", tolerance, 0)
    trusted = {name for name in ([trust] if isinstance(trust, str) else trust) if name}
    check_trusted(trusted)
    source = (
        fetch_checkpoint(ckpt_path, RUNS / "downloads")
        if is_url(ckpt_path)
        else find_checkpoint(Path(ckpt_path))
    )
    net, description = read_trained(source, None, trusted, use_average)
    if isinstance(description.net, Mapping) and "Onnx" in str(description.net.get("class_path")):
        raise CheckpointError(f"{source} is an ONNX file, which is a form to export to")
    net, description = net.eval().requires_grad_(False), _named(description)
    stored = _data_of(source)
    crop = description.crop
    pictures = pictures_for(crop, images, root, stored, num_pictures, "val")
    batches = normalised(pictures, description)
    before = logits_of(net, batches)
    limit = _TOLERANCE[precision] if tolerance is None else tolerance
    try:
        with written_whole(target) as partial:
            _WRITERS[format](net, description, partial)
            lines = []
            if precision == "int8":
                calibration = pictures_for(
                    crop, images, root, stored, num_calibration, _split(images, root, stored)
                )
                lines = _quantized(partial, description, calibration, pictures, batches)
            written = [_read_again(partial, trusted)]
            if format == "torch":  # of which only the weights were read
                written.append(formats.own_program(partial))
            each = [compare(before, logits_of(net, batches)) for net in written]
            found = max(each, key=lambda parity: parity.difference)
            told = _told(found, pictures, limit, precision)
            if found.share > limit or found.num_same < _LEAST_SAME[precision] * found.count:
                raise _DiffersError
    except _DiffersError:
        say(f"no file is written: {type(net).__name__} and what was made of it differ")
        put("\n".join(told))
        return _DIFFERS
    size = f"{target.stat().st_size / 1e6:,.1f} MB"
    put("\n".join([f"{target}  {format}, {precision}, {size}", *told, *lines]))
    return 0


class _DiffersError(Exception):
    """Ends the writing of a file that answers otherwise."""


def _checked(ckpt_path: str, format: str, file: Path | None, precision: str) -> Path:
    if not ckpt_path:
        raise ConfigError("no network to export", "give one:  --ckpt_path runs/demo/0")
    suffixes = formats.SUFFIXES[format]
    if file is None or file.suffix not in suffixes:
        stem = file.stem if file else "network"
        said = "no file to write" if file is None else f"{file} is no name for {format}"
        meant = [f"or:       --format {key}" for key in _formats_of(file)]
        raise ConfigError(said, f"name it:  --file {stem}{suffixes[0]}", *meant)
    if precision == "int8" and format != "onnx":
        raise ConfigError(f"{format} has no int8", "use:  --format onnx --precision int8")
    return file


def _formats_of(file: Path | None) -> list[str]:
    """Return the formats whose files have such a name."""
    return [key for key, known in formats.SUFFIXES.items() if file and file.suffix in known]


def _named(description: Description) -> Description:
    """Return the description with the names of its categories."""
    names = load_categories()
    if description.categories is None and description.num_classes == len(names):
        return replace(description, categories=names)
    return description


def _data_of(source: Path) -> Mapping[str, Any]:
    """Return what a checkpoint of ours tells of its data; nothing for other files."""
    try:
        config = read_checkpoint(source)[CHECKPOINT_KEY]["config"]
    except CheckpointError:
        return {}
    arguments = config["data"]["init_args"]
    return arguments if isinstance(arguments, Mapping) else {}


def _split(images: Path | None, root: Path | None, stored: Mapping[str, Any]) -> str:
    folder = root or Path(str(stored.get("root", "")))
    return next((x for x in _CALIBRATED_ON if (folder / f"{x}.json").is_file()), "val")


def _read_again(path: Path, trusted: Collection[str] = ()) -> nn.Module:
    net, _ = read_trained(path, None, trusted, None)
    return net.eval().requires_grad_(False)


def _quantized(
    path: Path,
    description: Description,
    calibration: Pictures,
    pictures: Pictures,
    batches: list[torch.Tensor],
) -> list[str]:
    """Replace a graph by one of 8 bits, and return what that loses and gains."""
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "float32.onnx"
        shutil.copyfile(path, plain)
        quantize(plain, path, normalised(calibration, description), description)
        nets = [_read_again(plain), _read_again(path)]
        rates = pictures_per_s(nets, batches)
        sizes = [x.stat().st_size / 1e6 for x in (plain, path)]
        lines = [
            f"calibrated on {calibration.words}",
            f"gain: {sizes[1]:,.1f} MB instead of {sizes[0]:,.1f}, {rates[1]:,.0f} pictures a "
            f"second instead of {rates[0]:,.0f} (ONNX Runtime, {torch.get_num_threads()} threads)",
        ]
        if pictures.labels is not None:
            of_each = [hits(logits_of(net, batches), pictures.labels) for net in nets]
            (good, count), (good_int8, _) = of_each
            lines.append(f"loss: top-1 {good_int8} of {count} right instead of {good}")
    return lines


def _told(found: Parity, pictures: Pictures, limit: float, precision: str) -> list[str]:
    return [
        f"compared on {pictures.words}",
        f"largest difference of a logit: {found.difference:.2g}, {found.share:.1e} of the largest "
        f"({limit:g} allowed)",
        f"same best category: {found.num_same} of {found.count} "
        f"({100 * found.num_same / found.count:.1f} %)",
    ]
