"""As which run of Weights & Biases a run was logged, by what lies in its folder."""

import re
from pathlib import Path

# How its package names the folder of a run, with a network and without one.
_FOLDER = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-([A-Za-z0-9_-]{1,64})")
_MAX_FOLDERS = 100


def wandb_ids(folder: Path) -> list[str]:
    """Return the ids under which W&B knows what ran in a folder, each once; none if none does."""
    parent = folder / "wandb"
    if not parent.is_dir():
        return []
    names = sorted(path.name for path in parent.iterdir() if path.is_dir())[:_MAX_FOLDERS]
    found = (_FOLDER.fullmatch(name) for name in names)
    return list(dict.fromkeys(match[1] for match in found if match))
