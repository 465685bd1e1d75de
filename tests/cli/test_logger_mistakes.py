"""Loggers that cannot be built: what a user is told."""

from pathlib import Path
from typing import Any

import pytest
from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger
from tests.integration.stages import run

from places.cli.logger_parts import LoggedRun, check_packages, fill_in
from places.errors import ConfigError


class Needy(CSVLogger):
    """Needs a package that nobody has."""

    def __init__(self, save_dir: str = ".") -> None:
        raise ImportError("no package named 'needed'\n install it")


class Strict(CSVLogger):
    """Takes another folder."""

    def __init__(self, save_dir: str = ".") -> None:
        raise ValueError("this folder is too deep")


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["tests.cli.test_logger_mistakes.Needy"],
            ["Needy needs a package that is not installed", "no package named 'needed'"],
        ),
        (
            ["tests.cli.test_logger_mistakes.Strict"],
            ["Strict cannot be built", "this folder is too deep"],
        ),
        (
            ["MLFlowLogger", "--trainer.logger.tracking_uri", "http://127.0.0.1:9"],
            [
                "MLflow: API request to http://127.0.0.1:9/",
                "where it logs to:  --trainer.logger.tracking_uri URL",
            ],
        ),
    ],
)
def test_a_logger_that_cannot_be_built_is_named(
    sample: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    lines: list[str],
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    options = ["--data.root", sample, "--trainer.max_steps", "1", "--trainer.logger", *words]
    assert run("fit", *options) == 2
    found = capfd.readouterr().err.splitlines()
    start = next(n for n, line in enumerate(found) if line.startswith("places: error: "))
    assert found[start].removeprefix("places: error: ").startswith(lines[0])
    assert found[start + 1].strip().startswith(lines[1])
    assert len(found) - start <= 4
    assert not Path("runs/fit").exists() or not list(Path("runs/fit").iterdir())


def test_a_package_that_is_missing_is_named_with_what_to_install() -> None:
    asked = Namespace(class_path="lightning.pytorch.loggers.CometLogger", init_args=Namespace())  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped
    with pytest.raises(ConfigError, match=r"CometLogger needs .*:  pip install 'comet-ml'"):
        check_packages([asked])


def test_an_experiment_of_the_users_own_gets_no_other_names() -> None:
    run_ = LoggedRun(Path("runs/demo/7"), "fit", {"wandb": "abc"})
    options: dict[str, Any] = {"experiment": object(), "name": None, "id": None}
    logger = Namespace(class_path="lightning.pytorch.loggers.WandbLogger")  # type: ignore[no-untyped-call]  # likewise
    logger.init_args = Namespace(options)  # type: ignore[no-untyped-call]  # likewise
    fill_in(logger, run_)
    assert logger.init_args == Namespace(options)  # type: ignore[no-untyped-call]  # likewise


def test_a_first_run_on_a_server_of_mlflow_has_no_id() -> None:
    pytest.importorskip("mlflow")
    options: dict[str, Any] = {"tracking_uri": "http://127.0.0.1:9", "run_name": "mine"}
    logger = Namespace(class_path="lightning.pytorch.loggers.MLFlowLogger")  # type: ignore[no-untyped-call]  # likewise
    logger.init_args = Namespace({**options, "run_id": None})  # type: ignore[no-untyped-call]  # likewise
    fill_in(logger, LoggedRun(Path("runs/demo/7"), "fit"))
    assert (logger.init_args.run_id, logger.init_args.run_name) == (None, "mine")
