"""What a checkpoint says of the config: its own takes the place of the defaults."""

from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any

from jsonargparse import Namespace

from places.checkpoints.contents import (
    CHECKPOINT_KEY,
    FORMAT_VERSION,
    ForeignCheckpointError,
    check_parts,
    defaults_from,
    read_checkpoint,
)
from places.checkpoints.exported import flags_of_exported
from places.checkpoints.whole import check_whole
from places.cli.error_messages import Refused
from places.cli.stage_parser import PlacesParser
from places.config.secrets import masked
from places.config.trust import check_stored
from places.console import printable, say
from places.errors import CheckpointError
from places.models.weights import flags_of_official, words_for


def flags_of_network(checkpoint: Path, trusted: set[str]) -> list[str] | None:
    """Return the flags that stand for a file with a network that is no checkpoint of ours.

    Args:
        checkpoint: The file.
        trusted: Packages whose classes it may name.
    """
    return flags_of_exported(checkpoint, trusted) or flags_of_official(checkpoint)


def take_over(
    checkpoint: Path, parser: PlacesParser, asked: Namespace, trusted: set[str]
) -> tuple[str, dict[str, Any]]:
    """Make the config in a checkpoint the defaults of a stage.

    Args:
        checkpoint: The file.
        parser: The parser of the stage.
        asked: What the command line says.
        trusted: Packages whose classes it may name.

    Returns:
        The recipe of its run, and the new defaults.

    Raises:
        CheckpointError: Some of it is no setting any more, or not trusted.
    """
    content = _read(checkpoint)
    record, stage = content[CHECKPOINT_KEY], parser.stage
    if stage == "fit" and record["version"] < FORMAT_VERSION:
        say("an older version wrote this checkpoint: dropout draws other numbers from here")
    defaults: dict[str, Any] = masked(defaults_from(record["config"], asked.data.class_path, stage))
    check_stored(defaults, trusted, checkpoint)
    data_class = record["config"]["data"]["class_path"]
    if stage == "fit" and data_class != asked.data.class_path:
        raise CheckpointError(
            f"the run of {checkpoint} reads its data by {printable(data_class)}, "
            f"this one would by {asked.data.class_path}",
            f"go on with it:   --data {quote(printable(data_class))}",
            f"or start anew from its weights:  --config RECIPE --model.weights {checkpoint}",
        )
    known = Namespace()  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped
    for key, value in defaults.items():
        if key != "data" or asked.data.class_path == data_class:
            known[key] = value
    try:
        parser.parse_object(known)  # for defaults are not checked
        parser.set_defaults(defaults)
    except Refused as refused:
        raise CheckpointError(
            f"this version of places cannot use the config in {checkpoint}",
            refused.message.replace("{}", refused.name, 1),
            f"use it as weights:  --config RECIPE --model.weights {checkpoint}",
        ) from refused
    return record["recipe"], defaults


def _read(checkpoint: Path) -> dict[str, Any]:
    try:
        content = read_checkpoint(checkpoint)
    except ForeignCheckpointError as error:
        with suppress(CheckpointError):
            if (network := words_for(checkpoint)) is not None:
                hint = f"name it:  {network} --model.weights {checkpoint}"
                error = ForeignCheckpointError(error.message, hint)
        raise error from None
    check_whole(checkpoint)
    check_parts(content, checkpoint)
    return content
