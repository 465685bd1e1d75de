"""Writes `run.json` while a run goes on: what ran, where its time went, and how it ended."""

import json
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.optim import Optimizer

from places.config.secrets import without_credentials
from places.console import say
from places.data.places365 import Places365
from places.errors import StorageError
from places.files import write_text
from places.lightning_internals import (
    data_module,
    is_trial,
    log_every_n_steps,
    wrap_save_checkpoint,
)
from places.processes import run_folder
from places.reports.result_file import hardware_of, package_versions
from places.reports.result_schema import in_json
from places.reports.revision import git_revision, source_digest
from places.reports.run_file import FORMAT, RUN_FILE, VERSION, process_of
from places.reports.time_parts import STEP_PARTS, PartClock

_WRITE_EVERY_S = 60.0


class RunLog(Callback):
    """Measures where the time of a run goes, and writes `run.json` beside its `config.yaml`.

    The file is written when the run starts, after each validation, once a minute, and when the run
    ends, however it ends; a run that was killed leaves the last one. Of several processes the first
    one is measured. While training, `time/forward_share`, `time/backward_share` and
    `time/optimizer_share`, in 0..1, are logged beside `time/waiting_share`.

    Attributes:
        told: What the command line knows: command, recipe, recipes and changes.
    """

    def __init__(self) -> None:
        self.told: Mapping[str, Any] = {}
        self._record: dict[str, Any] = {}
        self._clock: PartClock | None = None
        self._logged_s: dict[str, float] = {}
        self._written_s = 0.0
        self._folder = Path()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Measure how long checkpoints take."""
        self._clock = None
        self._logged_s = {}
        # Asked for here, by all processes: later, one of them may be on its own.
        self._folder = run_folder(trainer)

        def timed(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # passed on
            with self._within("checkpoints"):
                save(*args, **kwargs)

        save = wrap_save_checkpoint(trainer, timed)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to measure, and write what runs."""
        self._start(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count a validation within a training as a whole; else measure its parts."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._switch("validation")
        else:
            self._start(trainer, pl_module)
            self._switch("waiting")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to measure, and write what runs."""
        self._start(trainer, pl_module)
        self._switch("waiting")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start to measure, and write what runs."""
        self._start(trainer, pl_module)
        self._switch("waiting")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the first batch of the epoch from here on."""
        self._switch("waiting")

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401  # Lightning's type
        batch_idx: int,
    ) -> None:
        """The batch is there."""
        self._switch("forward")

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """The loss is there."""
        self._switch("backward")

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The gradients are there."""
        self._switch("optimizer")

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Every few steps, log the shares of the time since the last log."""
        every = log_every_n_steps(trainer)
        if self._clock is None or not every or (trainer.global_step + 1) % every:
            return
        times_s = self._clock.times_s()
        parts_s = {p: times_s.get(p, 0.0) - self._logged_s.get(p, 0.0) for p in STEP_PARTS}
        whole_s = sum(parts_s.values())
        if self._logged_s and whole_s > 0:
            for part in ("forward", "backward", "optimizer"):
                pl_module.log(f"time/{part}_share", parts_s[part] / whole_s)
        self._logged_s = times_s

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's type
        batch: Any,  # noqa: ANN401  # likewise
        batch_idx: int,
    ) -> None:
        """Wait for the next batch from here on."""
        self._switch("waiting")
        if time.monotonic() - self._written_s > _WRITE_EVERY_S:
            self._write(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for the next batch from here on; or, if only that was asked for, end."""
        if trainer.state.fn == TrainerFn.FITTING:
            self._switch("waiting")
            self._write(trainer)
        else:
            self._write(trainer, "complete")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for nothing between the epochs."""
        self._switch("other")

    def on_test_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401  # Lightning's type
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """The batch is there."""
        self._switch("forward")

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # Lightning's type
        batch: Any,  # noqa: ANN401  # likewise
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Wait for the next batch from here on."""
        self._switch("waiting")

    def on_validation_batch_start(self, trainer: Trainer, *batch: Any) -> None:  # noqa: ANN401  # as of a test
        """The batch is there; a validation within a training has no parts."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._switch("forward")

    def on_validation_batch_end(self, trainer: Trainer, *batch: Any) -> None:  # noqa: ANN401  # as of a test
        """Wait for the next batch from here on."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._switch("waiting")

    on_predict_batch_start = on_test_batch_start
    on_predict_batch_end = on_test_batch_end

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write how it ended."""
        self._write(trainer, "complete")

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write how it ended."""
        self._write(trainer, "complete")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write how it ended."""
        self._write(trainer, "complete")

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Write how it ended."""
        is_signal = isinstance(exception, KeyboardInterrupt | SystemExit)
        self._write(trainer, "interrupted" if is_signal else "failed")

    @contextmanager
    def _within(self, part: str) -> Iterator[None]:
        with self._clock.within(part) if self._clock else nullcontext():
            yield

    def _switch(self, part: str) -> None:
        if self._clock is not None:
            self._clock.switch(part)

    def _start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._clock = PartClock(pl_module.device)
        if pl_module.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(pl_module.device)
        data = data_module(trainer)
        digests = {}
        if isinstance(data, Places365):
            digests = {f"{split} manifest": m.digest for split, m in data.manifests.items()}
            digests["root"] = without_credentials(data.root)
        self._record = {
            "format": FORMAT,
            "version": VERSION,
            "stage": trainer.state.fn.value if trainer.state.fn else "",
            **self.told,
            "process": process_of(),
            "started": _now(),
            "ended": None,
            "outcome": None,
            "data": digests,
            "versions": package_versions(),
            "hardware": hardware_of(pl_module.device, trainer.world_size)
            | {"num_parameters": sum(p.numel() for p in pl_module.parameters())},
            "code": _code(),
        }
        self._write(trainer)

    def _write(self, trainer: Trainer, outcome: str | None = None) -> None:
        """Write the file. That it cannot be written ends no run."""
        folder = self._folder
        if not (trainer.is_global_zero and self._clock and self._record) or is_trial(trainer):
            return
        if not folder.is_dir():  # made when the run began; others say that it is gone
            return
        self._written_s = time.monotonic()
        self._record |= {
            "written": _now(),
            "num_steps": trainer.global_step,
            "times_s": self._clock.times_s(wait=outcome == "complete"),
            "memory_bytes": _peaks(trainer.strategy.root_device),
        }
        if outcome:
            self._record |= {"ended": _now(), "outcome": outcome}
        try:
            text = json.dumps(in_json(self._record), indent=2, allow_nan=False)
            write_text(folder / RUN_FILE, f"{text}\n")
        except StorageError as error:
            if outcome not in ("failed", "interrupted"):  # else the reason is told already
                say(f"{RUN_FILE} is not written: {error.message}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def _code() -> dict[str, Any]:
    """Return which code runs: that which was there when it was asked first."""
    return {"revision": git_revision(), "source_sha256": source_digest()}


@cache
def _peaks(device: torch.device) -> dict[str, int]:
    peaks = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if device.type == "cuda":
        peaks["device"] = torch.cuda.max_memory_allocated(device)
    return peaks
