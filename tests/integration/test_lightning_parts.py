"""Every callback, logger and profiler that Lightning ships: resumed exactly, or refused by name.

One that a new release of Lightning brings fails here until it is decided.
"""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer, callbacks, loggers, profilers
from tests.integration.stages import fit_in, read_metrics, run, run_apart

from places.resume.refused_parts import REFUSED

CALLBACKS = "--trainer.callbacks"


def _callback(name: str, **options: object) -> list[str]:
    words = [f"{CALLBACKS}+=lightning.pytorch.callbacks.{name}"]
    return words + [f"{CALLBACKS}.{key}={value}" for key, value in options.items()]


# What is tried together, in one run that is killed and resumed.
TRIED: dict[str, list[str]] = {
    "watching": [
        *_callback("DeviceStatsMonitor"),
        *_callback("LearningRateMonitor", logging_interval="step"),
        *_callback("LambdaCallback"),
        *_callback("ModelSummary"),
        *_callback("ThroughputMonitor", batch_size_fn="tests.integration.recording.num_pictures"),
        *("--trainer.profiler", "advanced"),
    ],
    "stopping": [
        *_callback("EarlyStopping", monitor="val/loss", patience=2, min_delta=10),
        *_callback("RichProgressBar"),
        *_callback("RichModelSummary"),
        "--trainer.enable_progress_bar=true",
        *("--trainer.profiler", "simple"),
    ],
    "accumulating": [
        *_callback("GradientAccumulationScheduler", scheduling="{0: 2, 2: 1}"),
        *_callback("TQDMProgressBar"),
        "--trainer.enable_progress_bar=true",
        *("--trainer.profiler", "pytorch"),
    ],
    "checkpoints and logging": [
        *_callback("ModelCheckpoint", monitor="val/loss", save_top_k=2, filename="{epoch}-{step}"),
        *_callback("ModelCheckpoint", monitor="train/loss", save_top_k=2, every_n_train_steps=3),
        f"{CALLBACKS}.filename=in-{{train/loss:.3f}}",  # makes a folder
        *_callback("ModelCheckpoint", save_last="true", filename="newest-{step}"),
        *_callback("ModelCheckpoint", monitor="val/top5", mode="max", save_last="link"),
        f"{CALLBACKS}.filename=top5-{{step}}",
        *("--trainer.logger+=WandbLogger", "--trainer.logger.offline=true"),
        *("--trainer.logger+=CSVLogger", "--trainer.logger.save_dir=others"),
        *("--trainer.profiler", "PassThroughProfiler"),
    ],
}
# Those whose options a refusal needs to be built at all.
EXAMPLES: dict[str, dict[str, object]] = {
    "BackboneFinetuning": {},
    "BatchSizeFinder": {},
    "EMAWeightAveraging": {},
    "LearningRateFinder": {},
    "ModelPruning": {"pruning_fn": "l1_unstructured"},
    "OnExceptionCheckpoint": {"dirpath": "exceptions"},
    "SpikeDetection": {},
    "StochasticWeightAveraging": {"swa_lrs": 0.01},
    "Timer": {},
    "WeightAveraging": {},
}
# For users to derive from.
ABSTRACT = {
    *("BaseFinetuning", "BasePredictionWriter", "Callback", "Checkpoint", "ProgressBar"),
    *("Logger", "Profiler"),
}
OF_TPUS = {"XLAProfiler"}
# Their packages are not among ours: without them they are refused, see below.
OTHER_PACKAGES = {
    "TensorBoardLogger": "tensorboard",
    "MLFlowLogger": "mlflow",
    "CometLogger": "comet_ml",
    "LitLogger": "litlogger",  # no subclass of the Logger that a Trainer takes
}
PROFILERS = {
    "simple": "SimpleProfiler",
    "advanced": "AdvancedProfiler",
    "pytorch": "PyTorchProfiler",
}
# Numbers that depend on the machine and the hour, or count what this process does.
MEASURED = re.compile(
    r"DeviceStats.*|(train|validate)/(time|batches|samples|(device|.*_per_sec).*)"
)


def test_every_part_of_lightning_is_decided() -> None:
    tried = {
        word.rpartition(".")[2].rpartition("=")[2] for words in TRIED.values() for word in words
    }
    tried |= {PROFILERS[word] for word in tried & PROFILERS.keys()}
    for package in (callbacks, loggers, profilers):
        names = set(package.__all__)
        undecided = names - tried - EXAMPLES.keys() - ABSTRACT - OF_TPUS - OTHER_PACKAGES.keys()
        assert not undecided, "new in this release of Lightning: try or refuse them"
    refused = tuple(REFUSED)
    for name in callbacks.__all__:
        is_refused = issubclass(getattr(callbacks, name), refused)
        assert is_refused == (name in EXAMPLES or name == "BaseFinetuning"), name


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401  # whatever is in a checkpoint
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _content(path: Path, run_folder: Path) -> dict[str, Any]:
    """Return what of a checkpoint must be the same, without the folder of its run."""
    checkpoint = torch.load(path, weights_only=True)
    states = {
        name: {key: value for key, value in state.items() if key != "current_score"}
        for name, state in checkpoint["callbacks"].items()
        if isinstance(state, dict)
    }
    return {
        "step": checkpoint["global_step"],
        "weights": checkpoint["state_dict"],
        "optimizer": checkpoint["optimizer_states"],
        "callbacks": str(states).replace(str(run_folder), "RUN"),
    }


@pytest.mark.first_covers
@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_a_run_that_is_killed_and_resumed_is_as_one_that_was_not(
    sample: Path, tmp_path: Path, name: str
) -> None:
    # 96 pictures, 6 steps in an epoch; killed after a step of the third, resumed in its middle.
    words: Sequence[object] = [
        *("--data.root", sample, "--trainer.max_epochs", 4, "--resume.every_n_steps", 5),
        *TRIED[name],
    ]
    assert run_apart("fit", [*words, "--trainer.default_root_dir", tmp_path / "whole"]) == 0
    root = ["--trainer.default_root_dir", tmp_path / "cut"]
    death = [f"{CALLBACKS}+=tests.deaths.Death", f"{CALLBACKS}.moment=batch end"]
    death += [f"{CALLBACKS}.batch=17"]
    assert run_apart("fit", [*words, *root, *death]) == -9
    assert run_apart("fit", [*words, *root, "--ckpt_path", "last"]) == 0
    whole = tmp_path / "whole" / "fit" / "0"
    killed, resumed = (tmp_path / "cut" / "fit" / number for number in "01")

    def files(folder: Path) -> list[Path]:
        return sorted(path.relative_to(folder) for path in folder.rglob("*.ckpt"))

    assert files(whole) == files(resumed)
    for file in files(whole):
        expected, found = _content(whole / file, whole), _content(resumed / file, resumed)
        assert expected["callbacks"] == found["callbacks"], file
        assert _same(expected, found), file

    def metrics(*folders: Path) -> dict[tuple[int, str], str]:
        found = read_metrics(*folders)
        return {key: found[key] for key in found if not MEASURED.match(key[1])}

    assert metrics(whole) == metrics(killed, resumed)
    if "checkpoints" in name:
        assert len(list((resumed / "checkpoints").glob("epoch=*"))) == 2
        assert len(list((resumed / "checkpoints").glob("in-*/*"))) == 2


def test_a_training_that_stopped_early_stays_so_unless_it_is_given_more_patience(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 4]
    words += _callback("EarlyStopping", monitor="val/loss", min_delta=10)
    patience = f"{CALLBACKS}.patience"
    folder = fit_in(tmp_path, *words, patience, 1)
    assert "places: ended early: Monitored metric val/loss did not impro" in capsys.readouterr().err
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 12
    words += ["--trainer.default_root_dir", tmp_path, "--ckpt_path", "last"]
    assert run("fit", *words, patience, 1) == 0
    assert "places: ended early: " in capsys.readouterr().err
    assert not (folder.parent / "1" / "checkpoints" / "last.ckpt").exists()
    assert run("fit", *words, patience, 2) == 0
    last = torch.load(folder.parent / "2" / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 18


@pytest.mark.no_cover
def test_stopping_early_goes_on_from_the_best_checkpoint(sample: Path, tmp_path: Path) -> None:
    # It is written while the epoch ends, with the validation behind it.
    words = ["--data.root", sample, "--trainer.max_epochs", 3]
    words += ["--checkpoint.save_top_k", -1, "--checkpoint.filename", "at-{step}"]
    words += _callback("EarlyStopping", monitor="val/loss", patience=2, min_delta=10)
    whole = fit_in(tmp_path / "whole", *words)
    best = whole / "checkpoints" / "at-6.ckpt"
    resumed = fit_in(tmp_path / "resumed", *words, "--ckpt_path", best)
    expected = _content(whole / "checkpoints" / "last.ckpt", whole)
    found = _content(resumed / "checkpoints" / "last.ckpt", resumed)
    for key in ("step", "weights", "optimizer"):
        assert _same(expected[key], found[key]), key
    metrics = read_metrics(whole)
    assert read_metrics(resumed) == {key: metrics[key] for key in metrics if key[0] >= 6}


def _check_refusal(capsys: pytest.CaptureFixture[str], start: str) -> None:
    error = capsys.readouterr().err.partition("places: error: ")[2]
    assert error.startswith(start)
    assert 2 <= len(error.splitlines()) <= 4
    assert not [path for path in Path().rglob("*") if path.is_file()]


@pytest.mark.first_covers
@pytest.mark.parametrize("name", EXAMPLES)
def test_what_cannot_be_resumed_is_refused_with_the_reason(
    sample: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    words = ["--data.root", sample, *_callback(name, **EXAMPLES[name])]
    assert run("fit", *words) == 2
    _check_refusal(capsys, f"{name} cannot be used: ")


@pytest.mark.parametrize(
    "words",
    [
        _callback("ModelCheckpoint", filename="last"),
        _callback("ModelCheckpoint", filename="previous"),
        _callback("ModelCheckpoint", filename="step-{step}", auto_insert_metric_name="false"),
        _callback("ModelCheckpoint", save_last="true", enable_version_counter="false"),
        ["--checkpoint.save_last=true"],
        ["--checkpoint.filename=last"],
    ],
)
def test_files_that_look_like_resume_points_are_refused(
    sample: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run("fit", "--data.root", sample, *words) == 2
    kind = "ModelCheckpoint" if CALLBACKS in words[0] else "BestCheckpoint"
    _check_refusal(capsys, f"{kind} would write files named like resume points: ")


@pytest.mark.parametrize(
    "words", [_callback("ModelCheckpoint", save_on_exception="true"), ["--checkpoint.save_on_exc"]]
)
def test_checkpoints_of_exceptions_are_refused(
    sample: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    words = [
        word.replace("save_on_exc", "save_on_exception=true", "=" not in word) for word in words
    ]
    assert run("fit", "--data.root", sample, *words) == 2
    _check_refusal(capsys, "save_on_exception true cannot be used: ")


@pytest.mark.parametrize("name", OTHER_PACKAGES)
def test_a_missing_package_is_named(
    sample: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    package = OTHER_PACKAGES[name]
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    words, start = (
        [f"--trainer.logger={name}"],
        f"{name} needs a package that is not installed:  pip",
    )
    if name == "TensorBoardLogger":
        words += ["--trainer.logger.save_dir=elsewhere"]
    elif name == "LitLogger":
        start = f"wrong value for trainer.logger: {name}"
    assert run("fit", "--data.root", sample, *words) == 2
    error = capsys.readouterr().err.partition("places: error: ")[2]
    assert error.startswith(start)
    assert package.partition("_")[0] in error.lower()
    assert len(error.splitlines()) <= 4


def test_why_a_training_ended_or_had_nothing_to_do_is_said(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--trainer.default_root_dir", tmp_path]
    assert run("fit", *words, "--trainer.max_time", "00:00:00:00") == 0
    assert "places: ended by trainer.max_time; with a longer" in capsys.readouterr().err
    assert run("fit", *words, "--trainer.max_epochs", 1) == 0
    assert "places: ended" not in capsys.readouterr().err
    words += ["--ckpt_path", "last", "--trainer.max_epochs", 1]
    assert run("fit", *words) == 0
    error = capsys.readouterr().err
    assert "places: nothing was left to do after 1 epoch; more:  --trainer.max_epochs N" in error


@pytest.mark.no_cover
def test_steps_that_are_done_and_a_callback_that_stops_are_said(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[object] = ["--data.root", sample, "--trainer.default_root_dir", tmp_path]
    steps = [*words, "--trainer.max_steps", 2, "--trainer.max_epochs", -1]
    assert run("fit", *steps) == 0
    assert "places: ended by trainer.max_steps after 2 steps\n" in capsys.readouterr().err
    assert run("fit", *steps, "--ckpt_path", "last") == 0
    error = capsys.readouterr().err
    assert "places: nothing was left to do after 0 epochs; more:  --trainer.max_steps N" in error
    stopping = [f"{CALLBACKS}+=tests.integration.test_lightning_parts.Stopping"]
    assert run("fit", *words, "--trainer.max_epochs", 3, *stopping) == 0
    assert "places: ended early, after 1 epoch: a callback or" in capsys.readouterr().err
    assert run("fit", *words, "--trainer.max_epochs", 1) == 0
    assert "ended" not in capsys.readouterr().err


class Stopping(Callback):
    """Stops a training in its first epoch."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop it."""
        trainer.should_stop = True
