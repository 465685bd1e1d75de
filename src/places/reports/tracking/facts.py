"""What a run is, as loggers show it: its config without secrets, code, versions, data, machine."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from places.config.config_hash import config_hash
from places.config.secrets import masked
from places.data.places365 import Places365
from places.lightning_internals import data_module
from places.reports.result_file import hardware_of, package_versions
from places.reports.revision import git_revision, source_digest
from places.resume.run_record import RunRecord

# Under this key beside the keys of the config.
KEY = "places"


def facts_of(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    """Return the resolved config of a run, and under `places` what else is known when it begins.

    Args:
        trainer: The trainer, on the first process.
        module: What it trains or scores.
    """
    record = record_of(trainer)
    config: dict[str, Any] = masked(record.resolved_config()) if record else {}
    folder = Path(trainer.default_root_dir)
    return {
        **config,
        KEY: {
            "run": "/".join(folder.parts[-2:]),
            "recipe": folder.parts[-2] if len(folder.parts) > 1 else "",
            "stage": trainer.state.fn.value if trainer.state.fn else "",
            "folder": str(folder),
            "config_sha256": digest(config),
            "config_hash": config_hash(config) if config else None,
            "code": {"revision": git_revision(), "source_sha256": source_digest()},
            "versions": package_versions(),
            "data": _data(trainer),
            "hardware": hardware_of(module.device, trainer.world_size),
        },
    }


def record_of(trainer: Trainer) -> RunRecord | None:
    """Return what keeps the record of a run; there is none where no command runs."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # declared nowhere
    return next((each for each in callbacks if isinstance(each, RunRecord)), None)


def digest(config: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a whole resolved config, in hex, as canonical JSON."""
    text = json.dumps(config, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _data(trainer: Trainer) -> dict[str, Any]:
    data = data_module(trainer)
    if not isinstance(data, Places365):
        return {}
    return {
        split: {
            "manifest_digest": manifest.digest,
            "num_images": manifest.num_samples,
            "variant": manifest.variant,
            "synthetic": manifest.synthetic,
        }
        for split, manifest in data.manifests.items()
    }
