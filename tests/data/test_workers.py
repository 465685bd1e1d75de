from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule

from places.data.image_files import ImageFiles
from places.data.places365 import Places365


@pytest.mark.parametrize("data", [Places365(), ImageFiles(".")], ids=["shards", "photographs"])
def test_only_tensors_are_moved_and_keys_and_errors_passed_on_untouched(
    data: LightningDataModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[Any] = []

    def move(_: object, batch: Any, device: torch.device, index: int) -> Any:  # noqa: ANN401
        moved.append(batch)
        return original(data, batch, device, index)

    original = LightningDataModule.transfer_batch_to_device
    monkeypatch.setattr(LightningDataModule, "transfer_batch_to_device", move)
    names = {"key": ["a", ""], "error": ["", "gone"]}
    batch = {"image": torch.zeros(2, 3), "key": names["key"], "label": torch.ones(2)} | names
    found = data.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert list(found) == list(batch)
    assert found["key"] is names["key"]
    assert found["error"] is names["error"]
    assert {found[name].device.type for name in ("image", "label")} == {"meta"}
    assert [set(part) for part in moved] == [{"image", "label"}]
