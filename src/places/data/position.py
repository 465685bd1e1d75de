"""Where training stands in its data: the state that a checkpoint keeps, equal on all processes."""

from dataclasses import dataclass
from typing import Any

from places.console import counted
from places.errors import CheckpointError


@dataclass
class Position:
    """How many samples of which epoch were trained on, over all processes.

    Nothing in it depends on the number of processes, threads or the size of a batch.
    """

    seed: int  # of the order
    manifest_digest: str  # of the training data
    epoch: int = 0
    num_samples_consumed: int = 0  # of that epoch, that were handed out
    version: int = 1  # of this format

    def restore(self, state: dict[str, Any], batch_size: int) -> None:
        """Resume at a saved position: the fields of another one.

        Raises:
            CheckpointError: It was saved with other data, another seed, or a batch size that does
                not lead to it.
        """
        for name in ("version", "seed", "manifest_digest"):
            was, now = state[name], getattr(self, name)
            if was != now:
                raise CheckpointError(
                    f"the checkpoint's training data differ: {name} was {was}, is {now}",
                    "resume with the data and seed it was trained with,",
                    "or start a new run from its weights, which are model.weights of its recipe",
                )
        if state["num_samples_consumed"] % batch_size:
            raise CheckpointError(
                f"no step of `batch_size` {batch_size} ends at the checkpoint's position, "
                f"{counted(state['num_samples_consumed'], 'picture')} into the epoch",
                "resume with the batch size it was trained with",
            )
        self.epoch = state["epoch"]
        self.num_samples_consumed = state["num_samples_consumed"]

    def start(self, current_epoch: int, num_samples: int) -> int:
        """Move to the epoch that begins or is resumed, and return how many of its samples are done.

        A position in another epoch than the trainer's says nothing about this one; a finished one
        means the next epoch, whichever of the two the trainer believes to be in.

        Args:
            current_epoch: The trainer's epoch.
            num_samples: Samples that an epoch trains on.
        """
        is_finished = self.num_samples_consumed >= num_samples
        if self.epoch != current_epoch or is_finished:
            self.epoch = current_epoch + (is_finished and self.epoch == current_epoch)
            self.num_samples_consumed = 0
        return self.num_samples_consumed
