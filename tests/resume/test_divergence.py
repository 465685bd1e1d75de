from types import SimpleNamespace
from typing import Any

import pytest
import torch

from places.errors import PlacesError
from places.resume.divergence import Divergence
from places.resume.points import _has_finite_weights


def _train(losses: list[float], device: str, every: int) -> None:
    trainer: Any = SimpleNamespace(world_size=1, log_every_n_steps=every, global_step=0)
    module: Any = SimpleNamespace(device=torch.device(device))
    callback = Divergence()
    callback.on_train_start(trainer, module)
    for number, loss in enumerate(losses):
        trainer.global_step = number + 1
        batch = {"key": [f"picture-{number}-{row}" for row in range(6)]}
        callback.on_train_batch_end(trainer, module, {"loss": torch.tensor(loss)}, batch, number)
    callback.on_train_epoch_end(trainer, module)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_bad_step_and_its_pictures_are_named(bad: float) -> None:
    message = r"NaN or infinite at step 3\n  in a batch of 6 .*:  picture-2-0, .*-2-2 and 3 more"
    for device, every in [("cpu", 50), ("cpu", 0), ("cuda", 2), ("cuda", 50), ("cuda", 0)]:
        with pytest.raises(PlacesError, match=message):
            _train([1.0, 0.5, bad, bad, 0.5], device, every)


def test_the_device_is_waited_for_only_every_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []

    def read(flag: torch.Tensor) -> bool:
        reads.append(flag)
        return True

    monkeypatch.setattr(torch.Tensor, "__bool__", read)
    for every in (10, 0):
        _train([1.0] * 9, "cuda", every)
        assert len(reads) == 9  # all at the end of the epoch
        reads.clear()


def test_a_loss_is_looked_at_before_a_checkpoint_is_written() -> None:
    callback = Divergence()
    trainer: Any = SimpleNamespace(world_size=1, log_every_n_steps=50, global_step=3)
    module: Any = SimpleNamespace(device=torch.device("cuda"))
    callback.on_train_start(trainer, module)
    callback.on_save_checkpoint(trainer, module, {})
    loss = {"loss": torch.tensor(float("nan"))}
    callback.on_train_batch_end(trainer, module, loss, {"key": ["picture"]}, 2)
    with pytest.raises(PlacesError, match="NaN or infinite at step 3"):
        callback.on_save_checkpoint(trainer, module, {})


def test_ordinary_losses_pass() -> None:
    _train([1.0, 1e30, 0.0], "cpu", 1)


def test_weights_are_looked_at() -> None:
    net: Any = torch.nn.Linear(2, 2)
    assert _has_finite_weights(net)
    with torch.no_grad():
        net.bias[1] = float("inf")
    assert not _has_finite_weights(net)


def test_statistics_of_batch_norms_are_looked_at() -> None:
    net: Any = torch.nn.BatchNorm2d(2)
    assert _has_finite_weights(net)
    net.running_var[0] = float("nan")
    assert not _has_finite_weights(net)
