"""Any photographs as a Lightning data module, for `places predict`."""

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import LightningDataModule
from PIL import Image

from places.data import plan
from places.data.batches import eval_ids
from places.data.decode import ResizeMode, decode_file, eval_crop
from places.data.jpeg import Pixels
from places.data.loader import Loader, check_batch_size
from places.data.stream import Sample, stream
from places.data.workers import workers_of
from places.errors import DataError


class ImageFiles(LightningDataModule):
    """Photographs of any size and any format that Pillow reads, to be classified.

    A picture that cannot be read does not stop the run: it keeps its row in the predictions, with
    the reason.

    Args:
        images: A picture, or a folder whose pictures are taken with all its subfolders.
        batch_size: Pictures per step over all processes.
        image_size: Height and width of the network's input in pixels; as in training.
        resize_size: Size of a picture before its centre is cut out, in pixels; as in training.
        resize_mode: "short_side" keeps the aspect ratio, "squash" makes the picture square first.
        num_threads: Decoding threads per process; null shares the cores among the processes.
    """

    def __init__(
        self,
        images: Path,
        batch_size: int = 32,
        image_size: int = 224,
        resize_size: int = 256,
        resize_mode: ResizeMode = "short_side",
        num_threads: int | None = None,
    ) -> None:
        super().__init__()
        self.images = images
        self.batch_size = batch_size
        self.image_size = image_size
        self.resize_size = resize_size
        self.resize_mode: ResizeMode = resize_mode
        self.num_threads = num_threads
        self.paths: list[Path] = []

    def setup(self, stage: str) -> None:
        """List the pictures.

        Raises:
            DataError: There are none, or another stage than `predict` is asked for.
        """
        if stage != "predict":
            raise DataError(
                f"ImageFiles has no labels, so it cannot {stage}",
                "pack labelled folders first:  places pack FOLDER --root ROOT --split val",
            )
        self.paths = find_images(self.images)

    def predict_dataloader(self) -> Loader:
        """Return the batches of all pictures in the order of their paths, each exactly once."""
        workers = workers_of(self, self.num_threads)
        check_batch_size(self.batch_size, workers.num_ranks)
        num = len(self.paths)
        return Loader(
            plan.num_eval_batches(num, self.batch_size),
            lambda: stream(
                eval_ids(num, self.batch_size, workers),
                self._open_batch,
                image_size=self.image_size,
                num_threads=workers.num_threads,
                pin_memory=workers.pin_memory,
            ),
        )

    def _open_batch(self, ids: plan.Ids) -> Callable[[int, Pixels], Sample]:
        def load(row: int, pixels: Pixels) -> Sample:
            path = self.paths[int(ids[row])]
            try:
                eval_crop(decode_file(path), pixels, self.resize_size, self.resize_mode)
            except DataError as error:
                pixels[:] = 0
                return Sample(str(path), error=error.message)
            return Sample(str(path))

        return load


def find_images(images: Path) -> list[Path]:
    """Return a picture, or all pictures below a folder, in the order of their paths.

    A file counts as a picture by the ending of its name; hidden files and folders do not count.

    Raises:
        DataError: There is no such file or folder, or it has no picture.
    """
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise DataError(
            f"no such file or folder: {images}", "give it with:  --data.images FOLDER_OR_PICTURE"
        )
    endings = Image.registered_extensions()
    found = sorted(
        path
        for path in images.rglob("*")
        if path.suffix.lower() in endings
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(images).parts)
    )
    if not found:
        raise DataError(
            f"no pictures in {images}", f"looked for:  {', '.join(sorted(endings)[:8])}, ..."
        )
    return found
