"""SceneClassifier, the only LightningModule: a network, how it is trained and how it is scored."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from places.categories import load_categories
from places.config.ranges import check_range
from places.data.image_files import ImageFiles
from places.data.places365 import Places365
from places.errors import ConfigError
from places.models import ResNet
from places.models.weights import load_weights
from places.training.augment import Augment, Draws
from places.training.mixing import mixed_hits, mixed_loss
from places.training.schedules import Course, Schedule, parameter_groups
from places.training.scores import EvaluationSums, TrainingSums
from places.training.weight_average import decay_at, fit_average, start_average, update_average

NetCallable = Callable[[int], nn.Module]
NUM_GUESSES = 5  # per picture, as the official test server takes them
_STATE_KEY = "training"  # in checkpoints
# A network is compiled anew for each size of crops, for training and for scoring, and for its
# average. After the 8 times that torch allows it would go on uncompiled without a word.
_NUM_COMPILED = 64


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
        augment: Changes to the training pictures on the device.
        average_decay: Keep a moving average of the weights too, and this part of it in each step
            (0.9999 looks back over 10,000 optimizer steps, over fewer at first). Its scores are
            logged under `val_ema/`. Null keeps none.
        use_average: Test and predict with the average of the weights.
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
        augment: Augment = Augment(),  # noqa: B008  # frozen, so it can be shared
        average_decay: float | None = None,
        use_average: bool = False,
        num_classes: int = 365,
        weights: Path | None = None,
        replace_head: bool = False,
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        super().__init__()
        check_range("model.num_classes", num_classes, 1)
        check_range("model.label_smoothing", label_smoothing, 0, 1)
        check_range("model.std", min(std), 0.001)
        self.net = net(num_classes)
        if weights is not None:
            load_weights(self.net, weights, replace_head=replace_head)
        self.average = None if average_decay is None else start_average(self.net, average_decay)
        if use_average and self.average is None:
            raise ConfigError("model.use_average needs the average that model.average_decay keeps")
        self.average_decay = average_decay
        self.use_average = use_average
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.augment = augment
        self._optimizer = optimizer
        self._course = Course(schedule, warmup_epochs, milestones)
        self._decay_norms_and_biases = decay_norms_and_biases
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._compile = compile
        self.register_buffer("mean_255", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std_255", 255 * torch.tensor(std)[:, None, None], persistent=False)
        # `_log_scores` adds the sums of all processes. `compute` must not do so again: callbacks
        # call it on the first process only, where it would wait for the others forever.
        self.evaluation = EvaluationSums(num_classes, sync_on_compute=False)
        self.average_evaluation = EvaluationSums(num_classes, sync_on_compute=False)
        self.train_means: dict[str, float] = {}  # as logged last
        self._train_sums = TrainingSums()
        self._seed = torch.initial_seed()
        self._num_train_batches = 0

    def setup(self, stage: str) -> None:
        """Refuse a network for another number of classes than the data have."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]  # set, not declared
        num_categories = len(load_categories())
        is_ours = isinstance(data, Places365 | ImageFiles)
        if is_ours and self.num_classes != num_categories:
            raise ConfigError(
                f"the network has {self.num_classes} classes, the data have {num_categories}",
                f"type:  --model.num_classes {num_categories}, or leave it out",
            )

    def configure_model(self) -> None:
        """Bring the networks into the wanted memory format, and compile them if asked to."""
        for net in [self.net] if self.average is None else [self.net, self.average]:
            net.to(memory_format=self._memory_format)
            if self._compile:
                torch.compiler.config.recompile_limit = _NUM_COMPILED
                net.compile(dynamic=False)
        self._compile = False

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer and the schedule, which advances with every optimizer step."""
        groups = parameter_groups(self.net, decay_norms_and_biases=self._decay_norms_and_biases)
        try:
            optimizer = self._optimizer(groups)
        except ValueError as error:
            raise ConfigError(f"model.optimizer cannot be built: {error}") from error
        scheduler = self._course.steer(optimizer, self.trainer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits `(N, num_classes)` of pictures `(N, 3, H, W)`, in 0..255, RGB."""
        if self.use_average and self.average is not None:
            return self._logits(self.average, image)
        return self._logits(self.net, image)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Return the mean loss of the pictures of a batch that count."""
        # Nothing here waits for the device: what is drawn is drawn on the host.
        image, weight = batch["image"], batch["weight"]
        label = torch.where(weight > 0, batch["label"], 0)
        draws = Draws(self._seed, self._num_train_batches, self.global_rank, len(label))
        self._num_train_batches += 1
        image = torch.where(batch["flip"][:, None, None, None], image.flip(3), image)
        image = self.augment.change(image, self.mean_255, draws)
        image, labels = self.augment.mix(image, label, weight, draws)
        logits = self._logits(self.net, image).float()
        loss = mixed_loss(logits, labels, weight, self.label_smoothing)
        num, num_hits = weight.sum(), mixed_hits(logits.detach(), labels, weight)
        self._train_sums.add(loss.detach(), num_hits, num)
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Log the means over the pictures of all processes since the last time, every few steps."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set, not declared
        if every and (self.global_step + 1) % every == 0:
            means = self._train_sums.take_means(self.trainer.strategy.reduce)
            self.train_means = {f"train/{name}": value for name, value in means.items()}
            # Not for Lightning's progress bar, which would read them from the device at each step.
            self.log_dict(self.train_means)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # passed on
        """Take an optimizer step and move the average, before anything can save a checkpoint."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None and self.average_decay is not None:
            update_average(self.average, self.net, decay_at(self.global_step, self.average_decay))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what decides the next draws and the next log of the training."""
        sums = self.all_gather(self._train_sums.sums.to(self.device))
        assert isinstance(sums, Tensor)
        rows = sums.reshape(-1, TrainingSums.SIZE).to("cpu", copy=True)  # one for each process
        checkpoint[_STATE_KEY] = {"num_batches": self._num_train_batches, "sums": rows}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take that over, and keep, drop or start the average."""
        fit_average(checkpoint["state_dict"], self.average, needed=self.use_average)
        if state := checkpoint.get(_STATE_KEY):
            self._num_train_batches = state["num_batches"]
            self._train_sums.restore(state["sums"], self.global_rank, self.trainer.world_size)

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        """Add a batch to the sums of the trained weights, and to those of the average."""
        _score(self._logits(self.net, batch["image"]), batch, self.evaluation)
        if self.average is not None:
            _score(self._logits(self.average, batch["image"]), batch, self.average_evaluation)

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Add a batch to the sums and return the best guesses, see `predict_step`."""
        logits = self(batch["image"])
        _score(logits, batch, self.evaluation)
        return self._guesses(logits)

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Return the best five classes (int64) and their probabilities (float32), both `(N, 5)`."""
        return self._guesses(self(batch["image"]))

    def on_validation_epoch_start(self) -> None:
        """Start new sums."""
        self.evaluation.reset()
        self.average_evaluation.reset()

    def on_test_epoch_start(self) -> None:
        """Start new sums."""
        self.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Add the sums of all processes and log the scores."""
        self._log_scores("val", self.evaluation)
        self._log_scores("val_ema", self.average_evaluation)

    def on_test_epoch_end(self) -> None:
        """Add the sums of all processes and log the scores."""
        self._log_scores("test", self.evaluation)

    def _logits(self, net: nn.Module, image: Tensor) -> Tensor:
        normalised = (image - self.mean_255) / self.std_255
        logits: Tensor = net(normalised.contiguous(memory_format=self._memory_format))
        return logits

    def _guesses(self, logits: Tensor) -> dict[str, Tensor]:
        best = logits.float().softmax(dim=1).topk(min(NUM_GUESSES, self.num_classes), dim=1)
        return {"label": best.indices, "probability": best.values}

    def _log_scores(self, stage: str, sums: EvaluationSums) -> None:
        sums.sums = self.trainer.strategy.reduce(sums.sums, reduce_op="sum")
        scores = sums.compute() if sums.count else {}
        for name, value in scores.items():
            self.log(f"{stage}/{name}", value, prog_bar=name == "top1")


def _score(logits: Tensor, batch: Mapping[str, Any], sums: EvaluationSums) -> None:
    sums.update(logits, batch["label"], batch["weight"] * (batch["label"] >= 0))
