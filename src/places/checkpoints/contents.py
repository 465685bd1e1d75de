"""What a checkpoint says about itself, read before anything is built."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from places.checkpoints.whole import check_description
from places.config.compare import ABSENT, compare
from places.config.recipes import as_typed
from places.config.trust import check_plain
from places.console import first_few, printable
from places.errors import CheckpointError
from places.files import is_plain_name
from places.models.file_kinds import check_kind
from places.models.weight_files import refusal_of
from places.models.weight_names import is_plain_tensor

CHECKPOINT_KEY = "places"
# Version 1 seeded the generators of torch, numpy and Python by other hashes.
FORMAT_VERSION = 2
# What is read of a checkpoint, each by its way through the tables, and what it must be.
_PARTS = {
    "state_dict": dict,
    "epoch": int,
    "global_step": int,
    "loops": dict,
    "places.version": int,
    "places.recipe": str,
    "places.config.seed_everything": int,
    "places.config.model.class_path": str,
    "places.config.model.init_args": dict,
    "places.config.data.class_path": str,
    "places.config.data.init_args": dict,
    "places.config.trainer": dict,
    "places.config.checkpoint": dict,
    "places.config.resume": dict,
}
_CLASSIFIER = "places.classifier.SceneClassifier"
# In the progress of a loop, and of `SceneClassifier`.
_COUNTS = ("ready", "started", "processed", "completed", "num_batches")
_MAX_DEPTH = 20
# A file name with the values of scores, as `{epoch}-{val/top1:.3f}`.
_FILE_NAME = re.compile(r"([\w=+. -]|\{[\w/]+(:[.\d]{0,4}[a-z]?)?\})+")
# Settings of the machine, which the command or its recipe tells. What others wrote may not choose
# folders here to write to, and to make room in.
_MACHINE = ("cache_folder", "cache_size_gb", "check_cache", "num_threads", "timeout_s")
# What another data module must do as well, so that the network sees pictures as in its training.
_PREPROCESSING = ("image_size", "resize_size", "resize_mode")
# Settings of the trainer that change the result. The others concern the machine or the output.
_TRAINING = (
    "max_epochs",
    "min_epochs",
    "max_steps",
    "min_steps",
    "limit_train_batches",
    "limit_val_batches",
    "overfit_batches",
    "val_check_interval",
    "check_val_every_n_epoch",
    "log_every_n_steps",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "precision",
    "deterministic",
    "sync_batchnorm",
)
# With one of these changed, the saved state of an optimizer does not fit it any more.
_OPTIMIZER = (
    "model.init_args.optimizer.class_path",
    "model.init_args.optimizer.init_args.amsgrad",
    "model.init_args.decay_norms_and_biases",
    "model.init_args.train_only_head",
)


class ForeignCheckpointError(CheckpointError):
    """A checkpoint was not written by `places`, so it does not say how its network is built."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint of `places`; weights are read when they are used.

    Raises:
        CheckpointError: The file is damaged.
        ForeignCheckpointError: It was not written by `places`.
    """
    try:
        check_description(path)
        checkpoint = _load(path)
    except Exception as error:  # damage in what describes the content may look like anything
        raise _refusal(path, error) from error
    if not isinstance(checkpoint, dict) or CHECKPOINT_KEY not in checkpoint:
        raise ForeignCheckpointError(
            f"{path} was not written by places, so it does not say how its network is built",
            f"use it as weights:  --config RECIPE --model.weights {path}",
        )
    if not isinstance(checkpoint.get("global_step"), int):
        raise _foreign(path, "it does not say after which step it was saved")
    return checkpoint


def _refusal(path: Path, error: Exception) -> CheckpointError:
    try:
        check_kind(path)
    except CheckpointError as other:  # it is known to be something else
        as_weights, as_checkpoint = (
            f"{path} cannot be read as weights",
            f"cannot read checkpoint {path}",
        )
        return CheckpointError(other.message.replace(as_weights, as_checkpoint), *other.hint)
    return refusal_of(path, error, of_checkpoint=True)


def check_parts(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Refuse a checkpoint without what is read of it, before anything is done with it.

    Raises:
        CheckpointError: A part is missing or not of its kind, or would lead out of a folder.
    """
    for way, kind in _PARTS.items():
        found: object = checkpoint
        for key in way.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, kind) or isinstance(found, bool):
            shown = printable(repr(found))[:40]
            raise _foreign(path, f"{way} must be a {kind.__name__}, not {shown}")
    if "hyper_parameters" in checkpoint:  # LightningCLI would build what these name
        raise _foreign(path, "it has hyper_parameters")
    _check_state(checkpoint, path)
    record = checkpoint[CHECKPOINT_KEY]
    if record["version"] > FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has version {record['version']}, this program reads {FORMAT_VERSION} at most",
            "use the version of places that wrote it, or a newer one",
        )
    check_plain(record["config"], path)
    _check_names(record, path)


def _check_state(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Refuse a state of the training that Lightning could not take up."""
    weights, callbacks = checkpoint["state_dict"], checkpoint.get("callbacks", {})
    if not all(isinstance(name, str) and is_plain_tensor(weights[name]) for name in weights):
        raise _foreign(path, "its state_dict holds other things than plain tensors by name")
    if not isinstance(callbacks, dict) or not all(isinstance(s, dict) for s in callbacks.values()):
        raise _foreign(path, "its callbacks have no states by name")
    training = checkpoint.get("training", {})  # of `SceneClassifier`
    counts = {**checkpoint["loops"], "training": training if isinstance(training, dict) else {}}
    if not _are_counts(counts):
        raise _foreign(path, "it has not counted batches in whole numbers")


def _are_counts(progress: Mapping[Any, Any], depth: int = 0) -> bool:
    """Tell whether what counts in nested tables does so in whole numbers."""
    return depth < _MAX_DEPTH and all(
        _are_counts(value, depth + 1)
        if isinstance(value, dict) and key not in _COUNTS
        else key not in _COUNTS or (isinstance(value, int) and value >= 0)
        for key, value in progress.items()
    )


def _check_names(record: Mapping[str, Any], path: Path) -> None:
    """Refuse names of folders and files that lead elsewhere, and settings without a name."""
    config = record["config"]
    parts = [config["model"]["init_args"], config["data"]["init_args"], config["checkpoint"]]
    for part in (*parts, config["resume"]):
        for name in part:
            if not name.isidentifier():
                raise _foreign(path, f"{printable(name)[:60]!r} is no name of a setting")
    file_name = str(config["checkpoint"].get("filename") or "best")
    for name in (record["recipe"] or "fit", re.sub(r"\{.*?\}", "x", file_name)):
        if not is_plain_name(name):
            raise _foreign(path, f"{printable(name)[:60]!r} would lead out of the folder of a run")
    if not _FILE_NAME.fullmatch(file_name):
        raise _foreign(path, f"{printable(file_name)[:60]!r} is no name for a checkpoint")


def _foreign(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is no checkpoint as places writes it: {reason}",
        f"use it as weights:  --config RECIPE --model.weights {path}",
    )


def _load(path: Path) -> Any:  # noqa: ANN401  # whatever is in the file
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        # Perhaps a file in the format that PyTorch wrote before 2020, such as CSAIL's.
        return torch.load(path, map_location="cpu", weights_only=True)


def defaults_from(config: Mapping[str, Any], data_class: str, stage: str) -> dict[str, Any]:
    """Return the part of a checkpoint's config that replaces the defaults of a later command.

    Nothing in it is believed: what it names is still to be checked, see `check_stored`.

    Args:
        config: The resolved config that the checkpoint was written under.
        data_class: Class path of the data module of the later command. If it is another one, only
            how pictures are prepared is taken over.
        stage: The later command. Only `fit` takes over the seed, what the trainer did and when
            resume points are written.
    """
    # The checkpoint's own weights replace those that its training started from.
    model = _without(config["model"], ("weights",))
    if stage == "predict" and model["class_path"] == _CLASSIFIER:
        model = _without(model, ("compile",))  # whether that pays depends on what is to be done
    data = _without(config["data"], _MACHINE)
    if data["class_path"] != data_class:
        kept = {key: data["init_args"][key] for key in _PREPROCESSING if key in data["init_args"]}
        data = {"class_path": data_class, "init_args": kept}
    defaults = {"model": model, "data": data}
    # Other stages too: Lightning knows the state of this callback by what it monitors.
    best = config["checkpoint"]
    defaults |= {f"checkpoint.{key}": best[key] for key in best if key != "dirpath"}
    if stage == "fit":
        trainer, resume = config["trainer"], config["resume"]
        defaults |= {f"trainer.{key}": trainer[key] for key in _TRAINING if key in trainer}
        defaults |= {f"resume.{key}": value for key, value in resume.items()}
        defaults["seed_everything"] = config["seed_everything"]
    return defaults


def _without(spec: Mapping[str, Any], left_out: Collection[str]) -> dict[str, Any]:
    arguments = spec.get("init_args") or {}
    kept = {key: value for key, value in arguments.items() if key not in left_out}
    return {**spec, "init_args": kept}


def changed_settings(
    defaults: Mapping[str, Any], config: Mapping[str, Any]
) -> dict[str, tuple[Any, Any]]:
    """Return what a flag or a file changed, by flat key: the checkpoint's value and the new one.

    Args:
        defaults: As `defaults_from` returns them.
        config: The resolved config of the later command.
    """
    changes = compare(defaults, config)
    return {key: pair for key, pair in changes.items() if not any(v is ABSENT for v in pair)}


def describe_changes(changes: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Return a line for each change."""
    return [
        f"{as_typed(key)}: {before!s:.60} in the checkpoint, {now!s:.60} now"
        for key, (before, now) in changes.items()
    ]


def check_optimizer(changes: Mapping[str, tuple[Any, Any]]) -> None:
    """Refuse to resume with an optimizer that the saved state does not fit.

    Raises:
        CheckpointError: With the settings that make it another.
    """
    unfit = {key: pair for key, pair in changes.items() if key in _OPTIMIZER}
    if unfit:
        raise CheckpointError(
            f"the state of the checkpoint's optimizer does not fit; {_shown(unfit)}",
            "start a new run from the weights:  --model.weights CHECKPOINT",
        )


def check_network(
    weights: Mapping[str, torch.Tensor], path: Path, changes: Mapping[str, tuple[Any, Any]]
) -> None:
    """Refuse a network that the weights in a checkpoint do not fit.

    Raises:
        CheckpointError: With the changes that may be the reason, and with the first weight.
    """
    now, stored = _shapes(weights), _shapes(read_checkpoint(path)["state_dict"])
    names = {**now, **stored}
    # Averages of weights and the like may come and go; what the network itself has may not.
    must_match = [
        name for name in names if name.startswith("net.") or (name in now and name in stored)
    ]
    differing = [name for name in must_match if now.get(name) != stored.get(name)]
    if not differing:
        return
    reasons = ("model.class_path", "model.init_args.net", "model.init_args.num_classes")
    shaping = {key: pair for key, pair in changes.items() if key.startswith(reasons)}
    first = differing[0]
    raise CheckpointError(
        f"{path} does not fit the network: {_shown(shaping) or 'the code may have changed'}",
        f"{len(differing)} of {len(names)} weights differ, the first is {first}: "
        f"{stored.get(first, 'absent')} in the checkpoint, {now.get(first, 'absent')} now",
        "leave the checkpoint's settings, or start anew from its weights:  --model.weights",
    )


def _shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, str]:
    sizes = {name: map(str, weight.shape) for name, weight in weights.items()}
    return {name: "x".join(size) or "one number" for name, size in sizes.items()}


def _shown(changes: Mapping[str, tuple[Any, Any]]) -> str:
    few = first_few(describe_changes(changes), max_shown=2)
    return "; ".join(filter(None, [*few.shown, few.more]))
