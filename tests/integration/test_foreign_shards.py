"""Shards of others through all four stages, once they are indexed."""

import csv
import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tests.data.foreign import expected_of, picture
from tests.data.packing.official import write_tar
from tests.integration.stages import fit_in, load_weights, run
from tests.networks import Tiny
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

from places.categories import load_categories
from places.cli.main import main

NORMALIZE = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TRANSFORM = Compose([Resize(36), CenterCrop(32), ToTensor(), NORMALIZE])
ENDINGS = ("jpg", "PNG", "webp", "ppm", "JPEG")


def label_of(number: int) -> bytes:
    """A label as a number, a number with zeros before it, or a name."""
    label = number % 4
    return (str(label), f"{label:03d}", load_categories()[label])[number % 3].encode()


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards with odd names, pictures of all formats and labels of all kinds, indexed."""
    folder = tmp_path_factory.mktemp("foreign")
    for split, sizes in (("train", (20, 12)), ("val", (9, 8))):
        first = 0
        for shard, num_samples in enumerate(sizes):
            files = {}
            for number in range(first, first + num_samples):
                ending = ENDINGS[number % len(ENDINGS)]
                files[f"x/{number:04d}.{ending}"] = picture(number, ending)
                files[f"x/{number:04d}.cls"] = label_of(number)
            first += num_samples
            write_tar(folder / f"scenes_{split}_{shard}.tar", files)
        words = ["index", str(folder), "--root", str(folder / "root"), "--split", split]
        assert main(words) == 0
    return folder


@pytest.fixture(scope="module")
def trained(indexed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    words = ("--data.root", indexed / "root", "--trainer.max_epochs", 1)
    return fit_in(root, *words) / "checkpoints" / "last.ckpt"


def guesses(trained: Path, indexed: Path) -> tuple[list[str], list[int], torch.Tensor]:
    """Keys, labels and probabilities of the val split by webdataset, Pillow and torchvision."""
    network = Tiny(365).eval()
    weights = load_weights(trained)
    network.load_state_dict({key.removeprefix("net."): value for key, value in weights.items()})
    samples = expected_of(sorted(indexed.glob("scenes_val_*.tar")))
    images = [TRANSFORM(Image.open(io.BytesIO(data)).convert("RGB")) for _, data, _ in samples]
    with torch.inference_mode():
        probabilities = network(torch.stack(images)).softmax(1)
    return [key for key, _, _ in samples], [label for _, _, label in samples], probabilities


def test_scores_and_predictions_are_those_of_webdataset_and_torchvision(
    trained: Path, indexed: Path, tmp_path: Path
) -> None:
    keys, labels, probabilities = guesses(trained, indexed)
    assert run("test", "--ckpt_path", trained) == 0
    [result] = tmp_path.rglob("result.json")
    scores = json.loads(result.read_text())
    hits = (probabilities.argmax(1) == torch.tensor(labels)).sum().item()
    assert scores["num_images"] == 17
    assert scores["scores"]["top1"] == pytest.approx(hits / 17)
    assert run("predict", "--ckpt_path", trained, "--data.predict_split", "val") == 0
    [file] = tmp_path.rglob("predictions.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [row["path"] for row in rows] == keys
    shown = [float(row["probability_1"]) for row in rows]
    assert shown == pytest.approx(probabilities.max(1).values.tolist(), abs=1e-5)


def test_training_without_any_label_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{number}.jpg": picture(number) for number in range(16)}
    for split in ("train", "val"):
        write_tar(tmp_path / "data" / f"{split}-0.tar", files)
        assert main(["index", str(tmp_path / "data"), "--split", split]) == 0
    assert run("fit", "--data.root", tmp_path / "data", "--trainer.max_epochs", 1) == 2
    error = capsys.readouterr().err
    assert "no picture of split 'train' in" in error
    assert "--label_key KEY" in error
