"""A checkpoint is data: whatever it names, nothing of it runs, and what is wrong is said."""

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integration.stages import fit_in, run
from tests.started import started

from places.checkpoints.contents import FORMAT_VERSION

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> dict[str, Any]:
    """What is in a checkpoint of two training steps."""
    root = tmp_path_factory.mktemp("trained")
    folder = fit_in(root, "--data.root", sample, "--trainer.max_epochs", 1)
    content: dict[str, Any] = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return content


def _changed(content: dict[str, Any], change: Change) -> Path:
    content = copy.deepcopy(content)
    change(content)
    torch.save(content, "x.ckpt")
    return Path("x.ckpt")


def _momentum(checkpoint: dict[str, Any]) -> dict[str, Any]:
    momentum: dict[str, Any] = checkpoint["optimizer_states"][0]["state"][0]
    return momentum


def _model(content: dict[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = content["places"]["config"]["model"]["init_args"]
    return model


def _config(content: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = content["places"]["config"]
    return config


_COMMAND = {"class_path": "os.system", "init_args": {"command": "touch ran"}}


@pytest.mark.parametrize("stage", ["test", "predict", "fit"])
@pytest.mark.parametrize(
    "change",
    [
        lambda c: _model(c).update(net=_COMMAND),
        lambda c: _model(c).update(optimizer=_COMMAND),
        lambda c: _model(c).update(net="subprocess.getoutput"),
        lambda c: _model(c).update(net="tests.networks.sys.exit"),
        lambda c: _model(c).update(net="recipe.yaml"),
        lambda c: _config(c).update(model=_COMMAND),
        lambda c: c.update(hyper_parameters={"_class_path": "os.system", "command": "touch ran"}),
        lambda c: c["places"].update(recipe="../../up"),
        lambda c: c["places"].update(recipe="\x1b[31m"),
        lambda c: _config(c)["checkpoint"].update(filename="../../up"),
        lambda c: _config(c)["checkpoint"].update(filename="{epoch.__class__}"),
        lambda c: _config(c)["checkpoint"].update(filename="{epoch:999999999}"),
    ],
)
def test_nothing_that_a_checkpoint_names_runs_or_leads_elsewhere(
    capsys: pytest.CaptureFixture[str],
    trained: dict[str, Any],
    sample: Path,
    tmp_path: Path,
    change: Change,
    stage: str,
) -> None:
    Path("recipe.yaml").write_text("class_path: tests.networks.Tiny\n")
    path, before = _changed(trained, change), set(tmp_path.rglob("*"))
    with started() as calls:
        assert run(stage, "--data.root", sample, "--ckpt_path", path) == 2
    error = capsys.readouterr().err
    assert error.startswith("places: error: ")
    assert len(error.splitlines()) <= 4
    assert "x.ckpt" in error
    assert error.isascii()
    assert "\x1b" not in error
    assert not calls
    assert "antigravity" not in sys.modules
    assert {path for path in before ^ set(tmp_path.rglob("*")) if path.name != "x.ckpt"} == set()


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("state_dict"),
        lambda c: c.pop("loops"),
        lambda c: c.update(global_step="one"),
        lambda c: c.update(epoch=True),
        lambda c: c.update(places=3),
        lambda c: c["places"].pop("config"),
        lambda c: c["places"].pop("recipe"),
        lambda c: c["places"].pop("version"),
        lambda c: c["places"].update(version=FORMAT_VERSION + 1),
        lambda c: c["places"].update(recipe=["x"]),
        lambda c: _config(c).pop("model"),
        lambda c: _config(c)["model"].pop("init_args"),
        lambda c: _config(c)["model"].update(class_path=None),
        lambda c: _config(c)["model"].update(class_path=["a"]),
        lambda c: _config(c)["data"].update(init_args=[1]),
        lambda c: _config(c).update(trainer=None),
        lambda c: _config(c)["trainer"].update(max_epochs="soon"),
        lambda c: _config(c)["trainer"].update(max_epochs=[[[]]]),
        lambda c: _config(c)["resume"].update(gone=1),
        lambda c: _config(c)["checkpoint"].update(gone=1),
        lambda c: _config(c)["checkpoint"].update({"": 1}),
        lambda c: _config(c)["checkpoint"].update({"a..b": 1}),
        lambda c: _config(c)["resume"].update({"a b": 1}),
        lambda c: _model(c).update({"": 1}),
        lambda c: _config(c)["data"]["init_args"].update({"a.": 1}),
        lambda c: _model(c)["net"]["init_args"].update({"": 1}),
        lambda c: _model(c)["net"]["init_args"].update({"a b": 1}),
        lambda c: _model(c)["optimizer"]["init_args"].update({"a..b": 1}),
        lambda c: _model(c).update(gone=1),
        lambda c: _model(c).update(net={"class_path": "tests.networks.Gone"}),
        lambda c: _model(c).update(net={"class_path": "tests.gone.Net"}),
        lambda c: _model(c)["net"]["init_args"].update(gone=1),
        lambda c: _model(c)["optimizer"]["init_args"].update(lr="fast"),
        lambda c: c.update(loops={"fit_loop": 3}),
        lambda c: c.update(loops={}),
        lambda c: c["loops"]["test_loop"]["batch_progress"]["total"].update(ready={"a": 1}),
        lambda c: c["loops"]["fit_loop"]["epoch_progress"]["total"].update(completed="x"),
        lambda c: c.update(optimizer_states=[{}]),
        lambda c: c.update(optimizer_states=3),
        lambda c: _momentum(c).update(momentum_buffer=3),
        lambda c: _momentum(c).update(momentum_buffer="x"),
        lambda c: _momentum(c).update(momentum_buffer=torch.ones(2, 2)),
        lambda c: c["optimizer_states"][0]["state"].update({0: 3}),
        lambda c: c.update(lr_schedulers=[3]),
        lambda c: c.update(callbacks=3),
        lambda c: c.update(callbacks=dict.fromkeys(c["callbacks"], 3)),
        lambda c: c.update({"pytorch-lightning_version": 3}),
        lambda c: c.update({"pytorch-lightning_version": "soon"}),
        lambda c: c.update(training=3),
        lambda c: c.update(training={"num_batches": "x", "sums": 3}),
        lambda c: c["training"].update(num_batches=b"x"),
        lambda c: c.update(Places365={"x": 1}),
        lambda c: c.update(Places365=3),
        lambda c: c["state_dict"].update({3: torch.ones(1)}),
        lambda c: c["state_dict"].update({"net.0.weight": "x"}),
        lambda c: c["state_dict"].update({"net.0.weight": torch.ones(2)}),
        lambda c: c["state_dict"].update({"net.0.weight": torch.eye(2).to_sparse()}),
        lambda c: c["state_dict"].update({"net.0.weight": torch.ones(2, device="meta")}),
    ],
)
def test_a_checkpoint_that_is_wrong_inside_is_refused_in_few_lines(
    capsys: pytest.CaptureFixture[str], trained: dict[str, Any], sample: Path, change: Change
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 2]
    status = run("fit", *words, "--ckpt_path", _changed(trained, change))
    lines = capsys.readouterr().err.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("places: error: ")]
    assert status == 2
    assert len(errors) == 1
    assert len(lines) - errors[0] <= 4
    assert "x.ckpt" in "\n".join(lines[errors[0] :])


def test_a_network_of_the_users_is_named_once_more_or_trusted(
    capsys: pytest.CaptureFixture[str], trained: dict[str, Any], sample: Path
) -> None:
    from places.cli.main import main

    words = ["--data.root", str(sample), "--trainer.accelerator", "cpu", "--ckpt_path", "x.ckpt"]
    _changed(trained, lambda c: None)
    assert main(["test", *words]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "places: error: x.ckpt names tests.networks.Tiny as model.net: "
        "it would be imported, and so run",
        "  if you trust tests:  --trust tests",
    ]
    assert main(["test", *words, "--trust", "tests.networks"]) == 0
    assert main(["test", *words, "--model.net", "tests.networks.Tiny"]) == 0
    Path("recipe.yaml").write_text("model:\n  net: tests.networks.Tiny\n")
    assert main(["test", *words, "--config", "recipe.yaml"]) == 0
    Path("trusting.yaml").write_text("trust: [tests]\n")
    assert main(["test", *words, "--config", "trusting.yaml"]) == 0


def test_folders_of_the_machine_are_not_taken_from_a_checkpoint(
    trained: dict[str, Any], sample: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        data = _config(content)["data"]["init_args"]
        data.update(cache_folder="../home", cache_size_gb=1e-9, num_threads=999)

    path = _changed(trained, change)
    assert run("test", "--data.root", sample, "--ckpt_path", path) == 0
    import yaml

    config = yaml.safe_load(next(Path("runs").rglob("config.yaml")).read_text())
    data = config["data"]["init_args"]
    assert (data["cache_folder"], data["cache_size_gb"], data["num_threads"]) == (
        "data/cache",
        50.0,
        None,
    )
