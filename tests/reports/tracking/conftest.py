"""One training with all three loggers, resumed once, and one test, for all tests here."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.stages import run
from tests.reports.tracking.tracked import Runs
from tests.reports.tracking.wandb_file import read_offline_run

from places.config.recipes import find_recipe


def _overlay(name: str) -> dict[str, Any]:
    """Return the logger that an overlay of ours asks for."""
    recipe = yaml.safe_load(find_recipe(f"overlays/{name}").read_text(encoding="utf-8"))
    assert list(recipe) == ["trainer"]
    assert list(recipe["trainer"]) == ["logger"]
    logger: dict[str, Any] = recipe["trainer"]["logger"]
    return logger


@pytest.fixture(scope="session")
def runs(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The runs, read-only."""
    for package in ("wandb", "tensorboard", "mlflow"):
        pytest.importorskip(package)
    root = tmp_path_factory.mktemp("tracked")
    recipe = root / "tracked.yaml"
    loggers = [_overlay(name) for name in ("wandb", "tensorboard", "mlflow")]
    keeping: list[dict[str, Any]] = [
        {**each, "init_args": {**each["init_args"], "log_model": True}}
        if each["class_path"].endswith(("WandbLogger", "MLFlowLogger"))
        else each
        for each in loggers
    ]
    keeps_best = {"trainer": {"logger": keeping}}
    (root / "keeps_best.yaml").write_text(yaml.safe_dump(keeps_best), encoding="utf-8")
    recipe.write_text(yaml.safe_dump({"trainer": {"logger": loggers}}), encoding="utf-8")
    every = ["--config", recipe, "--data.root", sample, "--trainer.default_root_dir", root]
    fit = [*every, "--model.schedule", "cosine"]
    fit += ["--config", root / "keeps_best.yaml"]
    folders = [root / "tracked" / str(number) for number in range(3)]
    best, last = (folders[0] / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
            patch.setenv(name, "")  # so that what the runs set is forgotten
            patch.delenv(name)
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        patch.setenv("MLFLOW_TRACKING_URI", "")
        assert run("fit", *fit, "--trainer.max_epochs", 2) == 0
        assert run("fit", *fit, "--trainer.max_epochs", 3, "--ckpt_path", last) == 0
        assert run("test", *every, "--ckpt_path", best) == 0
    offline = [read_offline_run(*(folder / "wandb").glob("offline-run-*")) for folder in folders]
    return Runs(folders[0], folders[1], folders[2], offline)
