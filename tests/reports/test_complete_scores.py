from types import SimpleNamespace
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from tests.networks import Tiny

from places.classifier import SceneClassifier
from places.reports.complete_scores import CompleteScores, is_complete


def test_of_other_data_nobody_knows_how_many_pictures_there_are() -> None:
    trainer: Any = SimpleNamespace(datamodule=LightningDataModule(), sanity_checking=False)
    network = SceneClassifier(Tiny, num_classes=3)
    for hook in (CompleteScores().on_validation_epoch_end, CompleteScores().on_test_epoch_end):
        hook(trainer, network)
    assert not is_complete(trainer, network, "val")
    network.evaluation.update(torch.eye(3), torch.arange(3), torch.ones(3))
    assert is_complete(trainer, network, "val")
