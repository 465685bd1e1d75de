"""`places bench step`: what `places fit` costs over a bare PyTorch loop with the same work."""

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.optim import SGD

import places.data
from places.classifier import SceneClassifier
from places.cli.stages import run_stage
from places.data.streaming.stream import Batch
from places.models import ResNet
from places.training.schedules import parameter_groups

_NUM_WARM_UP = 5  # steps that are not counted
_LR, _MOMENTUM = 0.1, 0.9


class Clock(Callback):
    """Writes down when each training batch began.

    Args:
        file: Where the times go, in seconds, as JSON.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.times_s: list[float] = []

    def on_train_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,  # noqa: ANN401  # Lightning's type
        batch_idx: int,
    ) -> None:
        """Note the time."""
        self.times_s.append(_now_s(pl_module.device))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the times."""
        self.file.write_text(json.dumps(self.times_s))


def bench_step(
    root: Path,
    depth: Literal[18, 34, 50, 101, 152] = 18,
    batch_size: int = 32,
    image_size: int = 64,
    num_steps: int = 40,
    runs: int = 3,
    accelerator: Literal["cpu", "gpu"] = "cpu",
) -> int:
    """Compare the step of `places fit` with that of a bare PyTorch loop, side by side.

    Both train a ResNet with SGD on the same batches of the same loader, in turns. `places fit` runs
    with all that it has by default: callbacks, logs, schedule, resume points.

    Args:
        root: Folder with a train split.
        depth: Depth of the ResNet.
        batch_size: Pictures per step.
        image_size: Height and width of the crops in pixels.
        num_steps: Steps per run; the first 5 are not counted.
        runs: How often to measure each, in turns. The cost is the median of the turns' ratios,
            since a machine's speed changes more from turn to turn than within one.
        accelerator: Where to train.

    Returns:
        The exit status: 0.

    Raises:
        DataError: The split is missing or damaged.
        ConfigError: The sizes do not suit each other.
    """
    work = _Work(root, depth, batch_size, image_size, num_steps, accelerator)
    bare_s, fit_s = [], []
    console = Console(stderr=True)
    for _ in track(range(runs), "measuring", console=console, transient=True):
        bare_s.append(_bare_loop(work))
        fit_s.append(_fit(work))
    Console(highlight=False, soft_wrap=True).print(_table(work, bare_s, fit_s))
    return 0


def _table(work: "_Work", bare_s: list[float], fit_s: list[float]) -> Table:
    sizes = f"batches of {work.batch_size} pictures of {work.image_size} pixels"
    table = Table(title=f"ResNet-{work.depth}, {sizes}")
    table.add_column("loop")
    for name in ("ms per step", "lowest", "highest", "cost", "lowest", "highest"):
        table.add_column(name, justify="right")
    ratios = [fit / bare for fit, bare in zip(fit_s, bare_s, strict=True)]
    for loop, times_s in (("bare PyTorch", bare_s), ("places fit", fit_s)):
        times = [f"{1000 * value:,.1f}" for value in _spread(times_s)]
        costs = [f"{value - 1:+.1%}" for value in _spread(ratios)] if times_s is fit_s else []
        table.add_row(loop, *times, *costs)
    return table


def _spread(values: list[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


@dataclass(frozen=True)
class _Work:
    """What both loops do; see `bench_step`."""

    root: Path
    depth: Literal[18, 34, 50, 101, 152]
    batch_size: int
    image_size: int
    num_steps: int
    accelerator: str

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of one epoch after the other, as many as there are steps."""
        epochs = (
            places.data.open(
                self.root, "train", self.batch_size, epoch=epoch, image_size=self.image_size
            )
            for epoch in count()
        )
        return islice(chain.from_iterable(epochs), self.num_steps)


def _bare_loop(work: _Work) -> float:
    """Return the mean time of a step in seconds."""
    torch.manual_seed(0)
    device = torch.device("cuda" if work.accelerator == "gpu" else "cpu")
    net = ResNet(365, depth=work.depth).to(device, memory_format=torch.channels_last).train()
    optimizer = SGD(parameter_groups(net, decay_norms_and_biases=False), lr=_LR, momentum=_MOMENTUM)
    normalise = SceneClassifier(lambda _: torch.nn.Identity()).to(device)  # mean and deviation only
    times_s: list[float] = []
    for batch in work.batches():
        times_s.append(_now_s(device))
        flip = batch["flip"].to(device)[:, None, None, None]
        image = batch["image"].to(device)
        logits = net(normalise(torch.where(flip, image.flip(3), image)))
        loss = F.cross_entropy(logits, batch["label"].to(device))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return _mean_step_s([*times_s, _now_s(device)])


def _fit(work: _Work) -> float:
    """Return the mean time of a step in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "times.json"
        words = [*_words(work), f"--trainer.default_root_dir={folder}"]
        words += [
            "--trainer.callbacks+=places.bench.step.Clock",
            f"--trainer.callbacks.file={file}",
        ]
        said = StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            run_stage(words)
        times_s: list[float] = json.loads(file.read_text())
    return _mean_step_s(times_s)


def _words(work: _Work) -> list[str]:
    options = {
        "model.net": "places.models.ResNet",
        "model.net.depth": work.depth,
        "model.optimizer": "SGD",
        "model.optimizer.lr": _LR,
        "model.optimizer.momentum": _MOMENTUM,
        "data.root": work.root,
        "data.batch_size": work.batch_size,
        "data.image_size": work.image_size,
        "trainer.accelerator": work.accelerator,
        "trainer.devices": 1,
        "trainer.max_steps": work.num_steps + 1,
        "trainer.limit_val_batches": 0,
        "trainer.log_every_n_steps": 5,  # ten times as often as by default
        "trainer.enable_progress_bar": "false",
        "trainer.enable_model_summary": "false",
    }
    return ["fit", *(f"--{name}={value}" for name, value in options.items())]


def _mean_step_s(starts_s: list[float]) -> float:
    counted = starts_s[_NUM_WARM_UP:]
    return (counted[-1] - counted[0]) / (len(counted) - 1)


def _now_s(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
