"""The arguments with which a model was made, as its checkpoint tells them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from places.checkpoints.contents import (
    CHECKPOINT_KEY,
    ForeignCheckpointError,
    check_parts,
    read_checkpoint,
)
from places.checkpoints.whole import check_whole
from places.config.build import factory_of

# The checkpoint's own weights replace those that its training started from.
_OF_THE_START = ("weights", "replace_head")


def stored_arguments(
    kind: type, path: Path, trusted: Collection[str], given: Collection[str] = ()
) -> dict[str, Any]:
    """Return the arguments of the model in a checkpoint; none if `places` did not write it.

    Args:
        kind: The class whose checkpoint it is; it may be named.
        path: The checkpoint.
        trusted: Packages that the user trusts beside, see `check_stored`.
        given: Arguments that are given otherwise, and of no interest here.

    Raises:
        CheckpointError: It is damaged, or names what it may not name.
    """
    try:
        content = read_checkpoint(path)
    except ForeignCheckpointError:
        return {}
    check_whole(path)
    check_parts(content, path)
    model = content[CHECKPOINT_KEY]["config"]["model"]
    left_out = {*_OF_THE_START, *given}
    told = {key: value for key, value in model["init_args"].items() if key not in left_out}
    spec = {"class_path": model["class_path"], "init_args": told}
    own = f"{kind.__module__}.{kind.__qualname__}"
    return dict(factory_of("model", spec, {*trusted, own}, path).keywords)
