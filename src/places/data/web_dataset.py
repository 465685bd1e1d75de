"""Shards as a stream, read by webdataset's own reader: the plain pipeline of the field."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Literal

from places.config.ranges import check_range
from places.console import counted, say
from places.data.loader import Loader
from places.data.places365 import Places365
from places.data.remote.urls import TIMEOUT_RANGE_S, TIMEOUT_S
from places.data.sequential.worker_batches import (
    Delivered,
    Failure,
    Share,
    evaluation_batches,
    training_batches,
)
from places.data.streaming import plan
from places.data.streaming.bad_samples import BadSamplePolicy
from places.data.streaming.decode import ResizeMode
from places.data.streaming.stream import Batch, padding_batch
from places.data.web_shards import SequentialSplit, split_in, split_of_words
from places.data.workers import attached_trainer, workers_of
from places.errors import ConfigError, DataError
from places.hashing import hash_of


class WebDataset(Places365):
    """The same shards as a stream: webdataset's reader, Pillow, worker processes, no local cache.

    What the field calls a WebDataset pipeline. The processes of a run share the shards
    (`split_by_node`), and so do the workers of each; a worker reads its shards one after the other,
    draws the next picture from a buffer, decodes it by Pillow, and cuts it as torchvision does. It
    needs no index, and nothing is kept on a disk. Slower than `Places365`, by far.

    The order of training is not exact: it depends on the number of processes and workers, mixes
    only what a buffer holds, and an epoch shows some pictures twice and others not, where shards
    are not shared out evenly. A run that is resumed within an epoch draws the rest of it anew.
    Evaluation reads each picture once, with the pixels and so the scores of `Places365`.

    Args:
        root: Folder with the shards and their manifests, or the _info.json of timm; or its URL:
            https://, s3://, gs://.
        train_shards: Training shards, in place of those in `root`: one or a list of files,
            patterns such as "train-{000000..000099}.tar", folders and URLs. They need no manifest,
            but `num_train_samples`. `pipe:` and other commands are refused.
        val_shards: Validation shards, likewise.
        test_shards: Shards of split "test", likewise.
        num_train_samples: How many pictures `train_shards` hold.
        num_val_samples: How many pictures `val_shards` hold; a validation that finds another
            number has no scores.
        num_test_samples: How many pictures `test_shards` hold, likewise.
        batch_size: Pictures per step over all processes. Each process gets an equal share.
        image_size: Height and width of the network's input in pixels.
        train_image_size: Height and width of the training crops in pixels; null takes `image_size`.
        start_image_size: Size of the training crops in the first epochs, see `Places365`.
        grow_epochs: Epochs between which the crops grow, see `Places365`.
        resize_size: Short side of an evaluation picture before its centre is cut out, in pixels.
        resize_mode: "short_side" keeps the aspect ratio of an evaluation picture; "squash" makes it
            square first.
        crop_scale: Smallest and largest area of a random training crop, as a part of the picture.
        crop_ratio: Smallest and largest width / height of a random training crop.
        flip: Mirror half of the training pictures.
        test_split: The split that `test` scores, see `Places365`.
        predict_split: The split that `predict` runs on.
        seed: Seed of the order of the training pictures, their crops and flips.
        shuffle_buffer: Pictures that a worker holds, of which it draws the next one; 0 keeps the
            order of the shards.
        num_workers: Worker processes of each process, at most one for each of its shards; null
            shares the cores among the processes.
        bad_samples: What becomes of pictures that cannot be read: "raise" stops at the first one;
            "skip" names each once in each process that meets it, counts it and gives it no weight.
            A damaged tar stops the run in any case.
        max_bad_samples: With "skip", more than this in a split and process stop the run after all.
        timeout_s: Seconds that a server may be silent, or slower than 20,000 bytes per second,
            before it is given up. Also for `--ckpt_path URL`.
    """

    def __init__(
        self,
        root: str = "data/places",
        train_shards: list[str] | str | None = None,
        val_shards: list[str] | str | None = None,
        test_shards: list[str] | str | None = None,
        num_train_samples: int | None = None,
        num_val_samples: int | None = None,
        num_test_samples: int | None = None,
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
        shuffle_buffer: int = 1000,
        num_workers: int | None = None,
        bad_samples: BadSamplePolicy = "raise",
        max_bad_samples: int = 10,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        super().__init__(
            root=root,
            batch_size=batch_size,
            image_size=image_size,
            train_image_size=train_image_size,
            start_image_size=start_image_size,
            grow_epochs=grow_epochs,
            resize_size=resize_size,
            resize_mode=resize_mode,
            crop_scale=crop_scale,
            crop_ratio=crop_ratio,
            flip=flip,
            test_split=test_split,
            predict_split=predict_split,
            seed=seed,
            bad_samples=bad_samples,
            max_bad_samples=max_bad_samples,
            timeout_s=timeout_s,
        )
        check_range("`shuffle_buffer`", shuffle_buffer, 0)
        check_range("`num_workers`", num_workers, 1)
        check_range("`timeout_s`", timeout_s, *TIMEOUT_RANGE_S)
        self.shards = {"train": train_shards, "val": val_shards, "test": test_shards}
        self.num_samples = {
            "train": num_train_samples,
            "val": num_val_samples,
            "test": num_test_samples,
        }
        self.shuffle_buffer = shuffle_buffer
        self.num_workers = num_workers
        self.timeout_s = timeout_s
        self._splits: dict[str, SequentialSplit] = {}

    def leave_out(self, num_rows: int) -> int:
        """Let predictions begin after pictures that were classified before, if these are all.

        Where others would go on depends on the number of workers, so they begin anew.
        """
        num_samples = self.manifests[self.predict_split].num_samples
        num_left_out = num_samples if num_rows >= num_samples else 0
        self._has_predicted = num_left_out > 0
        return num_left_out

    def predict_dataloader(self) -> Loader:
        """Return the batches of `predict_split`, each picture exactly once; see `leave_out`."""
        if self._has_predicted:
            return Loader(0, lambda: iter(()))
        return super().predict_dataloader()

    _has_predicted = False

    def _open(self, split: str) -> None:
        words, num_samples = self.shards[split], self.num_samples[split]
        if words is not None:
            found = split_of_words(words, split, num_samples, self.timeout_s)
        else:
            found = split_in(self.root, split, num_samples, self.timeout_s)
        self._splits[split] = found
        self.manifests[split] = found.manifest
        num_ranks, num_shards = attached_trainer(self).world_size, len(found.shards)
        if split == "train" and num_shards < num_ranks:
            raise DataError(
                f"{counted(num_shards, 'training shard')} for "
                f"{counted(num_ranks, 'process', 'processes')}: each reads shards of its own",
                "pack them smaller:   places pack SOURCE --root ROOT --shard_size_mb 100",
                "or read pictures:    --data Places365",
                f"or take fewer:       --trainer.devices {num_shards}",
            )

    def _check_labels(self, split: str) -> None:
        first = self._splits[split].shards[0].shown
        raise DataError(
            f"pictures of split {split!r} have no label in a .cls, such as the first of {first}",
            "with labels in a .json:  places index SHARDS --root ROOT --label_key KEY",
            "and then, by its index:  --data Places365 --data.root ROOT",
        )

    def _share(self, split: str) -> Share:
        workers = workers_of(self, self.num_workers)
        return Share(
            self._splits[split].shards,
            self.batch_size // workers.num_ranks,
            workers.rank,
            workers.num_ranks,
            workers.num_threads,
        )

    def _train_batches(self, num_batches: int) -> Iterator[Batch]:
        # A generator: see `Places365`.
        epoch = attached_trainer(self).current_epoch
        first_step = self._position.start(epoch, num_batches * self.batch_size) // self.batch_size
        epoch = self._position.epoch
        if first_step:
            say(
                f"resumed after step {first_step:,} of epoch {epoch}: the other "
                f"{num_batches - first_step:,} draw their pictures anew, since WebDataset has no "
                "exact order; Places365 has one"
            )
        batches = training_batches(
            self._share("train"),
            replace(self.train_crop, image_size=self.growth.image_size_at(epoch)),
            num_batches=num_batches - first_step,
            buffer=self.shuffle_buffer,
            seed=hash_of(self.seed, epoch, first_step),
            pin_memory=self._pins_memory(),
        )
        with closing(batches):
            for step, delivered in enumerate(batches, first_step):
                batch = self._taken("train", delivered)
                self._position.num_samples_consumed = (step + 1) * self.batch_size
                yield batch

    def _eval_loader(
        self,
        split: str,
        limit: Callable[[], int | None] = lambda: None,
        first_step: int = 0,
        num_crops: int = 1,
    ) -> Loader:
        share = self._share(split)
        num_batches = share.num_eval_batches()
        if num_batches is None:
            num_batches = self._most_eval_batches(split, share)
        return Loader(
            num_batches, lambda: self._eval_batches(split, share, num_batches, limit(), num_crops)
        )

    def _eval_batches(
        self, split: str, share: Share, num_batches: int, limit: int | None, num_crops: int
    ) -> Iterator[Batch]:
        crop = replace(self.eval_crop, num_crops=num_crops)
        num_wanted = num_batches if limit is None else min(limit, num_batches)
        num_samples, num_found, step = self.manifests[split].num_samples, 0, 0
        batches = evaluation_batches(share, crop, pin_memory=self._pins_memory())
        with closing(batches):
            while step < num_wanted and (delivered := next(batches, None)) is not None:
                batch = self._taken(split, delivered)
                num_found += sum(map(bool, batch["key"]))
                if num_found > num_samples:
                    raise self._wrong_number(split, f"more than {num_samples:,}")
                step += 1
                yield batch
            if share.num_ranks == 1 and step < num_wanted and num_found != num_samples:
                raise self._wrong_number(split, f"{num_found:,}")
        for _ in range(step, num_wanted):
            shape = num_crops * crop.image_size, crop.image_size
            yield padding_batch(share.batch_size, shape)

    def _most_eval_batches(self, split: str, share: Share) -> int:
        if share.num_ranks > 1:
            raise ConfigError(
                f"nothing tells how many pictures each shard of split {split!r} holds, which "
                f"{counted(share.num_ranks, 'process', 'processes')} need to end together",
                f"count them:     places index SHARDS --root FOLDER --split {split}",
                "and give that:  `root` FOLDER; or use one process:  --trainer.devices 1",
            )
        # The last batch of each worker may be a part of one.
        num_batches = plan.num_eval_batches(self.manifests[split].num_samples, self.batch_size)
        return num_batches + share.num_workers_of(0)

    def _wrong_number(self, split: str, found: str) -> DataError:
        return DataError(
            f"the shards of split {split!r} hold {found} pictures, "
            f"but `num_{split}_samples` says {self.manifests[split].num_samples:,}",
            f"correct it, or count them:  places index SHARDS --root FOLDER --split {split}",
        )

    def _taken(self, split: str, delivered: Delivered) -> Batch:
        """Return the batch of a worker, after saying what is wrong in it."""
        if isinstance(delivered, Failure):
            raise delivered.error()
        batch, faults = delivered
        for fault in faults:
            error = DataError(fault.message, *fault.hint)
            self.skipped[split].report(fault.number, fault.place, error)
        return batch

    def _pins_memory(self) -> bool:
        return workers_of(self, self.num_workers).pin_memory
