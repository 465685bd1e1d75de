"""What the processes of one run agree on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning.pytorch import Trainer

_T = TypeVar("_T")


class Agreement:
    """Lets all processes of a run take the same decision, without waiting for their devices.

    To be made by all processes at the same moment.

    Args:
        num_processes: Number of processes of the run.
    """

    def __init__(self, num_processes: int) -> None:
        self._group: torch.distributed.ProcessGroup | None = None
        if num_processes > 1 and torch.distributed.is_initialized():
            group = torch.distributed.new_group(backend="gloo")
            # Every process is a member, so each of them gets a group.
            assert isinstance(group, torch.distributed.ProcessGroup)
            self._group = group

    def largest(self, values: Sequence[int]) -> list[int]:
        """Return for each value the largest that any process gave."""
        if self._group is None:
            return list(values)
        largest = torch.tensor(values)
        torch.distributed.all_reduce(largest, torch.distributed.ReduceOp.MAX, group=self._group)
        return largest.tolist()

    def all_of(self, value: _T) -> list[_T]:
        """Return what each process gave, on all processes."""
        if self._group is None:
            return [value]
        values: list[Any] = [None] * torch.distributed.get_world_size(self._group)
        torch.distributed.all_gather_object(values, value, group=self._group)
        return values

    def to_first(self, value: _T) -> list[_T]:
        """Return what each process gave, on the first process; nothing on the others."""
        if self._group is None:
            return [value]
        is_first = torch.distributed.get_rank() == 0
        num_processes = torch.distributed.get_world_size(self._group)
        values: list[Any] | None = [None] * num_processes if is_first else None
        torch.distributed.gather_object(value, values, dst=0, group=self._group)
        return values or []


def run_folder(trainer: Trainer) -> Path:
    """Return the folder of the run, the same on all processes. To be called by all of them."""
    return Path(trainer.log_dir or trainer.default_root_dir)
