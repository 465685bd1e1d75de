"""What a measurement says of itself: when, by which command and code, on which machine."""

import os
import platform
import shlex
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from places.reports.result_file import hardware_of
from places.reports.revision import git_revision, source_digest

_PACKAGES = (
    *("places", "torch", "torchvision", "onnxruntime", "openvino", "numpy"),
    *("opencv-python-headless", "simplejpeg"),
)


def receipt(device: torch.device) -> dict[str, Any]:
    """Return the facts; called before anything is measured, since it tells the machine's load."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["places", *sys.argv[1:]]),
        "code": {"revision": git_revision(), "source_sha256": source_digest()},
        "versions": _versions(),
        # Programs that ran or waited for a core, mean of a minute.
        "hardware": {**hardware_of(device, 1), "load_before": os.getloadavg()[0]},
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
