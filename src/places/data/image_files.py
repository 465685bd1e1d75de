"""Any photographs as a Lightning data module, for `places predict`."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import LightningDataModule
from lightning.pytorch.trainer.states import TrainerFn

from places.config.ranges import check_range
from places.console import FirstFew, printable
from places.data.loader import Loader
from places.data.streaming import plan
from places.data.streaming.batches import EvalCrop, eval_ids
from places.data.streaming.decode import ResizeMode, eval_crop
from places.data.streaming.jpeg import Pixels
from places.data.streaming.picture_files import decode_file
from places.data.streaming.stream import Sample, stream
from places.data.workers import TensorsToDevice, workers_of
from places.errors import DataError, StorageError
from places.hashing import Ids

# A file with such an ending gets a row: if not with a guess, then with the reason, for Pillow reads
# only those of the first two lines.
_TYPES = (
    "apng avif avifs bmp dib gif icns ico j2c j2k jfif jif jp2 jpc jpe jpeg jpf jpg jpx mpo "
    "pbm pcx pfm pgm png pnm ppm psd qoi ras sgi tga tif tiff webp xbm xpm "
    "heic heics heif heifs hif jxl jxr svg wdp 3fr arw cr2 cr3 crw dng erf kdc mef mos mrw nef nrw "
    "orf pef raf raw rw2 rwl sr2 srf srw x3f"
)
_ENDINGS = frozenset(f".{name}" for name in _TYPES.split())


class ImageFiles(TensorsToDevice, LightningDataModule):
    """Photographs of any size and any format that Pillow reads, to be classified.

    A picture that cannot be read does not stop the run: it keeps its row in the predictions, with
    the reason.

    Args:
        images: A picture, or a folder whose pictures are taken with all its subfolders. A file
            counts as a picture by the ending of its name; the others are counted and named.
        batch_size: Pictures per step over all processes.
        image_size: Height and width of the network's input in pixels; as in training.
        resize_size: Size of a picture before its centre is cut out, in pixels; as in training.
        resize_mode: "short_side" keeps the aspect ratio, "squash" makes the picture square first.
        max_pixels: The most pixels of a picture that are decoded, which take 7 bytes each for a
            moment. Larger JPEGs are decoded at a half, a quarter or an eighth of their size;
            larger pictures of other formats get a row with the reason.
        exact: Decode JPEGs of any size in full. Without it those that have much more pixels than
            needed are decoded smaller, faster and with nearly the same pixels.
        num_threads: Decoding threads per process; null shares the cores among the processes.
    """

    def __init__(
        self,
        images: Path,
        batch_size: int = 32,
        image_size: int = 224,
        resize_size: int = 256,
        resize_mode: ResizeMode = "short_side",
        max_pixels: int = 250_000_000,
        exact: bool = False,
        num_threads: int | None = None,
    ) -> None:
        super().__init__()
        check_range("`num_threads`", num_threads, 1)
        check_range("`max_pixels`", max_pixels, 1)
        self.max_pixels = max_pixels
        # Of the scales of a JPEG those are used that leave twice the pixels that are resized.
        self.min_side = None if exact else 2 * resize_size
        self.images = images
        self.batch_size = batch_size
        self.crop = EvalCrop(image_size, resize_size, resize_mode)
        self.num_threads = num_threads
        self.paths: list[Path] = []
        self.left_out = FirstFew()

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
        self.paths, self.left_out = _find_images(self.images)

    def predict_dataloader(self) -> Loader:
        """Return the batches of all pictures in the order of their paths, each exactly once."""
        workers = workers_of(self, self.num_threads)
        plan.check_batch_size(self.batch_size, workers.num_ranks)
        num = len(self.paths)
        return Loader(
            plan.num_eval_batches(num, self.batch_size),
            lambda: stream(
                eval_ids(num, self.batch_size, workers),
                self._open_batch,
                image_size=self.crop.image_size,
                num_threads=workers.num_threads,
                pin_memory=workers.pin_memory,
            ),
        )

    def _open_batch(self, ids: Ids) -> Callable[[int, Pixels], Sample]:
        def load(row: int, pixels: Pixels) -> Sample:
            path = self.paths[int(ids[row])]
            try:
                picture = decode_file(path, self.max_pixels, self.min_side)
                eval_crop(picture, pixels, self.crop.resize_size, self.crop.resize_mode)
            except StorageError:
                raise
            except DataError as error:
                pixels[:] = 0
                return Sample(str(path), error=error.message)
            return Sample(str(path))

        return load


def _find_images(images: Path) -> tuple[list[Path], FirstFew]:
    """Return the pictures in the order of their paths, and what else is there.

    That is files that are no pictures by the ending of their names, hidden files and folders, links
    to folders, folders that cannot be read.
    """
    found, left_out = [], FirstFew()
    if images.is_file():
        return [images], left_out
    if not images.is_dir():
        raise DataError(
            f"no such file or folder: {images}", "give it with:  `images` FOLDER_OR_PICTURE"
        )

    def note(error: OSError) -> None:
        left_out.add(printable(f"{error.filename}/ ({error.strerror})"))

    for name, folders, files in os.walk(images, onerror=note):
        folder = Path(name)
        passed = {f for f in folders if f.startswith(".") or (folder / f).is_symlink()}
        folders[:] = sorted(set(folders) - passed)
        pictures = {f for f in files if Path(f).suffix.lower() in _ENDINGS and f[0] != "."}
        found += [folder / file for file in pictures]
        for other in [*(f"{name}/" for name in sorted(passed)), *sorted({*files} - pictures)]:
            left_out.add(printable(other))
    if not found:
        hints = [f"found:       {left_out}"] if left_out.count else []
        raise DataError(f"no pictures in {images}", *hints, "looked for:  .jpg, .png, .webp, ...")
    return sorted(found), left_out
