"""How near `predict` comes to its network alone: decoding should be hidden behind it."""

import statistics
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from places.classifier import SceneClassifier
from places.data.image_files import ImageFiles
from places.freed_memory import keep_freed_memory

_NUM_SKIPPED = 2  # batches at the start of each round, until all is warm
_NUM_ROUNDS, _NUM_ALONE = 3, 6


class Times(Callback):
    """Notes how long each batch takes, from the end of the one before."""

    def __init__(self) -> None:
        self.batch_s: list[float] = []
        self.network: torch.nn.Module = torch.nn.Identity()
        self.images = torch.empty(0)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin."""
        self._end_s = 0.0
        self._num = 0

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  # not used
        batch: dict[str, Any],
        *_: int,
    ) -> None:
        """Note the time."""
        now_s = time.perf_counter()
        self._num += 1
        if self._num > _NUM_SKIPPED and len(batch["image"]) == len(self.images):
            self.batch_s.append(now_s - self._end_s)
        assert isinstance(pl_module, SceneClassifier)
        assert pl_module._inference is not None
        self.network, self.images = pl_module._inference.net, pl_module._normalised(batch["image"])
        self._end_s = time.perf_counter()


def print_share(photos: Path) -> None:
    """Classify some pictures and print how fast that is, and how fast the network alone is."""
    keep_freed_memory()  # as the command does
    times, model = Times(), SceneClassifier(compile=False)
    alone_s: list[float] = []
    for _ in range(_NUM_ROUNDS):
        trainer = Trainer(
            accelerator="cpu",
            logger=False,
            callbacks=[times],
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.predict(model, datamodule=ImageFiles(str(photos)), return_predictions=False)
        with torch.inference_mode():
            for _ in range(_NUM_ALONE):
                start_s = time.perf_counter()
                times.network(times.images)
                alone_s.append(time.perf_counter() - start_s)
    batch_s, network_s = statistics.median(times.batch_s), statistics.median(alone_s)
    print(
        f"a batch of predict takes {batch_s:.3f} s, of the network alone {network_s:.3f} s: "
        f"{network_s / batch_s:.2f} of its speed"
    )
