"""The loggers of a run, before they are built: what they need, and what a run fills in."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from jsonargparse import Namespace
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from places.cli.part_classes import classes_of
from places.errors import ConfigError

# For each logger of Lightning the modules of which it needs one, and what to install.
_NEEDS = {
    "WandbLogger": (("wandb",), "places[wandb]"),
    "TensorBoardLogger": (("tensorboard", "tensorboardX"), "places[tensorboard]"),
    "MLFlowLogger": (("mlflow",), "places[mlflow]"),
    "CometLogger": (("comet_ml",), "comet-ml"),
    "LitLogger": (("litlogger",), "litlogger"),
}
FOLDERS = ("save_dir", "root_dir")  # how loggers call the folder that they write to
# What stands there where nobody named one.
_NO_FOLDERS = (None, ".", "./mlruns")


@dataclass(frozen=True)
class LoggedRun:
    """What loggers are told of a run before it begins.

    Attributes:
        folder: Its folder, recipe/number.
        stage: "fit", "validate", "test" or "predict".
        ids: The ids of the run that is resumed, by the service, see `stored_ids`.
    """

    folder: Path
    stage: str
    ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its recipe and number."""
        return "/".join(self.folder.parts[-2:])

    @property
    def recipe(self) -> str:
        """Its recipe."""
        return self.folder.parts[-2] if len(self.folder.parts) > 1 else "run"

    @property
    def tags(self) -> list[str]:
        """By what runs are found."""
        return [self.recipe, f"run {self.folder.name}", self.stage]


def check_packages(asked: object) -> None:
    """Refuse a logger whose package is not installed.

    Args:
        asked: `trainer.logger` as it was asked for: a config, several, a switch or nothing.

    Raises:
        ConfigError: With what to install.
    """
    for kind in classes_of(asked):
        names = [base.__name__ for base in kind.__mro__ if base.__name__ in _NEEDS]
        for modules, package in (_NEEDS[name] for name in names[:1]):
            if not any(map(_is_installed, modules)):
                raise ConfigError(
                    f"{kind.__name__} needs a package that is not installed:  "
                    f"pip install '{package}'"
                )


def fill_in(logger: Namespace, run: LoggedRun) -> None:
    """Give a logger that was asked for its folder, and the names of the run where it takes them.

    Args:
        logger: Class path and arguments; what the user gave is left as it is.
        run: The run.
    """
    (kind,) = classes_of(logger) or [Logger]
    if logger.get("init_args") is None:  # it takes no arguments
        return
    for base, fill in _FILLS.items():
        if issubclass(kind, base):
            fill(logger, run)
    options = logger.init_args
    if options.get("dir") is None:  # another name of it, which W&B has too
        for name in FOLDERS:
            if name in options and options[name] in _NO_FOLDERS:
                options[name] = str(run.folder)


def _fill_wandb(logger: Namespace, run: LoggedRun) -> None:
    options = logger.init_args
    # Only these tell W&B where its cache and the tables that it makes ready are to be.
    for variable, name in (("WANDB_CACHE_DIR", "cache"), ("WANDB_DATA_DIR", "data")):
        os.environ.setdefault(variable, str((run.folder / "wandb" / name).resolve()))
    if options.get("experiment") is not None:
        return
    if options.get("name") is None and "WANDB_NAME" not in os.environ:
        options.name = run.name
    has_id = options.get("id") or options.get("version") or os.environ.get("WANDB_RUN_ID")
    if not has_id and "wandb" in run.ids:
        options.id = run.ids["wandb"]
    for key, variable, value in (
        ("group", "WANDB_RUN_GROUP", run.recipe),
        ("job_type", "WANDB_JOB_TYPE", run.stage),
        ("tags", "WANDB_TAGS", run.tags),
    ):
        if variable not in os.environ:
            _offer(logger, key, value)


def _offer(logger: Namespace, key: str, value: object) -> None:
    """Give a logger an argument of `wandb.init` that the user has not given.

    jsonargparse knows them where it finds what takes them; else they are passed on unchecked.
    """
    if key in logger.init_args:
        if logger.init_args[key] is None:
            logger.init_args[key] = value
    else:
        logger.dict_kwargs = {key: value, **(logger.get("dict_kwargs") or {})}


def _fill_tensorboard(logger: Namespace, run: LoggedRun) -> None:
    """Keep TensorBoard's own placeholder for a score out of the tables."""
    logger.init_args.default_hp_metric = False


def _fill_mlflow(logger: Namespace, run: LoggedRun) -> None:
    options = logger.init_args
    # The variable MLFLOW_TRACKING_URI is its default; MLflow sets that itself, for later runs too.
    uri = options.get("tracking_uri")
    if not uri and options.get("save_dir") in _NO_FOLDERS:
        options.save_dir = str((run.folder / "mlruns").resolve())
        # MLflow 3.7 and later take files only where this is set; a data base is a package more.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    if options.get("run_name") is None:
        options.run_name = run.name
    if uri and options.get("run_id") is None and _is_known(run.ids.get("mlflow"), str(uri)):
        options.run_id = run.ids["mlflow"]
    tags = {"recipe": run.recipe, "number": run.folder.name, "stage": run.stage}
    options.tags = {**tags, **(options.get("tags") or {})}


def _is_known(run_id: str | None, uri: str) -> bool:
    """Tell whether MLflow has a run there; where it cannot be asked, building it will say so."""
    if run_id is None:
        return False
    from mlflow import MlflowClient, MlflowException

    try:
        MlflowClient(uri).get_run(run_id)
    except MlflowException as error:
        return str(error.error_code) != "RESOURCE_DOES_NOT_EXIST"
    return True


_FILLS: dict[type[Logger], Callable[[Namespace, LoggedRun], None]] = {
    WandbLogger: _fill_wandb,
    TensorBoardLogger: _fill_tensorboard,
    MLFlowLogger: _fill_mlflow,
}


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
