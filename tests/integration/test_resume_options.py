"""Resuming as users do it: what wins, what is refused, what is brought along."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integration.stages import MACHINE, fit_in, load_weights, read_config, read_metrics, run

from places.cli.main import main
from places.training.scores import TrainingSums


@pytest.fixture(scope="module")
def trained(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch."""
    words = ["--data.root", sample, "--trainer.max_epochs", 1, "--seed_everything", 3]
    words += ["--trainer.accumulate_grad_batches", 2]
    words += ["--checkpoint.monitor", "val/loss", "--checkpoint.mode", "min"]
    words += ["--resume.every_n_steps", 2, "--model.augment.mixup", 0.4]
    return fit_in(tmp_path_factory.mktemp("trained"), *words)


def _fit(trained: Path, *words: object) -> int:
    path = trained / "checkpoints" / "last.ckpt"
    return main(["fit", "--ckpt_path", str(path), *MACHINE, *map(str, words)])


def test_what_makes_the_result_comes_from_the_checkpoint(trained: Path, tmp_path: Path) -> None:
    assert _fit(trained, "--trainer.max_epochs", 2) == 0
    config = read_config(tmp_path / "runs" / "fit" / "0")
    assert config["trainer"]["accumulate_grad_batches"] == 2
    assert config["seed_everything"] == 3
    assert config["trainer"]["default_root_dir"] == "runs"
    assert (config["checkpoint"]["monitor"], config["checkpoint"]["mode"]) == ("val/loss", "min")
    assert config["resume"]["every_n_steps"] == 2
    last = torch.load(tmp_path / "runs/fit/0/checkpoints/last.ckpt", weights_only=True)
    assert last["global_step"] == 6


@pytest.mark.no_cover
@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # the best by another
def test_changes_are_listed(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--trainer.max_epochs", 2, "--data.batch_size", 32, "--resume.every_n_steps", 1]
    assert _fit(trained, *words, "--checkpoint.monitor", "val/top5", "--seed_everything", 5) == 0
    assert (
        "places: not as in the checkpoint:\n"
        "  seed_everything: 3 in the checkpoint, 5 now\n"
        "  checkpoint.monitor: val/loss in the checkpoint, val/top5 now\n"
        "  data.batch_size: 16 in the checkpoint, 32 now\n"
        "  resume.every_n_steps: 2 in the checkpoint, 1 now\n"
        "  trainer.max_epochs: 1 in the checkpoint, 2 now\n"
    ) in capsys.readouterr().err


@pytest.mark.no_cover
def test_a_seed_that_is_given_changes_what_is_drawn(trained: Path, tmp_path: Path) -> None:
    losses = []
    for number, seed in enumerate(([], ["--seed_everything", 3], ["--seed_everything", 5])):
        assert _fit(trained, "--trainer.max_epochs", 2, *seed) == 0
        losses.append(read_metrics(tmp_path / "runs" / "fit" / str(number))[5, "train/loss"])
    assert losses[0] == losses[1] != losses[2]


def test_nothing_is_listed_when_nothing_changed(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("validate", "--ckpt_path", trained) == 0
    assert "in the checkpoint" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--model.net.width", 16], "model.net.width: 8 in the checkpoint, 16 now"),
        (["--model.num_classes", 10], "model.num_classes: 365 in the checkpoint, 10 now"),
        (
            ["--model.net", "places.models.ResNet"],
            "model.net.class_path: tests.networks.Tiny in the checkpoint, places.models.ResNet now",
        ),
    ],
)
def test_a_network_of_another_shape_is_refused_by_name(
    words: list[str], reason: str, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("validate", "--ckpt_path", trained, *words) == 2
    error = capsys.readouterr().err.partition("places: error: ")[2]
    assert f"does not fit the network: {reason}" in error
    assert len(error.splitlines()) <= 4


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ["--model.optimizer", "Adam"],
            "model.optimizer.class_path: torch.optim.SGD in the checkpoint, torch.optim.Adam now",
        ),
        (
            ["--model.decay_norms_and_biases", "true"],
            "model.decay_norms_and_biases: False in the checkpoint, True now",
        ),
    ],
)
def test_another_optimizer_is_refused_by_name(
    words: list[str],
    reason: str,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _fit(trained, *words) == 2
    error = capsys.readouterr().err.partition("places: error: ")[2]
    assert f"the state of the checkpoint's optimizer does not fit; {reason}" in error
    assert not (tmp_path / "runs").exists()


def test_settings_of_the_optimizer_are_obeyed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--trainer.max_epochs", 2, "--resume.every_n_steps", 1, "--resume.keep_all", "true"]
    words += ["--model.optimizer.weight_decay", 0.0]
    start = load_weights(trained / "checkpoints" / "last.ckpt")
    moves = []
    for number, rate in enumerate((0.1, 0.025)):
        assert _fit(trained, *words, "--model.optimizer.lr", rate) == 0
        folder = tmp_path / "runs" / "fit" / str(number) / "checkpoints"
        weights = load_weights(folder / "step-4.ckpt")
        moves.append({name: weights[name] - start[name] for name in start})
        (state,) = torch.load(folder / "last.ckpt", weights_only=True)["optimizer_states"]
        assert [group["lr"] for group in state["param_groups"]] == [rate, rate]
        assert [group["weight_decay"] for group in state["param_groups"]] == [0, 0]
    assert "  model.optimizer.lr: 0.1 in the checkpoint, 0.025 now\n" in capsys.readouterr().err
    for name in ("net.0.weight", "net.8.bias"):  # the momentum was kept
        torch.testing.assert_close(4 * moves[1][name], moves[0][name], rtol=1e-3, atol=1e-6)


def test_a_schedule_of_more_epochs_is_followed_at_once(trained: Path, tmp_path: Path) -> None:
    words = ["--trainer.max_epochs", 3, "--model.schedule", "cosine", "--resume.every_n_steps", 1]
    assert _fit(trained, *words, "--resume.keep_all", "true") == 0
    folder = tmp_path / "runs" / "fit" / "0" / "checkpoints"
    for step in (3, 4):
        (state,) = torch.load(folder / f"step-{step}.ckpt", weights_only=True)["optimizer_states"]
        rate = 0.05 * (1 + math.cos(math.pi * step / 9))
        assert [group["lr"] for group in state["param_groups"]] == pytest.approx([rate, rate])


def test_a_checkpoint_that_may_run_code_is_never_asked_for(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _fit(trained, "--weights_only", "false") == 2
    assert "--weights_only false would let a checkpoint run code" in capsys.readouterr().err


def test_damage_in_a_checkpoint_is_named(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = bytearray((trained / "checkpoints" / "last.ckpt").read_bytes())
    content[len(content) // 2] ^= 1  # in a weight
    (tmp_path / "damaged.ckpt").write_bytes(content)
    assert run("test", "--ckpt_path", "damaged.ckpt") == 2
    assert "places: error: cannot read checkpoint damaged.ckpt" in capsys.readouterr().err


def _best(checkpoint: Path) -> dict[str, Any]:
    callbacks = torch.load(checkpoint, weights_only=True)["callbacks"]
    (state,) = (state for name, state in callbacks.items() if name.startswith("BestCheckpoint"))
    best: dict[str, Any] = state
    return best


def test_the_best_is_brought_along(trained: Path, tmp_path: Path) -> None:
    # Twice as many classes right as there are pictures: no later network is better.
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    (name,) = (name for name in checkpoint["callbacks"] if name.startswith("BestCheckpoint"))
    state = checkpoint["callbacks"][name]
    state["best_model_score"] = state["kth_value"] = torch.tensor(2.0)
    state["best_k_models"] = dict.fromkeys(state["best_k_models"], torch.tensor(2.0))
    shutil.copytree(trained / "checkpoints", "copied")  # the best lies beside it
    torch.save(checkpoint, "copied/lucky.ckpt")
    words = ["--ckpt_path", "copied/lucky.ckpt", *MACHINE, "--trainer.max_epochs", "2"]
    assert main(["fit", *words]) == 0
    folder = tmp_path / "runs/fit/0/checkpoints"
    assert (folder / "best.ckpt").read_bytes() == (
        trained / "checkpoints" / "best.ckpt"
    ).read_bytes()
    assert _best(folder / "last.ckpt")["best_model_score"] == 2
    assert _best(folder / "last.ckpt")["best_model_path"] == "runs/fit/0/checkpoints/best.ckpt"


@pytest.mark.no_cover
def test_resume_points_are_written_by_the_clock(sample: Path, tmp_path: Path) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 1, "--resume.keep_all", "true"]
    words += ["--trainer.accumulate_grad_batches", 2, "--resume.every_minutes", 1e-9]
    assert run("fit", *words) == 0
    names = {path.name for path in (tmp_path / "runs/fit/0/checkpoints").iterdir()}
    assert names == {"best.ckpt", "last.ckpt", "previous.ckpt"} | {
        f"step-{step}.ckpt" for step in (0, 1, 2, 3)
    }


def test_a_run_that_diverges_stops_and_keeps_what_was_good(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 3, "--model.optimizer.lr", 1e25]
    assert run("fit", *words) == 2
    error = capsys.readouterr().err
    assert "places: error: the loss became NaN or infinite at step" in error
    assert "in a batch of 16 pictures:  " in error
    assert "the last resume point is from before:  --ckpt_path last" in error
    # Long before the first that is due by steps or time.
    checkpoint = torch.load(tmp_path / "runs/fit/0/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 0
    assert all(weight.isfinite().all() for weight in checkpoint["state_dict"].values())
    advice = ["--ckpt_path", "last", "--model.optimizer.lr", 0.1]
    assert run("fit", *words[:4], *advice) == 0


def test_no_resume_point_is_written_after_the_training_broke(sample: Path, tmp_path: Path) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 3, "--model.optimizer.lr", 1e25]
    assert run("fit", *words, "--resume.every_n_steps", 1, "--resume.keep_all", "true") == 2
    for path in tmp_path.rglob("*.ckpt"):
        weights = torch.load(path, weights_only=True)["state_dict"]
        assert all(weight.isfinite().all() for name, weight in weights.items()), path


def test_sums_of_an_older_version_go_on_in_the_middle_of_a_log(
    sample: Path, tmp_path: Path
) -> None:
    # Of three steps two are logged together, one is not yet.
    words = ["--data.root", sample, "--trainer.max_epochs", 1, "--resume.every_n_steps", 1]
    words += ["--resume.keep_all", "true"]
    whole = fit_in(tmp_path / "whole", *words)
    checkpoint = torch.load(whole / "checkpoints" / "step-3.ckpt", weights_only=True)
    sums = TrainingSums()
    sums.restore(checkpoint["training"]["sums"], 0, 1)
    means = sums.take_means(lambda own, reduce_op: own)
    old = torch.tensor([[16 * means["loss"], 16 * means["top1"], 16]])
    checkpoint["training"]["sums"] = old
    torch.save(checkpoint, tmp_path / "old.ckpt")
    resumed = fit_in(tmp_path / "resumed", *words, "--ckpt_path", tmp_path / "old.ckpt")
    metrics = read_metrics(whole)
    assert read_metrics(resumed) == {key: metrics[key] for key in metrics if key[0] >= 3}


@pytest.mark.no_cover
def test_a_checkpoint_of_an_older_version_resumes_and_says_what_differs(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["places"]["version"] = 1
    torch.save(checkpoint, tmp_path / "old.ckpt")
    words = ["--ckpt_path", "old.ckpt", "--trainer.max_epochs", "2"]
    assert main(["fit", *words, *MACHINE]) == 0
    assert "an older version wrote this checkpoint: dropout draws other" in capsys.readouterr().err
