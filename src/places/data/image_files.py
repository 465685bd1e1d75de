"""Any photographs as a Lightning data module, for `places predict`."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn

from places.config.ranges import check_range
from places.console import FirstFew
from places.data.loader import Loader
from places.data.picture_sources import find_pictures
from places.data.pictures import Pictures
from places.data.remote.ahead import FetchAhead
from places.data.streaming import plan
from places.data.streaming.batches import EvalCrop, Workers
from places.data.streaming.decode import ResizeMode, eval_crop
from places.data.streaming.jpeg import Pixels
from places.data.streaming.picture_files import decode_with_size
from places.data.streaming.samples import Cache
from places.data.streaming.stream import Batch, Sample, stream
from places.data.workers import TensorsToDevice, attached_trainer, workers_of
from places.errors import DataError, StorageError
from places.hashing import Ids


class ImageFiles(TensorsToDevice, LightningDataModule):
    """Photographs of any size and any format that Pillow reads, to be classified.

    A picture that cannot be read does not stop the run: it keeps its row in the predictions, with
    the reason.

    Args:
        images: Pictures, one or a list: a file, a folder whose pictures are taken with all its
            subfolders, a pattern in quotes such as "photos/*.jpg", a tar such as WebDataset's
            ("val-{000000..000003}.tar" for several), a URL of a picture or a tar (https://, s3://,
            gs://), @FILE or @URL for a file with a path or URL in each line, - for such a list on
            standard input. In a folder or tar a file counts as a picture by the ending of its
            name; the others are counted and named.
        null: Whether a zero byte ends each path of a list, instead of a line, as find -print0 does.
        batch_size: Most pictures per step over all processes; all steps have about as many.
        image_size: Height and width of the network's input in pixels; as in training.
        resize_size: Size of a picture before its centre is cut out, in pixels; as in training.
        resize_mode: "short_side" keeps the aspect ratio, "squash" makes the picture square first.
        max_pixels: The most pixels of a picture that are decoded, which take 7 bytes each for a
            moment. Larger JPEGs are decoded at a half, a quarter or an eighth of their size;
            larger pictures of other formats get a row with the reason.
        exact: Decode JPEGs of any size in full. Without it those that have much more pixels than
            needed are decoded smaller, faster and with nearly the same pixels.
        num_threads: Decoding threads per process; null shares the cores among the processes.
        timeout_s: Seconds that a server may be silent, or slower than 20,000 bytes per second,
            before it is given up. A file of n bytes takes at most `timeout_s + n / 20,000` seconds.
            Also for `--ckpt_path URL`.
        cache_folder: Folder of this machine for tars from a URL.
        cache_size_gb: Size of all tars from URLs at most, in GB.
    """

    def __init__(
        self,
        images: list[str] | str,
        null: bool = False,
        batch_size: int = 32,
        image_size: int = 224,
        resize_size: int = 256,
        resize_mode: ResizeMode = "short_side",
        max_pixels: int = 250_000_000,
        exact: bool = False,
        num_threads: int | None = None,
        timeout_s: float = 120.0,
        cache_folder: Path = Path("data/cache"),
        cache_size_gb: float = 50.0,
    ) -> None:
        super().__init__()
        check_range("`num_threads`", num_threads, 1)
        check_range("`max_pixels`", max_pixels, 1)
        self.max_pixels = max_pixels
        # Of the scales of a JPEG those are used that leave twice the pixels that are resized.
        self.min_side = None if exact else 2 * resize_size
        self.images = [images] if isinstance(images, str) else list(images)
        self.null = null
        self.batch_size = batch_size
        self.crop = EvalCrop(image_size, resize_size, resize_mode)
        self.num_threads = num_threads
        self.cache = Cache(cache_folder, cache_size_gb, timeout_s)
        self.paths = Pictures()
        self.left_out = FirstFew()
        self._first_step = 0

    def setup(self, stage: str) -> None:
        """List the pictures.

        Raises:
            DataError: There are none, or another stage than `predict` is asked for.
        """
        if stage != "predict":
            raise DataError(
                f"ImageFiles has no labels, so it cannot {TrainerFn(stage).value}",
                "pack labelled folders first:  places pack FOLDER --root ROOT --split val",
            )
        warnings.filterwarnings("ignore", module=r"PIL\.")  # about metadata, which nobody uses here
        self.paths, self.left_out = find_pictures(self.images, null=self.null, cache=self.cache)

    def leave_out(self, num_rows: int) -> int:
        """Let predictions begin after pictures that were classified before.

        Args:
            num_rows: How many there are, from the first one on.

        Returns:
            How many are left out: of them as many as whole batches take.
        """
        batches = self._plan()
        self._first_step = batches.num_whole(num_rows)
        return batches.start_of(self._first_step)

    def predict_dataloader(self) -> Loader:
        """Return the batches of all pictures in their order, each exactly once; see `leave_out`."""
        workers = workers_of(self, self.num_threads)
        batches, first = self._plan(), self._first_step
        return Loader(
            len(batches) - first,
            lambda: self._batches(
                (batches.batch(step, workers.rank) for step in range(first, len(batches))), workers
            ),
        )

    def _plan(self) -> plan.PredictionPlan:
        num_ranks = attached_trainer(self).world_size
        return plan.PredictionPlan.soon(len(self.paths), self.batch_size, num_ranks)

    def _batches(self, ids: Iterable[Ids], workers: Workers) -> Iterator[Batch]:
        ahead = FetchAhead(self.paths.fetch)
        return stream(
            ids,
            partial(self._open_batch, ahead),
            image_size=self.crop.image_size,
            num_threads=workers.num_threads,
            pin_memory=workers.pin_memory,
            cancel=ahead.close,
        )

    def _open_batch(self, ahead: FetchAhead, ids: Ids) -> Callable[[int, Pixels], Sample]:
        ahead.follow(i for i in ids.tolist() if i != plan.PADDING and self.paths.is_remote(i))

        def load(row: int, pixels: Pixels) -> Sample:
            number = int(ids[row])
            path, source = self.paths[number], self.paths.source(number)
            label = self.paths.label(number)
            if self.paths.is_remote(number):
                source = partial(ahead.take, number)
            try:
                picture, size = decode_with_size(source, self.max_pixels, self.min_side)
                eval_crop(picture, pixels, self.crop.resize_size, self.crop.resize_mode, size)
            except StorageError:
                raise
            except DataError as error:
                pixels[:] = 0
                return Sample(path, label, error=error.message)
            return Sample(path, label, size=size)

        return load
