"""The options of `places test`: which views of each picture are scored, and what is reported."""

from typing import Literal

from lightning.pytorch import Callback, LightningModule, Trainer

from places.classifier import SceneClassifier
from places.config.ranges import check_range
from places.data.places365 import Places365
from places.errors import ConfigError
from places.lightning_internals import data_module
from places.training.scores import NUM_RANKS
from places.training.views import Views


class ScoringProtocol(Callback):
    """How `places test` scores: of which views of each picture, and what is reported.

    Scores of different views cannot be compared: `result.json` tells them, and each has a table of
    its own in `places leaderboard`. The file for the official test server is made of the same
    views.

    Args:
        crops: 1 scores the centre of each picture. 10 scores ten views of it, as published numbers
            often do: its four corners, its centre, and the mirror images of these, cut out of the
            resized picture as torchvision's TenCrop does. The probabilities of the ten are
            averaged. It takes ten times as long, and no more memory for the network.
        flip: Score the centre and its mirror image, and average their probabilities. Ten crops
            have mirror images already.
        topk: Up to which top-k accuracies are reported, in 1..5.
    """

    def __init__(self, crops: Literal[1, 10] = 1, flip: bool = False, topk: int = 5) -> None:
        check_range("test.topk", topk, 1, NUM_RANKS)
        if crops not in (1, 10):
            raise ConfigError(f"test.crops must be 1 or 10, not {crops!r}")
        if flip and crops == 10:
            raise ConfigError(
                "with test.crops 10, test.flip true means nothing: of each crop its mirror image "
                "is scored already",
                "leave out one of the two",
            )
        self.topk = topk
        self.views = Views(crops, flip)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Tell the network and the data of the views, before they make their first batch.

        Raises:
            ConfigError: One of them knows of no views.
        """
        if stage != "test":
            return
        data = data_module(trainer)
        is_known = isinstance(pl_module, SceneClassifier)
        if self.views != Views() and not (is_known and isinstance(data, Places365)):
            raise ConfigError(
                "test.crops and test.flip need places.classifier.SceneClassifier and "
                "places.data.places365.Places365",
                f"here are:  {type(pl_module).__name__} and {type(data).__name__}",
            )
        if isinstance(pl_module, SceneClassifier):
            pl_module.views = self.views
        if isinstance(data, Places365):
            data.num_test_crops = self.views.num_squares


def num_reported_ranks(trainer: Trainer) -> int:
    """Return up to which top-k accuracies a test reports."""
    protocols = (c for c in trainer.callbacks if isinstance(c, ScoringProtocol))  # type: ignore[attr-defined]  # declared nowhere
    return next((protocol.topk for protocol in protocols), NUM_RANKS)
