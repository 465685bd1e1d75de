"""A linear probe: the last layer learns, all else stays as the file of weights has it."""

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from tests.integration.stages import FIT, fit_in, load_weights, run
from tests.networks import Dropping, Tiny
from torch import Tensor, nn

from places.classifier import SceneClassifier
from places.cli.main import main

HEAD = {"8.weight", "8.bias"}  # of the network of these tests
MIDDLE = 8  # a step in the middle of the second epoch, of 6 steps


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of another number of classes, with statistics as a training leaves them."""
    torch.manual_seed(5)
    net = Tiny(1000)
    for _ in range(3):
        net(2 * torch.randn(8, 3, 32, 32) + 1)
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    torch.save(net.state_dict(), path)
    return path


def _probe(sample: Path, weights: Path) -> list[object]:
    words: list[object] = ["--data.root", sample, "--trainer.max_epochs", 2]
    words += ["--model.weights", weights, "--model.replace_head", "true"]
    words += ["--model.train_only_head", "true", "--model.average_decay", 0.9]
    words += ["--model.augment.mixup", 0.4, "--model.optimizer.lr", 0.5]
    return [*words, "--resume.every_n_steps", MIDDLE, "--resume.keep_all", "true"]


@pytest.fixture(scope="module")
def probe(sample: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of a linear probe."""
    return fit_in(tmp_path_factory.mktemp("probe"), *_probe(sample, weights))


def test_only_the_last_layer_learns(probe: Path, weights: Path) -> None:
    before = torch.load(weights, weights_only=True)
    checkpoint = torch.load(probe / "checkpoints" / "last.ckpt", weights_only=True)
    after = checkpoint["state_dict"]
    for prefix in ("net.", "average."):
        for name in before.keys() - HEAD:
            assert torch.equal(after[prefix + name], before[name]), name
    assert not torch.equal(after["net.8.bias"], after["average.8.bias"])
    (optimizer,) = checkpoint["optimizer_states"]
    shapes = {tuple(state["momentum_buffer"].shape) for state in optimizer["state"].values()}
    assert shapes == {(365, 16), (365,)}
    assert [len(group["params"]) for group in optimizer["param_groups"]] == [1, 1]


def test_resume_is_exact_and_takes_the_probe_from_the_checkpoint(
    probe: Path, sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = probe / "checkpoints" / f"step-{MIDDLE}.ckpt"
    assert run("fit", "--data.root", sample, "--ckpt_path", step) == 0
    assert "no --model.weights was given" not in capsys.readouterr().err
    (folder,) = (tmp_path / "runs").glob("*/0")
    expected, got = (load_weights(f / "checkpoints" / "last.ckpt") for f in (probe, folder))
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_a_probe_cannot_go_on_as_a_training_of_all_layers(
    probe: Path, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--ckpt_path", probe, "--model.train_only_head", "false"]
    assert run("fit", *words) == 2
    assert "model.train_only_head: True in the checkpoint, False now" in capsys.readouterr().err


def test_how_many_parameters_are_trained_is_said(
    sample: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--model.train_only_head", "true", "--trainer.fast_dev_run", 1]
    assert run("fit", *words) == 0
    whole = sum(p.numel() for p in Tiny(365).parameters())
    head = 365 * 16 + 365
    line = f"places: {head:,} parameters of the last layer are trained, {whole - head:,} stay"
    error = capsys.readouterr().err
    assert f"{line}, as the network makes them: no --model.weights was given\n" in error
    assert run("fit", *words, "--model.weights", weights, "--model.replace_head", "true") == 0
    assert f"{line}\n" in capsys.readouterr().err


def test_a_network_without_a_last_linear_layer_is_refused(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--model.net", "tests.networks.Convolutional", "--model.train_only_head", "true"]
    assert run("fit", "--data.root", sample, *words) == 2
    assert "trains the last nn.Linear, and Convolutional has none" in capsys.readouterr().err


def _batch(num: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(num)
    image = torch.randint(0, 256, (num, 3, 32, 32), dtype=torch.uint8, generator=generator)
    label = torch.randint(0, 365, (num,), generator=generator)
    return {
        "image": image,
        "label": label,
        "weight": torch.ones(num),
        "flip": torch.zeros(num, dtype=torch.bool),
    }


@pytest.mark.parametrize("network", [Tiny, Dropping])
def test_the_gradient_is_that_of_a_linear_classifier_on_fixed_features(
    network: type[nn.Sequential],
) -> None:
    torch.manual_seed(2)
    model = SceneClassifier(network, train_only_head=True, channels_last=False)
    features: list[Tensor] = []
    net = model.net
    assert isinstance(net, nn.Sequential)
    net[-1].register_forward_pre_hook(lambda _, given: features.append(given[0]))
    batch = _batch(6)
    model.eval()
    model.train()
    assert [module for module in net.modules() if module.training] == [net[-1]]
    torch.autograd.backward(model.training_step(batch, 0))
    assert not features[0].requires_grad  # nothing is kept for a backward pass through the rest
    assert [n for n, p in net.named_parameters() if p.grad is not None] == [
        f"{len(net) - 1}.weight",
        f"{len(net) - 1}.bias",
    ]
    # By hand: softmax minus truth, times features that do not depend on the batch.
    with torch.no_grad():
        mean = 255 * torch.tensor([0.485, 0.456, 0.406])[:, None, None]
        std = 255 * torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        rest = nn.Sequential(*list(net.eval())[:-1])
        apart = [rest(((image - mean) / std)[None]) for image in batch["image"]]
        fixed = torch.cat(apart)
        torch.testing.assert_close(features[0], fixed)
        error = net[-1](fixed).softmax(dim=1) - F.one_hot(batch["label"], 365)
    head = net[-1]
    assert isinstance(head, nn.Linear)
    torch.testing.assert_close(head.weight.grad, error.T @ fixed / 6, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(head.bias.grad, error.mean(dim=0), rtol=1e-4, atol=1e-6)


COLOURS = {"arch": (200, 60, 50), "castle": (40, 170, 60), "church/outdoor": (50, 60, 210)}


def _draw(folder: Path, name: str, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for category, colour in COLOURS.items():
        noise = np.random.default_rng(seed).integers(-40, 40, (50, 60, 3))
        pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
        path = folder / (category if name else ".") / f"{name or category.replace('/', '-')}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


@pytest.mark.no_cover
@pytest.mark.slow
def test_folders_of_ones_own_are_packed_trained_on_and_told_apart(tmp_path: Path) -> None:
    for number in range(9):
        _draw(tmp_path / "mine" / ("val" if number == 8 else "train"), f"{number}", number)
    torch.manual_seed(4)
    torch.save(torchvision.models.resnet18().state_dict(), "resnet18.pth")
    for split in ("train", "val"):
        assert main(["pack", f"mine/{split}", "--root", "data/mine", "--split", split]) == 0
    words = ["fit", "--config", "linear_probe.yaml", "--model.weights", "resnet18.pth"]
    words += ["--data.root", "data/mine", "--data.batch_size", "8", "--model.net.depth", "18"]
    words += ["--data.image_size", "32", "--data.resize_size", "36", "--trainer.max_epochs", "12"]
    cpu = ["--trainer.accelerator", "cpu"]
    assert main([*words, *cpu]) == 0
    _draw(tmp_path / "holiday", "", 99)
    assert main(["predict", "holiday", "--ckpt_path", "runs/linear_probe/0", *cpu]) == 0
    (table,) = (tmp_path / "runs").rglob("predictions.csv")
    with table.open(encoding="utf-8", newline="") as file:
        found = {Path(row["path"]).stem: row["category_1"] for row in csv.DictReader(file)}
    assert found == {category.replace("/", "-"): category for category in COLOURS}


@pytest.mark.no_cover
@pytest.mark.slow
def test_two_processes_train_the_same_last_layer(
    probe: Path, sample: Path, weights: Path, tmp_path: Path
) -> None:
    # Batch norms would take the statistics of one process each, were they in training mode.
    words = [*_probe(sample, weights), "--trainer.devices", 2, "--trainer.strategy", "ddp"]
    command = [sys.executable, "-m", "places", "fit", *FIT, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    paths = [str(Path(__file__).parents[2]), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    command += ["--trainer.default_root_dir", tmp_path]
    done = subprocess.run(
        [str(word) for word in command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "unused" not in done.stderr
    one, two = (
        load_weights(folder / "checkpoints" / "last.ckpt") for folder in (probe, tmp_path / "fit/0")
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=name)
