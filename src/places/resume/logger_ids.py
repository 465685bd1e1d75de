"""Under which id a service knows a run, so that a resumed run stays the same run there."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

KEY = "loggers"  # in what a checkpoint tells of its run
# Of what is kept, by the logger: its services call runs by these.
_KINDS: dict[str, type[Logger]] = {"wandb": WandbLogger, "mlflow": MLFlowLogger}
# Both services make shorter ones; a checkpoint may come from anybody.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def ids_of(loggers: Iterable[Logger]) -> dict[str, str]:
    """Return the ids of a run on the first process, by the service; others have none."""
    ids = {}
    for logger in loggers:
        for service, kind in _KINDS.items():
            if isinstance(logger, kind) and _is_id(logger.version):
                ids[service] = str(logger.version)
    return ids


def stored_ids(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids in what a checkpoint tells of its run, without what cannot be one."""
    stored = record.get(KEY)
    pairs = stored.items() if isinstance(stored, dict) else ()
    return {service: value for service, value in pairs if service in _KINDS and _is_id(value)}


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None
