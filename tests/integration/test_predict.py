import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from tests.data.drawn import drawn_picture
from tests.integration.stages import run

from places.categories import load_categories


def test_every_picture_has_its_row_whatever_it_is_called_and_whatever_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.new("RGB", (40, 50), "red").save(photos / "a.png")
    latin = os.fsdecode(os.fsencode(photos) + b"/caf\xe9.png")
    Image.new("RGB", (40, 50), "blue").save(latin)
    Image.new("RGB", (64, 64)).save(photos / "bad.avif")
    avif = (photos / "bad.avif").read_bytes()
    (photos / "bad.avif").write_bytes(avif.replace(b"iloc", b"free"))  # Pillow: RuntimeError
    (photos / "gone.jpg").symlink_to("nowhere")
    (photos / "phone.heic").write_bytes(b"ftypheic")
    os.mkfifo(photos / "pipe.jpg")
    for name in ("notes.txt", "paper.pdf", "film.mpg", "data.h5"):
        (photos / name).touch()
    words = ["--data", "ImageFiles", "--data.images", photos, "--data.image_size", "32"]
    assert run("predict", *words, "--random_weights=true", "--model.net=tests.networks.Tiny") == 1
    (file,) = tmp_path.rglob("predictions.csv")
    with file.open(encoding="utf-8", newline="") as opened:
        rows = {row["path"]: row for row in csv.DictReader(opened)}
    names = ["a.png", "bad.avif", "caf\uefe9.png", "gone.jpg", "phone.heic", "pipe.jpg"]
    assert list(rows) == [f"{photos}/{name}" for name in names]
    assert [bool(row["category_1"]) for row in rows.values()] == [True, False, True, *[False] * 3]
    assert [bool(row["error"]) for row in rows.values()] == [False, True, False, *[True] * 3]
    assert "not a readable picture: Failed to decode" in rows[f"{photos}/bad.avif"]["error"]
    assert rows[f"{photos}/gone.jpg"]["error"] == "a link to nothing"
    error = capsys.readouterr().err
    assert "6 pictures, 6 rows, 4 unreadable" in error
    assert "4 left out as no pictures: data.h5, film.mpg, notes.txt and 1 more" in error


def test_pictures_are_plain_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = os.fsdecode(b"caf\xe9")
    Path(folder).mkdir()
    for name in (f"{folder}/10.png", f"{folder}/9.png", "2024", "[1].jpg"):
        Image.new("RGB", (40, 50), "red").save(name, "PNG")
    Image.new("1", (1, 4000)).save("line.png")
    Path("list.txt").write_text("2024\n")
    words = ["--random_weights", "--data.image_size", "32", "--model.net=tests.networks.Tiny"]
    assert run("predict", folder, "[1].jpg", "@list.txt", "line.png", *words) == 0
    (file,) = tmp_path.rglob("predictions.csv")
    with file.open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    names = ["caf\uefe9/9.png", "caf\uefe9/10.png", "[1].jpg", "2024", "line.png"]
    assert [row["path"] for row in rows] == names
    assert all(row["category_1"] for row in rows)


def test_of_a_few_pictures_the_answer_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (40, 50), "red").save(name)
    words = ["--random_weights", "--data.image_size", "32", "--model.net=tests.networks.Tiny"]
    assert run("predict", "a.png", "b.png", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[6]] == ["a.png", "b.png"]
    (file,) = Path("runs").rglob("predictions.csv")
    with file.open(encoding="utf-8", newline="") as opened:
        row = next(csv.DictReader(opened))
    for rank in range(1, 6):
        category, chance = lines[rank].split()[:2]
        assert category == row[f"category_{rank}"]
        assert chance == f"{float(row[f'probability_{rank}']):.0%}"


@pytest.mark.parametrize("is_new", [True, False], ids=["as saved now", "as saved in 2017"])
def test_an_official_file_tells_its_network(
    capsys: pytest.CaptureFixture[str], is_new: bool
) -> None:
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=365).eval()
    weights = {f"module.{name}": value for name, value in net.state_dict().items()}
    content = {"epoch": 90, "arch": "resnet18", "state_dict": weights, "best_prec1": 54.7}
    file = "resnet18_places365.pth.tar"
    torch.save(content, file, _use_new_zipfile_serialization=is_new)
    picture = drawn_picture(256, 256)
    picture.save("a.png")
    assert run("predict", "a.png", "--ckpt_path", file) == 0
    image = torch.from_numpy(np.array(picture)[16:240, 16:240]).permute(2, 0, 1) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        chances = net(((image - mean[:, None, None]) / std[:, None, None])[None]).softmax(1)[0]
    (table,) = Path("runs").rglob("predictions.csv")
    with table.open(encoding="utf-8", newline="") as opened:
        row = next(csv.DictReader(opened))
    best = chances.topk(5)
    assert [row[f"category_{rank}"] for rank in range(1, 6)] == [
        load_categories()[label] for label in best.indices
    ]
    shown = [float(row[f"probability_{rank}"]) for rank in range(1, 6)]
    assert shown == pytest.approx(best.values.tolist(), abs=1e-5)
    torch.save({**content, "arch": "densenet161"}, file)
    capsys.readouterr()
    assert run("predict", "a.png", "--ckpt_path", file) == 2
    error = capsys.readouterr().err
    assert f"{file} does not fit the network DenseNet161" in error
    assert "it fits:  --model.net ResNet --model.net.depth 18" in error
