from pathlib import Path
from typing import Any

import pytest
from jsonargparse import Namespace
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from places.cli.logger_parts import LoggedRun, fill_in

RUN = LoggedRun(Path("runs/demo/7"), "fit", {"wandb": "abc12345", "mlflow": "0123456789abcdef"})
VARIABLES = ("WANDB_NAME", "WANDB_RUN_ID", "WANDB_RUN_GROUP", "WANDB_JOB_TYPE", "WANDB_TAGS")


class Mine(Logger):
    """A logger of somebody's own, which writes to no folder."""

    def __init__(self, address: str = "nowhere") -> None:
        super().__init__()
        self.address = address

    name = version = "mine"

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  # Lightning's
        """Log nothing."""

    log_hyperparams = log_metrics


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "MLFLOW_ALLOW_FILE_STORE"):
        monkeypatch.setenv(name, "")  # so that what is set is forgotten
        monkeypatch.delenv(name)


def _filled(kind: str, run: LoggedRun = RUN, **options: Any) -> Namespace:  # noqa: ANN401  # of any logger
    logger = Namespace(class_path=kind, init_args=Namespace(options))  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped
    fill_in(logger, run)
    return logger


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def test_wandb_is_named_by_recipe_and_number() -> None:
    new: dict[str, Any] = {"name": None, "save_dir": ".", "dir": None, "id": None, "version": None}
    more: dict[str, Any] = {"group": None, "tags": None, "job_type": None}
    found = _filled(_path(WandbLogger), **new, **more).init_args
    assert found.name == "demo/7"
    assert found.group == "demo"
    assert found.tags == ["demo", "run 7", "fit"]
    assert found.job_type == "fit"
    assert found.save_dir == str(RUN.folder)
    assert found.id == "abc12345"
    # Where jsonargparse does not find out what wandb.init takes, they are passed on all the same.
    unknown = _filled(_path(WandbLogger), **new)
    assert unknown.dict_kwargs == {"group": "demo", "tags": found.tags, "job_type": "fit"}


def test_what_the_user_gives_wandb_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {
        "name": "mine",
        "save_dir": "there",
        "dir": None,
        "id": None,
        "version": "v1",
    }
    given |= {"group": "a group", "tags": ["a tag"], "job_type": "a job"}
    assert _filled(_path(WandbLogger), **given).init_args == Namespace(given)  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped
    for name in VARIABLES:
        monkeypatch.setenv(name, "from the environment")
    new: dict[str, Any] = dict.fromkeys(given) | {"dir": "elsewhere", "save_dir": "."}
    assert _filled(_path(WandbLogger), **new).init_args == Namespace(new)  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped


def test_folders_are_filled_in_where_a_logger_has_one() -> None:
    for kind in (CSVLogger, TensorBoardLogger):
        assert _filled(_path(kind), save_dir=".").init_args.save_dir == "runs/demo/7"
        assert _filled(_path(kind), save_dir="there").init_args.save_dir == "there"
    assert _filled(_path(Mine), address="here").init_args == Namespace(address="here")  # type: ignore[no-untyped-call]  # jsonargparse leaves it untyped


def test_mlflow_writes_into_the_folder_of_the_run_unless_it_has_a_server(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    options: dict[str, Any] = {
        "tracking_uri": None,
        "save_dir": "./mlruns",
        "run_id": None,
        "run_name": None,
    }
    found = _filled("lightning.pytorch.loggers.MLFlowLogger", **options, tags=None).init_args
    assert found.save_dir == str(RUN.folder.resolve() / "mlruns")
    assert found.run_id is None  # that run lies in another folder
    assert found.run_name == "demo/7"
    assert found.tags == {"recipe": "demo", "number": "7", "stage": "fit"}
    store = f"file:{tmp_path / 'store'}"
    client = mlflow.MlflowClient(store)
    known = client.create_run(client.create_experiment("places")).info.run_id
    for run_id, expected in ((known, known), ("gone", None)):
        run = LoggedRun(RUN.folder, "fit", {"mlflow": run_id})
        with_server = options | {"tracking_uri": store, "tags": {"stage": "mine"}}
        found = _filled("lightning.pytorch.loggers.MLFlowLogger", run, **with_server).init_args
        assert found.run_id == expected
        assert found.tags["stage"] == "mine"
