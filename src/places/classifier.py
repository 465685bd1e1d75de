"""SceneClassifier, the only LightningModule: a network, how it is trained and how it is scored."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LambdaLR

from places.metrics import EvaluationSums
from places.models import ResNet
from places.models.weights import load_weights
from places.schedules import Schedule, learning_rate_factor, parameter_groups

NetCallable = Callable[[int], nn.Module]
NUM_GUESSES = 5  # per picture, as the official test server takes them


class SceneClassifier(LightningModule):
    """A network that names the scene of a picture.

    Args:
        net: The network: a class whose first argument is the number of classes.
        optimizer: The optimizer.
        schedule: Course of the learning rate after the warm-up: "cosine" falls to 0, "steps"
            divides by 10 at each of `milestones`, "constant" stays.
        warmup_epochs: Epochs in which the learning rate rises to its full value.
        milestones: Epochs at which "steps" divides the learning rate.
        decay_norms_and_biases: Apply weight decay to biases and norms too.
        label_smoothing: Part of each label that is spread over all classes, in 0..1.
        num_classes: Number of classes.
        weights: File of weights to start from: a checkpoint of `places`, torchvision or CSAIL.
        replace_head: Keep the fresh last layer when the file's has another number of classes.
        mean: Mean of the red, green and blue values of the training pictures, in 0..1.
        std: Their standard deviation, in 0..1.
        channels_last: Keep the channels last in memory, which is faster on most devices.
        compile: Compile the network with torch.compile.
    """

    mean_255: Tensor
    std_255: Tensor

    def __init__(
        self,
        net: NetCallable = lambda num_classes: ResNet(num_classes, depth=50),
        optimizer: OptimizerCallable = lambda parameters: SGD(
            parameters, lr=0.1, momentum=0.9, weight_decay=1e-4
        ),
        schedule: Schedule = "cosine",
        warmup_epochs: float = 0.0,
        milestones: tuple[float, ...] = (),
        decay_norms_and_biases: bool = False,
        label_smoothing: float = 0.0,
        num_classes: int = 365,
        weights: Path | None = None,
        replace_head: bool = False,
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.net = net(num_classes)
        if weights is not None:
            load_weights(self.net, weights, replace_head=replace_head)
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self._optimizer = optimizer
        self._schedule: Schedule = schedule
        self._warmup_epochs = warmup_epochs
        self._milestones = milestones
        self._decay_norms_and_biases = decay_norms_and_biases
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._compile = compile
        self.register_buffer("mean_255", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std_255", 255 * torch.tensor(std)[:, None, None], persistent=False)
        self.evaluation = EvaluationSums(num_classes)
        self._train_sums = torch.zeros(3)

    def configure_model(self) -> None:
        """Bring the network into the wanted memory format, and compile it if asked to."""
        self.net.to(memory_format=self._memory_format)
        if self._compile:
            self._compile = False
            self.net.compile(dynamic=False)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer and the schedule, which advances with every optimizer step."""
        groups = parameter_groups(self.net, decay_norms_and_biases=self._decay_norms_and_biases)
        optimizer = self._optimizer(groups)
        steps_per_epoch, num_steps = self._num_steps()
        factor = partial(
            learning_rate_factor,
            num_steps=num_steps,
            num_warmup_steps=round(self._warmup_epochs * steps_per_epoch),
            schedule=self._schedule,
            milestones=[round(epoch * steps_per_epoch) for epoch in self._milestones],
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": LambdaLR(optimizer, factor), "interval": "step"},
        }

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits `(N, num_classes)` of pictures `(N, 3, H, W)`, uint8, RGB."""
        normalised = (image - self.mean_255) / self.std_255
        logits: Tensor = self.net(normalised.contiguous(memory_format=self._memory_format))
        return logits

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Return the mean loss of a batch."""
        flip = batch["flip"][:, None, None, None]
        logits = self(torch.where(flip, batch["image"].flip(3), batch["image"]))
        loss = F.cross_entropy(logits, batch["label"], label_smoothing=self.label_smoothing)
        self._count_training(loss.detach(), logits.detach(), batch["label"])
        return loss

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Add a batch to the sums."""
        self._guess(batch)

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Add a batch to the sums and return the best guesses, see `predict_step`."""
        return self._guess(batch)

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Return the best five classes (int64) and their probabilities (float32), both `(N, 5)`."""
        return self._guess(batch)

    def on_validation_epoch_start(self) -> None:
        """Start new sums."""
        self.evaluation = EvaluationSums(self.num_classes, self.device)

    def on_test_epoch_start(self) -> None:
        """Start new sums."""
        self.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Add the sums of all processes and log the scores."""
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        """Add the sums of all processes and log the scores."""
        self._log_scores("test")

    def _guess(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        logits = self(batch["image"])
        labelled = batch["weight"] * (batch["label"] >= 0)
        self.evaluation.update(logits, batch["label"], labelled)
        best = logits.float().softmax(dim=1).topk(min(NUM_GUESSES, self.num_classes), dim=1)
        return {"label": best.indices, "probability": best.values}

    def _log_scores(self, stage: str) -> None:
        self.evaluation.sums = self.trainer.strategy.reduce(self.evaluation.sums, reduce_op="sum")
        if self.evaluation.count == 0:
            return
        for name, value in self.evaluation.compute().items():
            self.log(f"{stage}/{name}", value, prog_bar=name == "top1")

    def _count_training(self, loss: Tensor, logits: Tensor, label: Tensor) -> None:
        # Sums on the device, read every few steps: reading each step would make the device wait.
        if self._train_sums.device != loss.device:
            self._train_sums = self._train_sums.to(loss.device)
        num = float(len(label))
        hits = (logits.argmax(dim=1) == label).sum()
        self._train_sums += torch.stack([loss * num, hits, loss.new_tensor(num)])
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set, not declared
        if (self.global_step + 1) % every == 0:
            loss_sum, num_hits, count = self._train_sums.tolist()
            self._train_sums.zero_()
            self.log("train/loss", loss_sum / count, prog_bar=True)
            self.log("train/top1", num_hits / count)

    def _num_steps(self) -> tuple[float, int]:
        # Never trainer.estimated_stepping_batches: it makes Lightning forget the loader's position.
        trainer = self.trainer
        num_batches: float = len(trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
        limit = trainer.limit_train_batches
        num_batches = min(num_batches, limit) if isinstance(limit, int) else num_batches * limit
        steps_per_epoch = max(1.0, num_batches / trainer.accumulate_grad_batches)
        if trainer.max_steps > 0:
            return steps_per_epoch, trainer.max_steps
        return steps_per_epoch, max(1, round(steps_per_epoch * (trainer.max_epochs or 1)))
