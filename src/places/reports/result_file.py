"""The content of `result.json`: scores, how sure they are, and what is needed to check them."""

import hashlib
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import places
from places.config.config_hash import config_hash
from places.data.shards.manifest import Manifest
from places.reports.result_schema import FORMAT_VERSION
from places.reports.revision import git_revision, source_digest
from places.resume.cost import cost_of
from places.training.intervals import wilson
from places.training.scores import NUM_RANKS, EvaluationSums
from places.training.views import Views

_PACKAGES = ("torch", "torchvision", "lightning", "numpy", "Pillow", "simplejpeg")
_NUM_PAIRS = 20
_PREPROCESSING = ("image_size", "resize_size", "resize_mode")


def scores_of(
    sums: EvaluationSums,
    names: tuple[str, ...],
    settings: tuple[str, ...],
    num_ranks: int = NUM_RANKS,
) -> dict[str, Any]:
    """Return all scores with their intervals, from the sums of all processes.

    Args:
        sums: The sums.
        names: Names of the classes by label.
        settings: "indoor" or "outdoor" for each.
        num_ranks: Up to which top-k accuracies are among them.
    """
    num, confusion = sums.count, sums.confusion
    hits = np.cumsum(sums.rank_hits)[:num_ranks].tolist()
    shares = {f"top{rank}": hit for rank, hit in enumerate(hits, 1)}
    indoor = np.array([setting == "indoor" for setting in settings])
    shares["indoor_or_outdoor"] = int(confusion[indoor[:, None] == indoor].sum())
    scores = sums.compute()
    values = {name: hit / max(num, 1) for name, hit in shares.items()}
    intervals = {name: list(wilson(hit, num)) for name, hit in shares.items()}
    intervals["mean_class_accuracy"] = list(_interval_of_mean(confusion))
    others = ("mean_class_accuracy", "loss", "calibration_error")
    return {
        "scores": values | {name: scores[name] for name in others},
        "intervals": intervals,
        "categories": _categories(sums, names),
        "confused": _confused_pairs(confusion, names),
        "reliability": _reliability(sums),
    }


def result_of(
    scores: Mapping[str, Any],
    manifest: Manifest,
    *,
    views: Views,
    config: Mapping[str, Any] | None,
    checkpoint: Path | None,
    pictures: Mapping[str, str] | None,
    training: Mapping[str, Any] | None,
    seconds: float,
    hardware: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of `result.json`.

    Args:
        scores: What `scores_of` returned.
        manifest: Manifest of the split that was scored.
        views: Which views of each picture were scored.
        config: The resolved config of this command.
        checkpoint: The file of weights.
        pictures: Name and SHA-256 of the file with the scores of each picture, if there is one.
        training: What the checkpoint tells of its training, see `training_of`.
        seconds: How long scoring took, in seconds.
        hardware: What it ran on.
    """
    num = sum(row["num_images"] for row in scores["categories"])
    weights, trained = None, training or {}
    if checkpoint is not None:
        with checkpoint.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        weights = {"path": str(checkpoint), "sha256": digest}
    return {
        "format": "places.result",
        "version": FORMAT_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **scores,
        "num_images": num,
        "protocol": protocol_of(config, views),
        "data": {
            "split": manifest.split,
            "variant": manifest.variant,
            "size": manifest.size,
            "synthetic": manifest.synthetic,
            "num_images": manifest.num_samples,
            "manifest_digest": manifest.digest,
        },
        "checkpoint": weights,
        "pictures": pictures,
        "config_hash": _hash_of(config, training),
        "code": {"revision": git_revision(), "source_sha256": source_digest()},
        "versions": package_versions(),
        "hardware": dict(hardware),
        "cost": {
            "training_images": trained.get("num_images_seen"),
            "training_hours": trained.get("hours"),
            "test_seconds": seconds,
            "images_per_second": num / max(seconds, 1e-9),
        },
        "training": training,
        "config": config,
    }


def training_of(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint of ours tells of its training: its config, and what it saw."""
    record = checkpoint["places"]
    config = record["config"]
    cost = cost_of(record)
    return {
        "recipe": record["recipe"],
        "epoch": checkpoint["epoch"],
        "num_steps": checkpoint["global_step"],
        "num_images_seen": cost.num_images if cost else _steps_times_batch(checkpoint),
        "hours": None if cost is None else cost.seconds / 3600,
        "manifest_digest": record["manifest_digest"],
        "versions": record["versions"],
        "config": config,
    }


def _steps_times_batch(checkpoint: Mapping[str, Any]) -> int | None:
    """Return how many pictures a training saw whose checkpoint did not count them."""
    batch_size = checkpoint["places"]["config"]["data"]["init_args"].get("batch_size")
    num_batches = checkpoint.get("training", {}).get("num_batches")
    is_known = isinstance(num_batches, int) and isinstance(batch_size, int)
    return num_batches * batch_size if is_known else None


def _hash_of(config: Mapping[str, Any] | None, training: Mapping[str, Any] | None) -> str | None:
    """Return the hash of the config that the network was trained with, else that of the command.

    So a result, the run that led to it and its checkpoints have the same one.
    """
    known = config if training is None else training["config"]
    return None if known is None else config_hash(known)


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    # The source may run without having been installed.
    versions = {"python": platform.python_version(), "places": places.__version__}
    versions |= {name: version(name) for name in _PACKAGES}
    cuda = torch.version.cuda  # of torch's build, also where there is no GPU
    return versions if cuda is None else versions | {"cuda": cuda}


def hardware_of(device: torch.device, num_processes: int) -> dict[str, Any]:
    """Return what a run runs on."""
    is_cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if is_cuda else device.type,
        "num_processes": num_processes,
        "cpu": _cpu_name(),
        "num_cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu_name() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(errors="replace").splitlines() if path.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "unknown")  # `platform.processor` would start a program


def protocol_of(config: Mapping[str, Any] | None, views: Views) -> dict[str, Any]:
    """Return how pictures were scored, from the config of the test and the views of each."""
    data = (config["data"].get("init_args") or {}) if config else {}
    precision = config["trainer"].get("precision") if config else None
    sizes = {key: data.get(key) for key in _PREPROCESSING}
    return {**asdict(views), **sizes, "precision": str(precision or "32-true")}


def _categories(sums: EvaluationSums, names: tuple[str, ...]) -> list[dict[str, Any]]:
    confusion, top5 = sums.confusion, sums.class_top5_hits.tolist()
    counts, hits = confusion.sum(axis=1).tolist(), confusion.diagonal().tolist()
    num_predicted = confusion.sum(axis=0).tolist()
    return [
        {
            "category": names[label],
            "label": label,
            "num_images": num,
            "num_predicted": num_predicted[label],
            "top1": hits[label] / num if num else None,
            "top1_interval": list(wilson(hits[label], num)),
            "top5": top5[label] / num if num else None,
            "top5_interval": list(wilson(top5[label], num)),
        }
        for label, num in enumerate(counts)
    ]


def _confused_pairs(
    confusion: npt.NDArray[np.int64], names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Return the pairs of classes that were confused most, in both directions together."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    both = np.triu(wrong + wrong.T)
    order = np.argsort(-both, axis=None, kind="stable")[:_NUM_PAIRS]
    pairs = []
    for first, second in zip(*np.unravel_index(order, both.shape), strict=True):
        if both[first, second]:
            pairs.append(
                {
                    "categories": [names[first], names[second]],
                    "first_as_second": int(wrong[first, second]),
                    "second_as_first": int(wrong[second, first]),
                }
            )
    return pairs


def _reliability(sums: EvaluationSums) -> list[dict[str, Any]]:
    bins = sums.reliability
    return [
        {
            "from": number / len(bins),
            "to": (number + 1) / len(bins),
            "num_images": int(num),
            "mean_confidence": confidence / num if num else None,
            "accuracy": hits / num if num else None,
            "accuracy_interval": list(wilson(hits, num)),
        }
        for number, (confidence, hits, num) in enumerate(bins.tolist())
    ]


def _interval_of_mean(confusion: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Return the interval of the mean accuracy of the classes that occur.

    Wilson's, for as many pictures as would make a plain accuracy vary as much as this mean does.
    """
    counts, hits = confusion.sum(axis=1), confusion.diagonal()
    occurs = counts > 0
    if not occurs.any():
        return 0.0, 1.0
    share = hits[occurs] / counts[occurs]
    mean = float(share.mean())
    variance = float((share * (1 - share) / counts[occurs]).sum()) / int(occurs.sum()) ** 2
    num = mean * (1 - mean) / variance if variance else float(counts.sum())
    return wilson(mean * num, num)
