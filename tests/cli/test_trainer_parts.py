from pathlib import Path

import pytest
from jsonargparse import Namespace
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.plugins.io import TorchCheckpointIO

from places.checkpoints.atomic_io import AtomicCheckpointIO
from places.cli.logger_parts import LoggedRun
from places.cli.trainer_parts import run_loggers, run_plugins, with_bar
from places.reports.progress_bar import Bar


@pytest.fixture
def on_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look like a job of SLURM that is not interactive."""
    monkeypatch.setenv("SLURM_NTASKS", "1")
    monkeypatch.setenv("SLURM_JOB_NAME", "places")


def test_checkpoints_are_written_whole_unless_asked_otherwise() -> None:
    (ours,) = run_plugins(None)
    assert isinstance(ours, AtomicCheckpointIO)
    theirs = TorchCheckpointIO()
    assert run_plugins(theirs) == [theirs]
    other = LightningEnvironment()
    assert [type(plugin) for plugin in run_plugins([other])] == [
        LightningEnvironment,
        AtomicCheckpointIO,
    ]


@pytest.mark.usefixtures("on_slurm")
def test_lightning_does_not_requeue() -> None:
    _, environment = run_plugins(None)
    assert isinstance(environment, SLURMEnvironment)
    assert environment.auto_requeue is False
    other = LightningEnvironment()
    assert SLURMEnvironment not in map(type, run_plugins([other]))


@pytest.mark.usefixtures("on_slurm")
def test_torchrun_inside_slurm_is_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "GROUP_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "7")
    assert [type(plugin) for plugin in run_plugins(None)] == [AtomicCheckpointIO]


def test_the_table_of_metrics_comes_first() -> None:
    init_args = {"save_dir": "."}
    other = Namespace(  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped
        {"class_path": "wandb", "init_args": Namespace(init_args)}  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped
    )
    run = LoggedRun(Path("runs/demo/0"), "fit")
    for asked, num_others in [(None, 0), (True, 0), (other, 1), ([other, other], 2)]:
        loggers = run_loggers(asked, run)
        assert isinstance(loggers, list)
        assert loggers[0].class_path.endswith("CSVLogger")
        assert [logger.init_args.save_dir for logger in loggers[1:]] == ["runs/demo/0"] * num_others
    assert run_loggers(False, run) is False


def test_our_bar_is_shown_unless_none_or_another_is_wanted() -> None:
    def kinds(
        callbacks: object,
        is_enabled: bool | None = None,
        barebones: bool = False,
    ) -> list[type]:
        asked = Namespace(  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped
            callbacks=callbacks, enable_progress_bar=is_enabled, barebones=barebones
        )
        return [type(callback) for callback in with_bar(asked)]

    other = Callback()
    assert kinds(None) == kinds([], is_enabled=True) == [Bar]
    assert kinds(other) == kinds([other]) == [Callback, Bar]
    assert kinds([other, TQDMProgressBar()]) == [Callback, TQDMProgressBar]
    assert kinds([other], is_enabled=False) == kinds([other], barebones=True) == [Callback]
