"""SceneClassifier, the LightningModule: a network with its training, validation and prediction."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import OptimizerCallable
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from places.categories import load_categories, load_settings
from places.checkpoints.stored_arguments import stored_arguments
from places.config.num_classes import call_with_num_classes
from places.config.ranges import check_range
from places.console import counted, first_few, say
from places.data.image_files import ImageFiles
from places.data.places365 import Places365
from places.errors import ConfigError
from places.lightning_internals import data_module, log_every_n_steps
from places.models import ResNet
from places.models.channels_last import overwriting_layers
from places.models.inference import Inference
from places.models.weights import load_weights
from places.training.augment import Augment, Draws
from places.training.head import freeze_all_but_head, rest_all_but_head, tell_of_frozen
from places.training.mixing import LossName, mixed_hits, mixed_loss
from places.training.schedules import Schedule, ScheduleName, parameter_groups
from places.training.scores import EvaluationSums, TrainingSums
from places.training.views import Views, mean_scores
from places.training.weight_average import decay_at, match_average, start_average, update_average

NetCallable = Callable[[int], nn.Module]
NUM_GUESSES = 5  # per picture of the test split, as the official test server expects
_STATE_KEY = "training"  # of checkpoints
# torch.compile compiles again for each crop size, for training and evaluation, and for the average.
# At torch's own limit of 8 the network would silently run uncompiled from then on.
_RECOMPILE_LIMIT = 64


class SceneClassifier(LightningModule):
    """Classifies pictures of scenes with any network that maps pictures to logits.

    Args:
        net: The network: any class, or function, that takes the number of classes, as `num_classes`
            or as its first argument.
        optimizer: The optimizer.
        schedule: Learning rate schedule after the warm-up: "cosine" falls to 0, "linear" does so
            in a straight line, "steps" divides by 10 at each of `milestones`, "constant" stays.
        warmup_epochs: Epochs of linear warm-up of the learning rate.
        milestones: Epochs at which "steps" divides the learning rate.
        decay_norms_and_biases: Apply weight decay to biases and norms too.
        loss: "cross_entropy" of the softmax, or "binary": the mean of the binary cross-entropies of
            all classes, where a mixed picture is of both its classes. Scores stay those of the
            softmax, `val/loss` too.
        label_smoothing: Part of each label that is spread over all classes, in 0..1.
        augment: Augmentation of the training pictures on the device.
        average_decay: Decay per optimizer step of an exponential moving average of the weights
            (EMA), for instance 0.9999; smaller in the first steps. Its scores are logged under
            `val_ema/`. Null keeps none.
        use_average: Test and predict with the average of the weights.
        num_classes: Number of classes.
        weights: File of weights to start from: a checkpoint of `places`, or a file of torchvision,
            timm or CSAIL, see docs/weights.md.
        replace_head: Leave the last layer random where the file has another number of classes.
        train_only_head: Train the last `nn.Linear` alone, on features that stay as they are (linear
            probe): the other layers get no gradients, and their batch norms and dropout work as in
            evaluation.
        mean: Mean of the red, green and blue values of the training pictures, in 0..1.
        std: Their standard deviation, in 0..1.
        channels_last: Keep the channels last in memory, which is faster on most devices.
        compile: Compile the network with torch.compile. With null, predict does so where so many
            pictures wait that it pays, and the other stages do not.

    Attributes:
        num_guesses: How many of the best classes `predict_step` returns.
        wanted: What it returns beside them: "features", "activation", both or nothing.
        views: Of which views of a picture `test_step` averages the scores.
    """

    mean_255: Tensor
    std_255: Tensor
    is_indoor: Tensor

    def __init__(
        self,
        net: NetCallable = lambda num_classes: ResNet(num_classes, depth=50),
        optimizer: OptimizerCallable = lambda parameters: SGD(
            parameters, lr=0.1, momentum=0.9, weight_decay=1e-4
        ),
        schedule: ScheduleName = "cosine",
        warmup_epochs: float = 0.0,
        milestones: tuple[float, ...] = (),
        decay_norms_and_biases: bool = False,
        loss: LossName = "cross_entropy",
        label_smoothing: float = 0.0,
        augment: Augment = Augment(),  # noqa: B008  # frozen, so it can be shared
        average_decay: float | None = None,
        use_average: bool = False,
        num_classes: int = 365,
        weights: Path | None = None,
        replace_head: bool = False,
        train_only_head: bool = False,
        mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
        std: tuple[float, float, float] = (0.229, 0.224, 0.225),
        channels_last: bool = True,
        compile: bool | None = None,
    ) -> None:
        super().__init__()
        check_range("model.num_classes", num_classes, 1)
        check_range("model.label_smoothing", label_smoothing, 0, 1)
        check_range("model.std", min(std), 0.001)
        self.net: nn.Module = call_with_num_classes(net, num_classes)
        if weights is not None:
            load_weights(self.net, weights, replace_head=replace_head, mean=mean, std=std)
        self.average = None if average_decay is None else start_average(self.net, average_decay)
        if use_average and self.average is None:
            raise ConfigError("model.use_average needs the average that model.average_decay keeps")
        self.average_decay = average_decay
        self.use_average = use_average
        self.train_only_head = train_only_head
        self._has_weights = weights is not None
        if train_only_head:
            freeze_all_but_head(self.net)
        self.num_classes = num_classes
        self.loss: LossName = loss
        self.label_smoothing = label_smoothing
        self.augment = augment
        self._optimizer = optimizer
        self._schedule = Schedule(schedule, warmup_epochs, milestones)
        self._decay_norms_and_biases = decay_norms_and_biases
        self._memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._compile = compile
        self._is_compiled = False
        self.num_guesses = NUM_GUESSES
        self.wanted: frozenset[str] = frozenset()
        self.views = Views()
        self._inference: Inference | None = None
        self.register_buffer("mean_255", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std_255", 255 * torch.tensor(std)[:, None, None], persistent=False)
        is_indoor = torch.tensor([setting == "indoor" for setting in load_settings()])
        self.register_buffer("is_indoor", is_indoor, persistent=False)
        # `_log_scores` reduces the sums, not `compute`: callbacks call that on the first process
        # only, where it would wait for the others forever.
        self.evaluation = EvaluationSums(num_classes, sync_on_compute=False)
        self.average_evaluation = EvaluationSums(num_classes, sync_on_compute=False)
        self.train_means: dict[str, float] = {}  # those logged last, for the progress bar
        self._train_sums = TrainingSums()
        self._seed = torch.initial_seed()  # that of seed_everything
        self._num_train_batches = 0

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; with `train_only_head` the last layer alone."""
        super().train(mode)
        if self.train_only_head:
            rest_all_but_head(self.net, mode)
        return self

    def setup(self, stage: str) -> None:
        """Check that the network has as many classes as the data.

        Raises:
            ConfigError: It has not.
        """
        data = data_module(self.trainer)
        num_categories = len(load_categories())
        if isinstance(data, Places365 | ImageFiles) and self.num_classes != num_categories:
            raise ConfigError(
                f"the network has {counted(self.num_classes, 'class', 'classes')}, "
                f"the data have {num_categories}",
                f"type:  --model.num_classes {num_categories}, or leave it out",
            )
        if stage == "fit" and self.trainer.strategy.root_device.type == "cpu":
            self._keep_channels_first_where_they_must()
        # From it `--trainer.enable_model_summary true` counts operations; else it shows none.
        crop = getattr(data, "eval_crop", getattr(data, "crop", None))
        size = getattr(crop, "image_size", 224)
        self.example_input_array = {"image": torch.zeros((1, 3, size, size), dtype=torch.uint8)}

    def _keep_channels_first_where_they_must(self) -> None:
        layers = overwriting_layers(self.net)
        if layers and self._memory_format == torch.channels_last:
            self._memory_format = torch.contiguous_format  # before `configure_model` takes it
            say(
                "the channels stay first in memory, as with --model.channels_last false: else "
                "PyTorch cannot train these layers on a processor (oneDNN issue 6035): "
                f"{first_few(layers)}"
            )

    def on_fit_start(self) -> None:
        """Say what is trained, if that is not everything."""
        if self.train_only_head:
            tell_of_frozen(self.net, is_given=bool(self._has_weights or self.trainer.ckpt_path))

    def configure_model(self) -> None:
        """Set the memory format of the network and its average, and compile them if asked to.

        `predict` compiles a copy without batch norms, see `on_predict_start`.
        """
        is_due = bool(self._compile) and not self._is_compiled and not self.trainer.predicting
        for net in [self.net] if self.average is None else [self.net, self.average]:
            net.to(memory_format=self._memory_format)
            if is_due:
                torch.compiler.config.recompile_limit = _RECOMPILE_LIMIT
                net.compile(dynamic=False)
        self._is_compiled |= is_due

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return the optimizer and its scheduler, which is stepped after each optimizer step."""
        groups = parameter_groups(self.net, decay_norms_and_biases=self._decay_norms_and_biases)
        try:
            optimizer = self._optimizer(groups)
        except ValueError as error:
            raise ConfigError(f"model.optimizer cannot be built: {error}") from error
        scheduler = self._schedule.attach(optimizer, self.trainer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits `(N, num_classes)` of RGB pictures `(N, 3, H, W)` in 0..255."""
        return self._logits(self._net_to_use(), image)

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        """Return the mean loss of the pictures of a batch whose weight is not 0.

        Does not wait for the device: random numbers are drawn on the host.
        """
        image, weight = batch["image"], batch["weight"]
        label = torch.where(weight > 0, batch["label"], 0)  # -1 where a picture has no label
        draws = Draws(self._seed, self._num_train_batches, self.global_rank, len(label))
        self._num_train_batches += 1
        image = torch.where(batch["flip"][:, None, None, None], image.flip(3), image)
        image = self.augment.transform(image, self.mean_255, draws)
        image, labels = self.augment.mix(image, label, weight, draws)
        logits = self._logits(self.net, image).float()
        loss = mixed_loss(logits, labels, weight, self.label_smoothing, self.loss)
        num_hits = mixed_hits(logits.detach(), labels, weight)
        self._train_sums.add(loss.detach(), num_hits, weight.sum())
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Every few steps, log the mean loss and accuracy of all processes since the last log."""
        every = log_every_n_steps(self.trainer)
        if every and (self.global_step + 1) % every == 0:
            means = self._train_sums.take_means(self.trainer.strategy.reduce)
            self.train_means = {f"train/{name}": value for name, value in means.items()}
            # prog_bar would make Lightning read them from the device in each step.
            self.log_dict(self.train_means)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # passed on
        """Take an optimizer step and update the average before a checkpoint can be saved."""
        super().optimizer_step(*args, **kwargs)
        if self.average is not None and self.average_decay is not None:
            update_average(self.average, self.net, decay_at(self.global_step, self.average_decay))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the number of the next batch, for its random numbers, and the sums not yet logged."""
        sums = self.all_gather(self._train_sums.sums.to(self.device))
        assert isinstance(sums, Tensor)
        rows = sums.reshape(-1, TrainingSums.SIZE).to("cpu", copy=True)  # one for each process
        checkpoint[_STATE_KEY] = {"num_batches": self._num_train_batches, "sums": rows}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore them, and make the average in the checkpoint match this module."""
        match_average(checkpoint["state_dict"], self.average, needed=self.use_average)
        if (state := checkpoint.get(_STATE_KEY)) and self._has_trainer():
            self._num_train_batches = state["num_batches"]
            self._train_sums.restore(state["sums"], self.global_rank, self.trainer.world_size)

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,  # noqa: ANN401  # Lightning's type
        *args: Any,  # noqa: ANN401  # passed on
        trust: Collection[str] = (),
        **kwargs: Any,  # noqa: ANN401  # passed on
    ) -> Self:
        """Return the model in a checkpoint, as `places` configured it; see Lightning.

        Args:
            checkpoint_path: The file.
            *args: As Lightning takes them.
            trust: Packages whose networks and optimizers it may name, see `places.load`.
            **kwargs: As Lightning takes them: also arguments of this class, in place of those that
                the checkpoint tells.

        Raises:
            CheckpointError: The checkpoint is damaged, or names what it may not name.
        """
        if isinstance(checkpoint_path, str | Path) and Path(checkpoint_path).is_file():
            path = Path(checkpoint_path)
            kwargs = {**stored_arguments(cls, path, {*trust}, kwargs.keys()), **kwargs}
        loaded: Self = super().load_from_checkpoint(checkpoint_path, *args, **kwargs)
        return loaded

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Add a batch to the scores of the network, and to those of its average.

        Returns:
            `logits`: `(N, num_classes)`, of the network.
        """
        logits = self._logits(self.net, batch["image"])
        _score(logits, batch, self.evaluation)
        if self.average is not None:
            _score(self._logits(self.average, batch["image"]), batch, self.average_evaluation)
        return {"logits": logits}

    def test_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Add a batch to the scores and return the predictions, see `predict_step`.

        `true_probability`: `(N,)` float32, of the class of the label; of class 0 without a label.
        `loss`: `(N,)` float32, the cross-entropy in nats, likewise.
        """
        logits = mean_scores(self, batch["image"], self.views).float()
        _score(logits, batch, self.evaluation)
        probabilities, label = logits.softmax(dim=1), batch["label"].clamp(min=0)
        of_label = probabilities.gather(1, label[:, None])[:, 0]
        loss = F.cross_entropy(logits, label, reduction="none")
        guesses = _guesses(logits, probabilities, NUM_GUESSES)
        return guesses | {"true_probability": of_label, "loss": loss}

    def predict_step(self, batch: Mapping[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Return what the network says of the pictures of a batch.

        Returns:
            `label`: `(N, k)` int64, the `num_guesses` best classes, best first.
            `probability`: `(N, k)` float32, theirs.
            `finite`: `(N,)` bool: whether no logit is NaN or infinite; else the others mean
            nothing.
            `indoor`: `(N,)` float32, the sum of the probabilities of all indoor categories; absent
            if the classes are not the 365 categories.
            `features`: `(N, D)` float32, the input of the last linear layer; if wanted.
            `activation`: `(N, h, w)` float32 in 0..1, where the best class was seen (class
            activation map); if wanted. Absent where the network averages no maps before its last
            linear layer, as VGG.
        """
        images = self._normalised(batch["image"])
        if self._inference is not None:
            answer = self._inference(images)
        else:  # outside of a trainer
            inference = Inference(self._net_to_use(), self.wanted, fold=False)
            answer = inference(images)
            inference.close()
        probabilities = answer.logits.float().softmax(dim=1)
        guesses = _guesses(answer.logits, probabilities, self.num_guesses)
        if self.num_classes == len(self.is_indoor):
            # No product of matrices, which a GPU may round to 10 bits. The sum may exceed 1 a bit.
            guesses["indoor"] = (probabilities * self.is_indoor).sum(dim=1).clamp(max=1)
        more = {"features": answer.features, "activation": answer.activation}
        return guesses | {name: value for name, value in more.items() if value is not None}

    def on_predict_start(self) -> None:
        """Make the network faster, see `places.models.inference`."""
        owns_weights = self._owns_weights()
        self._inference = Inference(
            self._net_to_use(),
            self.wanted,
            fold=owns_weights,
            compile=self._compile if owns_weights else False,
            num_batches=sum(self.trainer.num_predict_batches),
        )

    def on_predict_end(self) -> None:
        """Leave the network as it was."""
        if self._inference is not None:
            self._inference.close()
        self._inference = None

    def on_validation_epoch_start(self) -> None:
        """Reset the scores."""
        self.evaluation.reset()
        self.average_evaluation.reset()

    def on_test_epoch_start(self) -> None:
        """Reset the scores."""
        self.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Add up the sums of all processes and log the scores."""
        self._log_scores("val", self.evaluation)
        if self.average is not None:
            self._log_scores("val_ema", self.average_evaluation)

    def on_test_epoch_end(self) -> None:
        """Add up the sums of all processes and log the scores."""
        self._log_scores("test", self.evaluation)

    def _has_trainer(self) -> bool:
        try:
            return self.trainer is not None
        except RuntimeError:  # what Lightning says of none
            return False

    def _net_to_use(self) -> nn.Module:
        return self.average if self.use_average and self.average is not None else self.net

    def _owns_weights(self) -> bool:
        # Other strategies cut the weights into parts, which no copy could be made of.
        return isinstance(self.trainer.strategy, SingleDeviceStrategy | DDPStrategy)

    def _normalised(self, image: Tensor) -> Tensor:
        normalised = (image - self.mean_255) / self.std_255
        return normalised.contiguous(memory_format=self._memory_format)

    def _logits(self, net: nn.Module, image: Tensor) -> Tensor:
        logits: Tensor = net(self._normalised(image))
        return logits

    def _log_scores(self, stage: str, sums: EvaluationSums) -> None:
        # torchmetrics would forget the sums of the other processes once it has computed the scores;
        # the reports read them later, on the first process.
        sums.sums = self.trainer.strategy.reduce(sums.sums, reduce_op="sum")
        if sums.count:
            for name, value in sums.compute().items():
                self.log(f"{stage}/{name}", value, prog_bar=name == "top1")


def _score(logits: Tensor, batch: Mapping[str, Any], sums: EvaluationSums) -> None:
    sums.update(logits, batch["label"], batch["weight"] * (batch["label"] >= 0))


def _guesses(logits: Tensor, probabilities: Tensor, num: int) -> dict[str, Tensor]:
    # In the order of the logits: of many classes the probability may be too small for a float32.
    best = logits.float().topk(min(num, probabilities.shape[1]), dim=1).indices
    finite = logits.isfinite().all(dim=1)
    return {"label": best, "probability": probabilities.gather(1, best), "finite": finite}
