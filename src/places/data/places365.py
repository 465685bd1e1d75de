"""Places365 in tar shards as a Lightning data module, with the position to resume from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningDataModule

from places.data import plan
from places.data.batches import EvalCrop, TrainCrop, eval_batches, train_batches
from places.data.decode import ResizeMode
from places.data.loader import Loader, attached_trainer, check_batch_size, workers_of
from places.data.manifest import Manifest, load_manifest
from places.data.shards import Shards
from places.data.stream import Batch
from places.errors import CheckpointError, ConfigError

_STATE_VERSION = 1


class Places365(LightningDataModule):
    """Places365 in WebDataset shards, as written by `places pack`.

    Args:
        root: Folder with the shards and their manifests.
        batch_size: Pictures per step over all processes. Each process gets an equal share.
        image_size: Height and width of the network's input in pixels.
        resize_size: Short side of an evaluation picture before its centre is cut out, in pixels.
        resize_mode: "short_side" keeps the aspect ratio of an evaluation picture; "squash" makes it
            square first, as the official 256-pixel archives do.
        crop_scale: Smallest and largest area of a random training crop, as a part of the picture.
        crop_ratio: Smallest and largest width / height of a random training crop.
        flip: Mirror half of the training pictures.
        test_split: The split that `test` scores: "val" has labels; for "test", whose labels were
            never published, the file for the official test server is written instead.
        predict_split: The split that `predict` runs on.
        seed: Seed of the order of the training pictures, their crops and flips.
        shuffle_window: Number of shards that are shuffled together, for storage that wants to be
            read in sequence; null shuffles the whole split.
        num_threads: Decoding threads per process; null shares the cores among the processes.
    """

    def __init__(
        self,
        root: Path = Path("data/places"),
        batch_size: int = 256,
        image_size: int = 224,
        resize_size: int = 256,
        resize_mode: ResizeMode = "short_side",
        crop_scale: tuple[float, float] = (0.08, 1.0),
        crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: bool = True,
        test_split: Literal["val", "test"] = "val",
        predict_split: Literal["train", "val", "test"] = "test",
        seed: int = 0,
        shuffle_window: int | None = None,
        num_threads: int | None = None,
    ) -> None:
        super().__init__()
        if image_size > resize_size:
            raise ConfigError(
                f"data.image_size {image_size} is larger than data.resize_size {resize_size}",
                "the evaluation crop is cut out of the resized picture",
            )
        self.root = root
        self.batch_size = batch_size
        self.image_size = image_size
        self.resize_size = resize_size
        self.resize_mode: ResizeMode = resize_mode
        self.crop_scale = crop_scale
        self.crop_ratio = crop_ratio
        self.flip = flip
        self.test_split = test_split
        self.predict_split = predict_split
        self.seed = seed
        self.shuffle_window = shuffle_window
        self.num_threads = num_threads
        self.manifests: dict[str, Manifest] = {}
        self._shards: dict[str, Shards] = {}
        self._epoch = 0
        self._num_samples_consumed = 0

    def setup(self, stage: str) -> None:
        """Open the manifests of the splits that a stage needs.

        Raises:
            DataError: A split is missing or damaged.
            ConfigError: The batch size does not suit the number of processes or of pictures.
        """
        check_batch_size(self.batch_size, attached_trainer(self).world_size)
        for split in self._splits(stage):
            self.manifests[split] = load_manifest(self.root, split)
            self._shards[split] = Shards(self.manifests[split])
        num_train = self.manifests["train"].num_samples if stage == "fit" else self.batch_size
        if num_train < self.batch_size:
            raise ConfigError(
                f"data.batch_size {self.batch_size} is larger than the training split",
                f"{self.root} has {num_train} training pictures",
            )

    def teardown(self, stage: str) -> None:
        """Close the shards."""
        for shards in self._shards.values():
            shards.close()

    def train_dataloader(self) -> Loader:
        """Return the training batches: a permutation of the split in equal global batches."""
        num_batches = self.manifests["train"].num_samples // self.batch_size
        return Loader(num_batches, self._train_batches)

    def val_dataloader(self) -> Loader:
        """Return the batches of the validation split, each picture exactly once."""
        return self._eval_loader("val")

    def test_dataloader(self) -> Loader:
        """Return the batches of `test_split`, each picture exactly once."""
        return self._eval_loader(self.test_split)

    def predict_dataloader(self) -> Loader:
        """Return the batches of `predict_split`, each picture exactly once."""
        return self._eval_loader(self.predict_split)

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the training data, which is the same on all processes."""
        return {
            "version": _STATE_VERSION,
            "epoch": self._epoch,
            "num_samples_consumed": self._num_samples_consumed,
            "seed": self.seed,
            "manifest_digest": self.manifests["train"].digest,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at a saved position when training is resumed; nothing to do for other stages.

        Raises:
            CheckpointError: The position was saved with other data, another seed or a batch size
                that does not lead to it.
        """
        if "train" not in self.manifests:
            return
        now = self.state_dict()
        for name in ("version", "seed", "manifest_digest"):
            if state_dict[name] != now[name]:
                raise CheckpointError(
                    f"the checkpoint's training data differ: {name} was {state_dict[name]}, "
                    f"is {now[name]}",
                    "resume with the data and seed it was trained with,",
                    "or start a new run from its weights:  --model.weights CHECKPOINT",
                )
        if state_dict["num_samples_consumed"] % self.batch_size:
            raise CheckpointError(
                f"no step of data.batch_size {self.batch_size} ends at the checkpoint's position, "
                f"{state_dict['num_samples_consumed']} pictures into the epoch",
                "resume with the batch size it was trained with",
            )
        self._epoch = state_dict["epoch"]
        self._num_samples_consumed = state_dict["num_samples_consumed"]

    def _train_batches(self) -> Iterator[Batch]:
        # A generator: this runs when the first batch is asked for. Only then the trainer's epoch is
        # right, and a restored position that belongs to an earlier epoch shows itself as finished.
        manifest = self.manifests["train"]
        num_batches = manifest.num_samples // self.batch_size
        current_epoch = attached_trainer(self).current_epoch
        is_finished = self._num_samples_consumed >= num_batches * self.batch_size
        if self._epoch != current_epoch or is_finished:
            self._epoch = current_epoch + (is_finished and self._epoch == current_epoch)
            self._num_samples_consumed = 0
        first_step = self._num_samples_consumed // self.batch_size
        batches = train_batches(
            manifest,
            self._shards["train"],
            TrainCrop(self.image_size, self.crop_scale, self.crop_ratio, self.flip),
            workers_of(self, self.num_threads),
            batch_size=self.batch_size,
            seed=self.seed,
            epoch=self._epoch,
            first_step=first_step,
            shuffle_window=self.shuffle_window,
        )
        for step, batch in enumerate(batches, first_step):
            # Before the yield: Lightning asks for no batch after the last, so nothing runs after
            # it.
            self._num_samples_consumed = (step + 1) * self.batch_size
            yield batch

    def _eval_loader(self, split: str) -> Loader:
        manifest = self.manifests[split]
        return Loader(
            plan.num_eval_batches(manifest.num_samples, self.batch_size),
            lambda: eval_batches(
                manifest,
                self._shards[split],
                EvalCrop(self.image_size, self.resize_size, self.resize_mode),
                workers_of(self, self.num_threads),
                batch_size=self.batch_size,
            ),
        )

    def _splits(self, stage: str) -> tuple[str, ...]:
        return {
            "fit": ("train", "val"),
            "validate": ("val",),
            "test": (self.test_split,),
            "predict": (self.predict_split,),
        }[stage]
