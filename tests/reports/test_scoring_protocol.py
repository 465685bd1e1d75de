"""Options of a test need the network and the data that know of them."""

from types import SimpleNamespace
from typing import cast

import pytest
from lightning.pytorch import LightningModule, Trainer

from places.data.places365 import Places365
from places.errors import ConfigError
from places.reports.scoring_protocol import ScoringProtocol


def _trainer(data: object) -> Trainer:
    return cast(Trainer, SimpleNamespace(datamodule=data))


@pytest.mark.parametrize("protocol", [ScoringProtocol(10), ScoringProtocol(flip=True)])
def test_other_networks_and_data_are_refused_by_name(protocol: ScoringProtocol) -> None:
    with pytest.raises(ConfigError, match=r"test\.crops and test\.flip need") as refused:
        protocol.setup(_trainer(None), LightningModule(), "test")
    assert "LightningModule and NoneType" in refused.value.hint[0]
    with pytest.raises(ConfigError):
        protocol.setup(_trainer(Places365()), LightningModule(), "test")


def test_without_options_any_network_may_be_tested() -> None:
    ScoringProtocol(topk=1).setup(_trainer(None), LightningModule(), "test")
    ScoringProtocol(10).setup(_trainer(None), LightningModule(), "fit")


def test_crops_from_python_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"test\.crops must be 1 or 10, not 5"):
        ScoringProtocol(5)  # type: ignore[arg-type]  # as somebody may type it
