import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from tests.data.drawn import drawn_picture
from tests.integration.stages import MACHINE, fit_in, read_config, run
from torch import Tensor

from places.categories import load_categories

SMALL = ["--data.image_size", "32", "--data.resize_size", "36"]


def _draw(num: int) -> None:
    Path("photos").mkdir()
    for number in range(num):
        drawn_picture(48 + number, 64).save(f"photos/{number}.png")


def _rows(folder: Path) -> list[dict[str, str]]:
    (file,) = folder.rglob("predictions.csv")
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def _pixels(path: str) -> Tensor:
    """Return a picture as torchvision and Pillow prepare it for the network."""
    transforms = torchvision.transforms
    picture = transforms.CenterCrop(32)(transforms.Resize(36)(Image.open(path)))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    return (pixels - mean[:, None, None]) / std[:, None, None]


def test_answers_are_those_of_the_network_with_its_batch_norms(tmp_path: Path) -> None:
    _draw(5)
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=365)
    with torch.no_grad():  # statistics as after a training
        for _ in range(20):
            net(torch.randn(8, 3, 32, 32) * 2 + 1)
    torch.save(net.state_dict(), "weights.pt")
    words = ["--model.weights", "weights.pt", "--model.net.depth", 18, *SMALL]
    assert run("predict", "photos", *words) == 0
    rows = _rows(tmp_path)
    assert len(rows) == 5
    with torch.inference_mode():
        images = torch.stack([_pixels(row["path"]) for row in rows])
        chances = net.eval()(images).softmax(1).topk(5)
    for row, labels, values in zip(rows, chances.indices, chances.values, strict=True):
        names = [load_categories()[label] for label in labels]
        assert [row[f"category_{rank}"] for rank in range(1, 6)] == names
        shown = [float(row[f"probability_{rank}"]) for rank in range(1, 6)]
        assert shown == pytest.approx(values.tolist(), abs=1e-5)


@pytest.mark.first_covers
@pytest.mark.parametrize("stored", ["true", "false", "null"])
def test_whether_to_compile_is_not_taken_over_from_the_training(
    sample: Path, tmp_path: Path, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not with the compiler: it is about the config.
    monkeypatch.setattr(torch.nn.Module, "compile", lambda *_, **__: None)
    words = ["--data.root", sample, "--trainer.limit_train_batches", 2, "--model.compile", stored]
    folder = fit_in(tmp_path, *words, "--trainer.max_epochs", 1, "--trainer.limit_val_batches", 1)
    _draw(3)
    for number, choice in enumerate([[], ["--model.compile", "false"]]):
        root = Path(f"answers{number}")
        words = ["--ckpt_path", folder, "--trainer.default_root_dir", root, *choice]
        assert run("predict", "photos", *words) == 0
        (config,) = root.rglob("config.yaml")
        arguments = read_config(config.parent)["model"]["init_args"]
        assert arguments["compile"] is (False if choice else None)
    words = ["--ckpt_path", folder, "--trainer.default_root_dir", "scores", "--data.root", sample]
    assert run("validate", *words) == 0
    (config,) = Path("scores").rglob("config.yaml")
    taken_over = {"true": True, "false": False, "null": None}[stored]
    assert read_config(config.parent)["model"]["init_args"]["compile"] is taken_over


@pytest.mark.slow
def test_without_a_compiler_predict_says_so_and_goes_on(tmp_path: Path) -> None:
    _draw(3)
    words = [*MACHINE, *SMALL, "--model.net", "tests.networks.Tiny", "--random_weights"]
    variables = {"CXX": "/no/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    result = subprocess.run(
        [sys.executable, "-m", "places", "predict", "photos", *words, "--model.compile=true"],
        env={**os.environ, **variables, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "the network runs without the compiler, which failed: " in result.stderr
    assert len(_rows(tmp_path)) == 3
    assert "Traceback" not in result.stderr


def test_large_jpegs_are_decoded_smaller_unless_they_are_to_be_exact(tmp_path: Path) -> None:
    Path("photos").mkdir()
    for number in range(3):
        drawn_picture(1600, 1200, seed=number).save(f"photos/{number}.jpg", quality=92)
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=365)
    torch.save(net.state_dict(), "weights.pt")
    words = ["--model.weights", "weights.pt", "--model.net.depth", 18, *SMALL]
    tables = []
    for name, choice in (("fast", []), ("exact", ["--data.exact", "true"])):
        root = tmp_path / name
        more = ["--trainer.default_root_dir", root, *choice]
        data = ["--data", "ImageFiles", "--data.images", "photos"]
        assert run("predict", *data, *words, *more) == 0
        tables.append(_rows(root))
    fast, exact = tables
    with torch.inference_mode():
        chances = net.eval()(torch.stack([_pixels(row["path"]) for row in exact])).softmax(1)
    for row, near, values in zip(exact, fast, chances.topk(5).values, strict=True):
        shown = [float(row[f"probability_{rank}"]) for rank in range(1, 6)]
        assert shown == pytest.approx(values.tolist(), abs=1e-5)
        assert row["category_1"] == near["category_1"]
        assert shown[0] == pytest.approx(float(near["probability_1"]), abs=0.01)
