"""The three training loops that `places bench step` compares, with the same work in each."""

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import chain, count, islice
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import SGD

import places.data
from places.bench.parts import Clock, now_s
from places.classifier import SceneClassifier
from places.data.loader import Loader
from places.data.streaming.stream import Batch
from places.errors import PlacesError
from places.models import ResNet
from places.training.schedules import parameter_groups

LOG_EVERY_N_STEPS = 5  # ten times as often as by default
_LR, _MOMENTUM = 0.1, 0.9
_NUM_CLASSES = 365

Network = Literal["resnet", "linear"]
Depth = Literal[18, 34, 50, 101, 152]
Times = list[dict[str, float]]  # for each step its start and, with Lightning, the parts until then


@dataclass(frozen=True)
class Work:
    """What each loop does; see `bench_step`."""

    root: Path
    network: Network
    depth: Depth
    batch_size: int
    image_size: int
    num_steps: int
    accelerator: Literal["cpu", "gpu"]

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of one epoch after the other, one more than there are steps."""
        epochs = (
            places.data.open(
                self.root, "train", self.batch_size, epoch=epoch, image_size=self.image_size
            )
            for epoch in count()
        )
        return islice(chain.from_iterable(epochs), self.num_steps + 1)


class Linear(nn.Sequential):
    """One layer on the mean colour of a picture: next to no work, so that the rest shows."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, num_classes))


class Plain(LightningModule):
    """The training of a network as a LightningModule with nothing else in it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.normalise = SceneClassifier(lambda _: nn.Identity())  # takes mean and deviation only

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean loss of a batch."""
        flip = batch["flip"][:, None, None, None]
        image = torch.where(flip, batch["image"].flip(3), batch["image"])
        return F.cross_entropy(self.net(self.normalise(image)), batch["label"])

    def configure_optimizers(self) -> SGD:
        """Return the optimizer of all three loops."""
        groups = parameter_groups(self.net, decay_norms_and_biases=False)
        return SGD(groups, lr=_LR, momentum=_MOMENTUM)


def bare_pytorch(work: Work) -> Times:
    """Train in a loop of a few lines."""
    device = torch.device("cuda" if work.accelerator == "gpu" else "cpu")
    module = _plain(work).to(device)
    optimizer = module.configure_optimizers()
    times_s: Times = []
    for index, batch in enumerate(work.batches()):
        times_s.append({"step": now_s(device)})
        moved: Batch = {
            **batch,
            "image": batch["image"].to(device),
            "flip": batch["flip"].to(device),
            "label": batch["label"].to(device),
        }
        loss = module.training_step(moved, index)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return times_s


def bare_lightning(work: Work) -> Times:
    """Train with a Lightning trainer whose extras are all switched off."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    said = StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(said), redirect_stderr(said):
        file = Path(folder) / "times.json"
        Trainer(
            accelerator=work.accelerator,
            devices=1,
            max_steps=work.num_steps + 1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[Clock(file)],
        ).fit(_plain(work), Loader(work.num_steps + 1, work.batches))
        return _read(file)


def places_fit(work: Work) -> Times:
    """Train with `places fit` and all that it has by default, in a process of its own.

    Raises:
        PlacesError: It failed; with what it said.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "times.json"
        options = _fit_options(work) | {
            "trainer.default_root_dir": folder,
            "trainer.callbacks+": "places.bench.parts.Clock",
            "trainer.callbacks.file": file,
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        command = [sys.executable, "-m", "places", "fit", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PlacesError("places fit failed", *done.stderr.splitlines()[-3:])
        return _read(file)


def _plain(work: Work) -> Plain:
    torch.manual_seed(0)
    is_linear = work.network == "linear"
    net = Linear(_NUM_CLASSES) if is_linear else ResNet(_NUM_CLASSES, depth=work.depth)
    return Plain(net.to(memory_format=torch.channels_last)).train()


def _fit_options(work: Work) -> dict[str, object]:
    if work.network == "linear":
        net: dict[str, object] = {"model.net": "places.bench.loops.Linear"}
    else:
        net = {"model.net": "places.models.ResNet", "model.net.depth": work.depth}
    return net | {
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
        "trainer.log_every_n_steps": LOG_EVERY_N_STEPS,
        "trainer.enable_progress_bar": "false",
        "trainer.enable_model_summary": "false",
    }


def _read(file: Path) -> Times:
    times_s: Times = json.loads(file.read_text())
    return times_s
