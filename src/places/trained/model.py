"""A trained network and how pictures are prepared for it."""

import os
import threading
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from places.categories import load_categories, load_settings
from places.checkpoints.description import Description
from places.config.ranges import check_range
from places.console import first_few, printable
from places.data.given_batches import Cut, batches_of
from places.data.given_pictures import Picture, all_of
from places.errors import ConfigError
from places.models.inference import FEATURES, Answer, Inference
from places.reports.not_finite import refusal
from places.trained.results import Category, Prediction

MAX_PIXELS = 250_000_000
_process = os.getpid()  # in which torch has its threads


class TrainedModel:
    """A trained network that answers about pictures; made by `places.load`.

    Pictures are given one at a time, as a list, or as any iterable, a generator for instance. Each
    is a path, an image of Pillow, a numpy array (`(H, W, 3)` RGB or `(H, W)` gray) or a tensor
    (`(3, H, W)`). Files are read and cut by threads, ahead of the network; pictures in memory are
    read when it is their turn, by the thread that calls. What more than 8 bits become, and which
    side is up, is as with files, see `places.data.streaming.picture_files`.

    Several threads may use one model. After a fork a model on the CPU goes on, with one thread of
    torch; one on a GPU does not, as CUDA does not.

    Args:
        net: The network. It becomes a part of the model: it is moved and set to evaluation.
        description: How pictures are prepared for it.
        device: Where it runs.
    """

    def __init__(self, net: nn.Module, description: Description, device: torch.device) -> None:
        self.categories: tuple[str, ...] = description.categories or load_categories()
        """The names of the categories, in the order of their labels."""
        self.crop = description.crop
        """How a picture is resized and cut before the network sees it."""
        self.device = device
        """Where the network runs."""
        self._memory_format = (
            torch.channels_last if description.channels_last else torch.contiguous_format
        )
        net = net.eval().requires_grad_(False).to(device)
        net = net.to(memory_format=self._memory_format)
        self._inference = Inference(net)
        self.net = self._inference.net
        """The network, with its batch norms folded; takes normalised pictures, returns logits."""
        # Of 32 bits and computed on the CPU, whatever the caller's defaults of torch are.
        scale = [
            255 * torch.tensor(told, dtype=torch.float32, device="cpu")[:, None, None]
            for told in (description.mean, description.std)
        ]
        self._mean_255, self._std_255 = (tensor.to(device) for tensor in scale)
        settings = torch.tensor([setting == "indoor" for setting in load_settings()], device=device)
        self._is_indoor = settings if self.categories == load_categories() else None
        self._lock = threading.Lock()  # for what watches the layers of the network

    def __repr__(self) -> str:
        """Return the network's class, what it knows and where it runs."""
        return (
            f"TrainedModel({type(self.net).__name__}, {len(self.categories)} categories, "
            f"{self.crop.image_size} pixels, {self.device})"
        )

    def predict(
        self,
        pictures: Picture | Iterable[Picture],
        *,
        top_k: int = 5,
        batch_size: int = 32,
        max_pixels: int = MAX_PIXELS,
        exact: bool = False,
    ) -> list[Prediction]:
        """Classify pictures.

        The answers are those of `places predict`: to the last bit where as many pictures are in a
        batch, on the same device. A picture that cannot be read has a `Prediction` too, with the
        reason in its `error`.

        Args:
            pictures: One picture or several, see `TrainedModel`.
            top_k: How many categories, at most.
            batch_size: Most pictures that the network sees at a time.
            max_pixels: The most pixels of a picture that are decoded. Larger JPEGs are decoded at a
                half, a quarter or an eighth of their size; other pictures have an error then.
            exact: Decode JPEGs of any size in full. Without it those that have much more pixels
                than needed are decoded smaller, faster and with nearly the same pixels.

        Returns:
            One for each picture, in their order.

        Raises:
            TypeError: Something is no picture.
            CheckpointError: Outputs of the network are NaN or infinite.
            StorageError: A disk or a network fails; no picture is to blame.
            ConfigError: A number is out of its range, or the network has other categories.
            DataError: A folder or a pattern is given in place of pictures.
        """
        return list(
            self.iter_predict(
                pictures, top_k=top_k, batch_size=batch_size, max_pixels=max_pixels, exact=exact
            )
        )

    def iter_predict(
        self,
        pictures: Picture | Iterable[Picture],
        *,
        top_k: int = 5,
        batch_size: int = 32,
        max_pixels: int = MAX_PIXELS,
        exact: bool = False,
    ) -> Generator[Prediction, None, None]:
        """Classify pictures one after the other, in memory that does not grow with their number.

        For a camera or a film: give a generator, and take the answers while they come. Pictures are
        taken from it up to three batches ahead (one, if they are in memory). The threads end with
        the iterator.

        Args:
            pictures: See `predict`.
            top_k: See `predict`.
            batch_size: See `predict`.
            max_pixels: See `predict`.
            exact: See `predict`.

        Raises:
            TypeError: See `predict`, and so on.
        """
        check_range("`top_k`", top_k, 1, len(self.categories))
        batches = self._batches(pictures, batch_size, max_pixels, exact=exact)
        return self._predictions(batches, top_k)

    def embed(
        self,
        pictures: Picture | Iterable[Picture],
        *,
        batch_size: int = 32,
        max_pixels: int = MAX_PIXELS,
        exact: bool = False,
    ) -> npt.NDArray[np.float32]:
        """Return the features of pictures: what goes into the last linear layer of the network.

        Alike scenes have alike features: compare them by their cosine.

        Args:
            pictures: See `predict`.
            batch_size: See `predict`.
            max_pixels: See `predict`.
            exact: See `predict`.

        Returns:
            `(N, D)` float32, a row for each picture in their order. The row of a picture that
            cannot be read is NaN; a warning says which they are, and why.

        Raises:
            ConfigError: The network has no last linear layer.
            TypeError: See `predict`, and so on.
        """
        rows: list[npt.NDArray[np.float32]] = []
        unreadable: list[str] = []
        watching = Inference(self.net, {FEATURES}, fold=False)
        batches = self._batches(pictures, batch_size, max_pixels, exact=exact)
        try:
            for images, seen in batches:
                found = self._features(images, watching)[: len(seen)]
                finite = [bool(np.isfinite(row).all()) for row in found]
                self._refuse_not_finite("features", finite, seen)
                found[[bool(cut.error) for cut in seen]] = np.nan
                for number, cut in enumerate(seen, sum(map(len, rows))):
                    if cut.error:
                        name = f"picture {number}" if cut.path is None else cut.path
                        unreadable.append(printable(f"{name}: {cut.error}"))
                rows.append(found)
            if not rows:  # as wide as others are
                size = self.crop.image_size
                images = torch.zeros(1, 3, size, size, dtype=torch.uint8, device="cpu")
                rows.append(self._features(images, watching)[:0])
        finally:
            batches.close()
            with self._lock:
                watching.close()
        if unreadable:
            warnings.warn(
                f"rows of NaN for unreadable pictures: {first_few(unreadable)}", stacklevel=2
            )
        return np.concatenate(rows)

    def _batches(
        self,
        pictures: Picture | Iterable[Picture],
        batch_size: int,
        max_pixels: int,
        *,
        exact: bool,
    ) -> Generator[tuple[Tensor, list[Cut]], None, None]:
        check_range("`batch_size`", batch_size, 1)
        check_range("`max_pixels`", max_pixels, 1)
        return batches_of(
            all_of(pictures),
            self.crop,
            batch_size=batch_size,
            max_pixels=max_pixels,
            exact=exact,
            pin_memory=self.device.type == "cuda",
        )

    def _predictions(
        self, batches: Generator[tuple[Tensor, list[Cut]], None, None], top_k: int
    ) -> Generator[Prediction, None, None]:
        with closing(batches):
            for images, seen in batches:
                logits = self._answer(images, self._inference).logits
                if logits.shape[1] != len(self.categories):
                    raise ConfigError(
                        f"the network has {logits.shape[1]} classes, but there are "
                        f"{len(self.categories)} categories",
                        "take a network that was trained on these, or its features:  embed(...)",
                    )
                finite = logits.isfinite().all(dim=1).tolist()
                self._refuse_not_finite("predictions", finite, seen)
                yield from self._told(logits.float(), seen, top_k)

    def _told(self, logits: Tensor, seen: list[Cut], top_k: int) -> Iterator[Prediction]:
        chances = logits.softmax(dim=1)
        # In the order of the logits: a chance may be too small for a float32.
        best = logits.topk(top_k, dim=1).indices
        indoor: list[float | None] = [None] * len(seen)
        if self._is_indoor is not None:
            indoor = (chances * self._is_indoor).sum(dim=1).clamp(max=1).tolist()
        labels, probabilities = best.tolist(), chances.gather(1, best).tolist()
        for cut, *columns, inside in zip(seen, labels, probabilities, indoor, strict=False):
            if cut.error:
                yield Prediction(cut.path, error=cut.error)
                continue
            pairs = zip(*columns, strict=True)
            categories = tuple(Category(self.categories[n], n, chance) for n, chance in pairs)
            yield Prediction(cut.path, categories, inside, cut.width, cut.height)

    def _features(self, images: Tensor, watching: Inference) -> npt.NDArray[np.float32]:
        features = self._answer(images, watching).features
        if features is None:
            raise ConfigError(
                f"the network {type(self.net).__name__} has no last linear layer, so no features"
            )
        return features.cpu().numpy().copy()  # of an inference tensor

    def _answer(self, images: Tensor, inference: Inference) -> Answer:
        after_fork()
        with torch.inference_mode(), self._lock:
            images = images.to(self.device, non_blocking=True)
            normalised = (images - self._mean_255) / self._std_255
            return inference(normalised.contiguous(memory_format=self._memory_format))

    def _refuse_not_finite(self, what: str, finite: list[bool], seen: Sequence[Cut]) -> None:
        bad = sum(not ok and not cut.error for ok, cut in zip(finite, seen, strict=False))
        if bad:
            raise refusal(what, bad, len(seen))


def after_fork() -> None:
    """Let torch compute in a forked process, which is without the threads that torch waits for."""
    global _process
    if os.getpid() != _process:
        torch.set_num_threads(1)
        _process = os.getpid()
