"""A canary for each private part of Lightning that is used: it names what a release changed."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.strategies.launchers import subprocess_script
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector

from places import lightning_internals


class Ones:
    """A sized loader of the same batch again and again."""

    def __init__(self, num_batches: int = 8) -> None:
        self.num_batches = num_batches

    def __len__(self) -> int:
        return self.num_batches

    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter([torch.ones(1, 4)] * self.num_batches)

    def state_dict(self) -> dict[str, int]:
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        pass


class Data(LightningDataModule):
    def train_dataloader(self) -> Ones:
        return Ones()


class Watched(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss: torch.Tensor = self.layer(batch).mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


class Listener(Callback):
    """Calls a function at a moment, and remembers what it returned."""

    def __init__(self, moment: str, function: Callable[..., Any]) -> None:
        self.returned: list[Any] = []
        setattr(self, moment, lambda *given, **_: self.returned.append(function(*given)))


def _fit(
    folder: Path,
    *callbacks: Callback,
    checkpoint: Path | None = None,
    **options: Any,  # noqa: ANN401  # the Trainer's
) -> Trainer:
    defaults = {"max_epochs": 1, "log_every_n_steps": 3, "enable_checkpointing": False}
    trainer = Trainer(
        **defaults | options,
        callbacks=list(callbacks),
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Watched(), datamodule=Data(), ckpt_path=checkpoint)
    return trainer


def test_a_trainer_tells_its_data_module_and_settings(tmp_path: Path) -> None:
    trainer = _fit(tmp_path)
    assert isinstance(lightning_internals.data_module(trainer), Data)
    assert lightning_internals.log_every_n_steps(trainer) == 3
    assert not lightning_internals.is_trial(trainer)
    assert lightning_internals.is_trial(_fit(tmp_path, fast_dev_run=True))


def test_the_train_loader_is_wrapped_and_the_data_module_left_alone(tmp_path: Path) -> None:
    seen: list[int] = []

    def wrap(loader: Ones) -> Ones:
        seen.append(len(loader))
        return Ones(5)

    def setup(trainer: Trainer, module: LightningModule) -> None:
        lightning_internals.wrap_train_loader(trainer, wrap)

    trainer = _fit(tmp_path, Listener("setup", setup))
    assert (seen, trainer.global_step) == ([8], 5)
    data = lightning_internals.data_module(trainer)
    assert data is not None
    assert "train_dataloader" not in vars(data)


def test_all_that_writes_checkpoints_is_wrapped(tmp_path: Path) -> None:
    seen: list[str] = []

    def setup(trainer: Trainer, module: LightningModule) -> None:
        def wrapped(path: Path, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # passed on
            seen.append(Path(path).name)
            save(path, *args, **kwargs)

        save = lightning_internals.wrap_save_checkpoint(trainer, wrapped)

    trainer = _fit(
        tmp_path,
        ModelCheckpoint(tmp_path, "kept"),
        Listener("setup", setup),
        enable_checkpointing=True,
    )
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    assert seen == ["kept.ckpt", "own.ckpt"]
    assert {path.name for path in tmp_path.glob("*.ckpt")} == {*seen}


def test_signals_are_ignored(tmp_path: Path) -> None:
    # The first is called once for each run, the second before each batch of several processes.
    assert callable(_SignalConnector.register_signal_handlers)
    assert callable(_TrainingEpochLoop._broadcast_sigterm_tensor)
    before = signal.getsignal(signal.SIGTERM)
    listener = Listener("on_train_batch_end", lambda *_: signal.getsignal(signal.SIGTERM))
    _fit(tmp_path, listener)
    assert before not in listener.returned, "Lightning handles signals where nobody stops it"

    def setup(trainer: Trainer, module: LightningModule) -> None:
        lightning_internals.ignore_signals(trainer)

    _fit(tmp_path, Listener("setup", setup), listener)
    assert listener.returned[-8:] == [before] * 8


def test_who_started_this_process() -> None:
    trainer = Trainer(accelerator="cpu", logger=False, devices=2)
    assert isinstance(trainer.strategy.cluster_environment, LightningEnvironment)  # type: ignore[attr-defined]  # undeclared
    assert not lightning_internals.is_started_by_lightning(trainer)
    other: Any = SimpleNamespace(strategy=trainer.strategy, local_rank=1)
    assert lightning_internals.is_started_by_lightning(other)


def test_started_processes_are_watched_by_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    before = subprocess_script._launch_process_observer  # type: ignore[attr-defined]  # imported there
    seen: list[Any] = []
    lightning_internals.watch_processes(seen.append)
    try:
        environment = LightningEnvironment()
        launcher = subprocess_script._SubprocessScriptLauncher(environment, 2, 1)
        monkeypatch.setattr(launcher, "_call_children_scripts", lambda: launcher.procs.append(1))  # type: ignore[arg-type]  # no process
        assert launcher.launch(lambda: "result") == "result"
    finally:
        subprocess_script._launch_process_observer = before  # type: ignore[attr-defined]  # as above
    assert seen == [[1]]


def test_logs_are_numbered_by_the_steps(tmp_path: Path) -> None:
    trainer = _fit(tmp_path)
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == trainer.global_step == 8
    trainer.fit_loop.epoch_loop._batches_that_stepped = 3
    lightning_internals.number_logs_by_steps(trainer)
    assert trainer.fit_loop.epoch_loop._batches_that_stepped == 8


@pytest.mark.parametrize(
    ("ended", "given", "num_left"),
    [
        ({"max_epochs": 1}, {"max_epochs": 2}, 8),
        ({"max_steps": 8, "max_epochs": -1}, {"max_steps": 16, "max_epochs": -1}, 8),
        ({"max_steps": 5, "max_epochs": -1}, {"max_epochs": 1}, 3),
    ],
)
def test_a_training_that_ended_is_reopened(
    tmp_path: Path, ended: dict[str, Any], given: dict[str, Any], num_left: int
) -> None:
    path = tmp_path / "ended.ckpt"

    def save(trainer: Trainer, module: LightningModule) -> None:
        trainer.save_checkpoint(path)

    _fit(tmp_path, Listener("on_train_end", save), **ended)
    checkpoint = torch.load(path, weights_only=True)
    lightning_internals.reopen_epoch(checkpoint["loops"]["fit_loop"], 8)
    torch.save(checkpoint, path)
    steps = Listener("on_train_batch_start", lambda trainer, *_: trainer.global_step)
    _fit(tmp_path, steps, checkpoint=path, **given)
    first = checkpoint["global_step"]
    assert steps.returned == list(range(first, first + num_left))


def test_the_state_of_a_best_checkpoint_can_be_made(tmp_path: Path) -> None:
    options: dict[str, Any] = {"monitor": "loss", "save_top_k": 2, "every_n_train_steps": 3}
    kept = ModelCheckpoint(tmp_path / "kept", **options)
    _fit(tmp_path, kept, enable_checkpointing=True)
    state = kept.state_dict()
    made = lightning_internals.state_of_best(kept, dict(kept.best_k_models), "", "")
    for name in ("monitor", "current_score"):  # which are not read
        del state[name]
    assert state == made
    new = ModelCheckpoint(tmp_path / "kept", **options)
    new.load_state_dict(made)
    assert new.best_model_path == kept.best_model_path
    assert new.best_k_models == kept.best_k_models
    less = ModelCheckpoint(tmp_path / "kept", **options | {"save_top_k": 1})
    less_state = lightning_internals.state_of_best(less, dict(kept.best_k_models), "", "")
    assert less_state["best_k_models"] == {kept.best_model_path: kept.best_model_score}
    assert less_state["kth_best_model_path"] == kept.best_model_path
    none = lightning_internals.state_of_best(new, {}, "any.ckpt", "last.ckpt")
    new.load_state_dict(none)
    assert (new.best_model_path, new.last_model_path) == ("any.ckpt", "last.ckpt")


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_is_never_the_best(
    tmp_path: Path, mode: str, bad: float
) -> None:
    callback = ModelCheckpoint(tmp_path / "kept", monitor="score", mode=mode, save_top_k=2)
    setup = Listener(
        "setup", lambda *_: lightning_internals.never_choose_what_is_not_finite(callback)
    )
    log = Listener(
        "on_train_epoch_end",
        lambda trainer, module: module.log("score", [bad, 1.0, bad][trainer.current_epoch]),
    )
    _fit(tmp_path, setup, log, callback, enable_checkpointing=True, max_epochs=3)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["epoch=1-step=16.ckpt"]
    assert callback.best_model_score == 1


def test_the_names_of_files_are_known_before_they_are_written() -> None:
    def names(**options: Any) -> list[str]:  # noqa: ANN401  # the callback's
        return lightning_internals.filenames_of(ModelCheckpoint(**options))

    assert names() == ["epoch=0-step=0.ckpt"]
    assert names(filename="a-{step:03d}", auto_insert_metric_name=False) == ["a-000.ckpt"]
    assert names(save_last=True) == ["epoch=0-step=0.ckpt"]
    last = names(filename="x", save_last=True, enable_version_counter=False, dirpath="y")
    assert last == ["x.ckpt", "last.ckpt"]
