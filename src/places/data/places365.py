"""Places365 in tar shards as a Lightning data module, with the position to resume from."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningDataModule

from places.config.ranges import check_range
from places.config.secrets import without_credentials
from places.data.loader import Loader
from places.data.position import Position
from places.data.remote.checks import CacheChecks
from places.data.shards.index import NO_LABEL
from places.data.shards.manifest import Manifest
from places.data.streaming import plan
from places.data.streaming.bad_samples import BadSamplePolicy, BadSamples
from places.data.streaming.batches import EvalCrop, TrainCrop, eval_batches, train_batches
from places.data.streaming.decode import ResizeMode
from places.data.streaming.samples import Cache, SplitSamples, open_samples
from places.data.streaming.stream import Batch
from places.data.workers import TensorsToDevice, attached_trainer, workers_of
from places.errors import DataError


class Places365(TensorsToDevice, LightningDataModule):
    """Places365 in WebDataset shards, as written by `places pack` or indexed by `places index`.

    Args:
        root: Folder with the shards and their manifests, or its URL: https://, s3://, gs://. Shards
            of others get manifests by `places index`.
        batch_size: Pictures per step over all processes. Each process gets an equal share.
        image_size: Height and width of the network's input in pixels.
        train_image_size: Height and width of the training crops in pixels; null takes `image_size`.
            Things look larger in random crops than in whole pictures, so that smaller crops match
            what is evaluated, and cost less (Touvron et al. 2019, FixRes, arXiv 1906.06423).
        start_image_size: Size of the training crops in the first epochs, in pixels, for progressive
            resizing; null trains at the final size from the start.
        grow_epochs: Epochs between which the crops grow from `start_image_size` to the final size,
            in steps of 32 pixels; counted from 0.
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
        shuffle_window: Number of shards that are read side by side, for storage that wants to be
            read in sequence; every batch takes equal parts of them. Must divide `batch_size`. null
            shuffles the whole split.
        augment_repeats: Crops of each training picture in a batch; an epoch then has that part of
            the pictures (repeated augmentation: Hoffer et al. 2019, arXiv 1901.09335).
        num_threads: Decoding threads per process; null takes as many as pay, at most its share of
            the cores.
        bad_samples: What becomes of samples that cannot be read: "raise" stops at the first one;
            "skip" names each once in each process that meets it, counts it and gives it no weight.
        max_bad_samples: With "skip", more than this in a split and process stop the run after all.
            Counting starts again when a run is resumed.
        cache_folder: Folder of this machine for shards from a URL, shared by processes and runs.
        cache_size_gb: Size of that folder at most, in GB.
        timeout_s: Seconds that a server may be silent, or slower than 20,000 bytes per second,
            before it is given up. A file of n bytes takes at most `timeout_s + n / 20,000` seconds.
            Also for `--ckpt_path URL`.
        check_cache: Compare each shard that is in the cache already with its SHA-256 before it is
            read for the first time in a run; a damaged one is fetched again. Without it only one
            that holds something unreadable is.

    Attributes:
        num_test_crops: How many squares `test` gets of each picture: 1, the centre; or those of
            which ten crops are made, one under the other, see `decode.crop_places`.
    """

    def __init__(
        self,
        root: str = "data/places",
        batch_size: int = 256,
        image_size: int = 224,
        train_image_size: int | None = None,
        start_image_size: int | None = None,
        grow_epochs: tuple[int, int] = (0, 1),
        resize_size: int = 256,
        resize_mode: ResizeMode = "short_side",
        crop_scale: tuple[float, float] = (0.08, 1.0),
        crop_ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: bool = True,
        test_split: Literal["val", "test"] = "val",
        predict_split: Literal["train", "val", "test"] = "test",
        seed: int = 0,
        shuffle_window: int | None = None,
        augment_repeats: int = 1,
        num_threads: int | None = None,
        bad_samples: BadSamplePolicy = "raise",
        max_bad_samples: int = 10,
        cache_folder: Path = Path("data/cache"),
        cache_size_gb: float = 50.0,
        timeout_s: float = 120.0,
        check_cache: bool = False,
    ) -> None:
        super().__init__()
        check_range("`train_image_size`", train_image_size, 1)
        check_range("`num_threads`", num_threads, 1)
        check_range("`shuffle_window`", shuffle_window, 1)
        check_range("`augment_repeats`", augment_repeats, 1)
        check_range("`max_bad_samples`", max_bad_samples, 0)
        self.root = root
        self.batch_size = batch_size
        train_size = image_size if train_image_size is None else train_image_size
        self.train_crop = TrainCrop(train_size, crop_scale, crop_ratio, flip)
        self.eval_crop = EvalCrop(image_size, resize_size, resize_mode)
        self.growth = plan.Growth(train_size, start_image_size, grow_epochs)
        self.test_split = test_split
        self.predict_split = predict_split
        self.seed = seed
        self.shuffle_window = shuffle_window
        self.augment_repeats = augment_repeats
        self.num_threads = num_threads
        self.bad_samples: BadSamplePolicy = bad_samples
        self.max_bad_samples = max_bad_samples
        checks = CacheChecks(before_use=check_cache)
        self.cache = Cache(cache_folder, cache_size_gb, timeout_s, checks)
        self.manifests: dict[str, Manifest] = {}
        self.sources: dict[str, SplitSamples] = {}
        self.skipped: dict[str, BadSamples] = {}  # of each split
        self.num_test_crops = 1
        self._first_prediction = 0

    def setup(self, stage: str) -> None:
        """Open the manifests of the splits that a stage needs.

        Raises:
            DataError: A split is missing or damaged.
            ConfigError: The batch size does not suit the number of processes or of pictures.
        """
        plan.check_batch_size(self.batch_size, attached_trainer(self).world_size)
        splits = {
            "fit": ("train", "val"),
            "validate": ("val",),
            "test": (self.test_split,),
            "predict": (self.predict_split,),
        }
        for split in splits[stage]:
            self.skipped[split] = BadSamples(self.bad_samples, self.max_bad_samples)
            self._open(split)
        if stage == "fit":
            manifest = self.manifests["train"]
            if not manifest.labelled:
                self._check_labels("train")
            plan.check_train_order(
                manifest.num_samples, self.batch_size, self.shuffle_window, self.augment_repeats
            )
            self._position = Position(self.seed, manifest.digest)

    def _open(self, split: str) -> None:
        self.sources[split] = open_samples(self.root, split, self.skipped[split], self.cache)
        self.manifests[split] = self.sources[split].manifest

    def _check_labels(self, split: str) -> None:
        if (self.sources[split].index["label"] == NO_LABEL).all():
            raise DataError(
                f"no picture of split {split!r} in {without_credentials(self.root)} has a label",
                "of folders with the names of categories:  places pack FOLDER --root ROOT",
                "of WebDataset shards with a .json:  places index SHARDS --root ROOT "
                "--label_key KEY",
            )

    def teardown(self, stage: str) -> None:
        """Close the shards."""
        for source in self.sources.values():
            source.close()

    def train_dataloader(self) -> Loader:
        """Return the training batches: a permutation of the split in equal global batches."""
        num_batches = self.manifests["train"].num_samples // self.batch_size
        return Loader(num_batches, lambda: self._train_batches(num_batches))

    def val_dataloader(self) -> Loader:
        """Return the batches of the validation split, each picture exactly once."""
        return self._eval_loader("val", self._num_val_batches)

    def test_dataloader(self) -> Loader:
        """Return the batches of `test_split`, each picture exactly once; see `num_test_crops`."""
        return self._eval_loader(self.test_split, num_crops=self.num_test_crops)

    def leave_out(self, num_rows: int) -> int:
        """Let predictions begin after pictures that were classified before.

        Args:
            num_rows: How many there are, from the first one on.

        Returns:
            How many are left out: of them as many as whole batches take.
        """
        num_samples = self.manifests[self.predict_split].num_samples
        num_batches = plan.num_eval_batches(num_samples, self.batch_size)
        is_whole = num_rows >= num_samples
        self._first_prediction = num_batches if is_whole else num_rows // self.batch_size
        return min(self._first_prediction * self.batch_size, num_samples)

    def predict_dataloader(self) -> Loader:
        """Return the batches of `predict_split`, each picture exactly once; see `leave_out`."""
        return self._eval_loader(self.predict_split, first_step=self._first_prediction)

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the training data, which is the same on all processes."""
        return asdict(self._position)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume training data at a saved position; other stages have none.

        Raises:
            CheckpointError: See `Position.restore`.
        """
        if "train" in self.manifests:
            self._position.restore(state_dict, self.batch_size)

    def _train_batches(self, num_batches: int) -> Iterator[Batch]:
        # A generator: this runs when the first batch is asked for. Only then the trainer's epoch is
        # right.
        epoch = attached_trainer(self).current_epoch
        first_step = self._position.start(epoch, num_batches * self.batch_size) // self.batch_size
        image_size = self.growth.image_size_at(self._position.epoch)
        batches = train_batches(
            self.sources["train"],
            replace(self.train_crop, image_size=image_size),
            workers_of(self, self.num_threads),
            batch_size=self.batch_size,
            seed=self.seed,
            epoch=self._position.epoch,
            first_step=first_step,
            shuffle_window=self.shuffle_window,
            num_copies=self.augment_repeats,
        )
        for step, batch in enumerate(batches, first_step):
            # Before the yield: Lightning asks for no batch after the last, so nothing runs after
            # it.
            self._position.num_samples_consumed = (step + 1) * self.batch_size
            yield batch

    def _num_val_batches(self) -> int | None:
        # Lightning leaves a validation at its limit without ending the iterator. Shards that were
        # fetched for the rest would have no room for those of the training.
        trainer = attached_trainer(self)
        is_sanity = trainer.sanity_checking
        limits = trainer.num_sanity_val_batches if is_sanity else trainer.num_val_batches
        return int(limits[0]) if limits else None

    def _eval_loader(
        self,
        split: str,
        limit: Callable[[], int | None] = lambda: None,
        first_step: int = 0,
        num_crops: int = 1,
    ) -> Loader:
        num_samples = self.manifests[split].num_samples
        return Loader(
            plan.num_eval_batches(num_samples, self.batch_size) - first_step,
            lambda: eval_batches(
                self.sources[split],
                replace(self.eval_crop, num_crops=num_crops),
                workers_of(self, self.num_threads),
                batch_size=self.batch_size,
                first_step=first_step,
                num_batches=limit(),
            ),
        )
