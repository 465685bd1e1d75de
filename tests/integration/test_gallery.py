"""The page that `places predict` leaves: what it holds of each picture, and when there is none."""

import base64
import csv
import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from tests.data.drawn import drawn_picture
from tests.failing_files import FailingFiles
from tests.integration.stages import run
from tests.networks import Tiny
from tests.reports.gallery.embedded import embedded, sheets_of

from places.categories import load_categories
from places.console import printable
from places.reports.gallery import Gallery
from places.reports.prediction_row import PredictionRow

NUM_PICTURES = 37
SIZES = [*("--data.image_size", "64", "--data.resize_size", "72"), "--data.batch_size=4"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Pictures, two of which cannot be read, and one whose name is hard to write."""
    folder = tmp_path / "my photos"
    folder.mkdir()
    for number in range(NUM_PICTURES):
        drawn_picture(100 + number, 80, number).save(folder / f"{number:02}.png")
    (folder / "05.png").write_bytes((folder / "04.png").read_bytes()[:300])
    (folder / "20.png").write_text("nothing")
    os.rename(folder / "07.png", os.fsencode(folder) + b"/07 <b>#\xff.png")  # noqa: PTH104 - bytes
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights with which pictures differ in what is seen in them."""
    torch.manual_seed(7)
    net = Tiny(365)
    _head(net).weight.data *= 40
    path = tmp_path / "tiny.pth"
    torch.save(net.state_dict(), path)
    return path


def _head(net: Tiny) -> torch.nn.Linear:
    head = net[-1]
    assert isinstance(head, torch.nn.Linear)
    return head


def predict(photos: Path, weights: Path, *words: object) -> int:
    net = ["--model.net=tests.networks.Tiny", f"--model.weights={weights}"]
    return run("predict", photos, *net, *SIZES, *words)


def crop_of(path: Path) -> npt.NDArray[np.uint8]:
    """Return what the network sees of a picture, as torchvision's reference has it."""
    with Image.open(path) as image:
        scale = 72 / min(image.size)
        size = int(image.width * scale), int(image.height * scale)
        resized = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - 64) / 2) for side in resized.size)
    return np.asarray(resized.crop((left, top, left + 64, top + 64)))


def maps_by_hand(weights: Path, crops: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
    """Return the class activation maps of the best class, 0..255: a sum over maps by weights."""
    net = Tiny(365)
    net.load_state_dict(torch.load(weights))
    net.eval()
    images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (images - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        maps = torch.nn.Sequential(*list(net)[:6])(normalised)
        best = net(normalised).argmax(dim=1)
        places = torch.stack(
            [
                (_head(net).weight[label][:, None, None] * seen).sum(0)
                for label, seen in zip(best, maps, strict=True)
            ]
        )
    low, high = places.amin((1, 2), keepdim=True), places.amax((1, 2), keepdim=True)
    return 255 * (places - low) / (high - low)


def test_the_page_says_what_the_table_says_and_shows_what_the_network_saw(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(photos, weights) == 1
    (page,) = tmp_path.rglob("*.html")
    assert page.name == "gallery.html"
    assert f"a page to look at: {page.relative_to(tmp_path)}" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.unfinished"))
    with page.with_name("predictions.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    data, sheets = embedded(page), sheets_of(page)
    paths = sorted(photos.iterdir())
    assert [row[0] for row in data["rows"]] == [printable(str(path)) for path in paths]
    names, crops, grids = load_categories(), [], []
    for path, told, row in zip(paths, table, data["rows"], strict=True):
        assert row[1].startswith("./../../../my%20photos/")
        if told["error"]:
            assert row[4] == told["error"]
            continue
        assert [str(side) for side in row[2:4]] == [told["width"], told["height"]]
        indoor, labels, probabilities, tile, grid = row[4:]
        for rank in range(5):
            assert names[labels[rank]] == told[f"category_{rank + 1}"]
            told_here = float(told[f"probability_{rank + 1}"])
            assert probabilities[rank] / 1e6 == pytest.approx(told_here, abs=1e-6)
        assert indoor / 1e6 == pytest.approx(float(told["indoor_probability"]), abs=1e-6)
        crops.append(crop_of(path))
        grids.append(np.frombuffer(base64.b64decode(grid), np.uint8).reshape(data["page"]["grid"]))
        line, column = divmod(tile % 25, 5)
        box = (64 * column, 64 * line, 64 * column + 64, 64 * line + 64)
        shown = np.asarray(sheets[tile // 25].convert("RGB").crop(box), float)
        assert np.abs(shown - crops[-1]).mean() < 9, "a JPEG and a WebP of it"
    assert len(crops) == NUM_PICTURES - 2
    expected = maps_by_hand(weights, crops)
    assert expected.shape == (len(crops), 15, 15)
    assert np.abs(np.stack(grids) - expected.numpy()).max() < 3
    text = page.read_text("utf-8")
    assert "<li>Tiny (width=8)</li>" in text
    assert f'<li class="path">{weights}</li>' in text


def test_the_page_is_made_where_it_is_wanted(photos: Path, weights: Path, tmp_path: Path) -> None:
    predict(photos, weights, "--predictions.gallery", "false")
    assert not list(tmp_path.rglob("*.html*"))
    for name in ("a.csv", "b.jsonl", "predictions.csv"):
        predict(photos, weights, "--predictions.file", Path("out", name))
    pages = sorted(path.name for path in tmp_path.rglob("*.html"))
    assert pages == ["a.csv.gallery.html", "b.jsonl.gallery.html", "gallery.html"]
    assert {path.parent for path in tmp_path.rglob("*.html")} == {tmp_path / "out"}
    assert 'href="./b.jsonl"' in Path("out", "b.jsonl.gallery.html").read_text("utf-8")


def test_a_run_that_was_interrupted_has_the_same_page_in_the_end(
    photos: Path, weights: Path, tmp_path: Path
) -> None:
    words = ("--predictions.file", "out/table.csv")
    assert predict(photos, weights, *words) == 1
    (tmp_path / "out").rename(tmp_path / "whole")
    add, num_calls = Gallery.add, 0

    def add_and_fail(gallery: Gallery, rows: Sequence[PredictionRow]) -> None:
        nonlocal num_calls
        add(gallery, rows)
        num_calls += 1
        if num_calls == 5:  # after the page has them, before the table has
            raise RuntimeError("the power goes")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gallery, "add", add_and_fail)
        with pytest.raises(RuntimeError, match="the power goes"):
            predict(photos, weights, *words)
    assert not Path("out/table.csv.gallery.html").exists()
    assert Path("out/table.csv.gallery.html.unfinished").is_file()
    assert predict(photos, weights, *words) == 1
    pages = [Path(folder, "table.csv.gallery.html") for folder in ("whole", "out")]
    texts = [re.sub(r"<time.*?</time>", "", page.read_text("utf-8")) for page in pages]
    assert texts[0] == texts[1]
    # Once more: all is there, and stays.
    before = pages[1].read_bytes()
    assert predict(photos, weights, *words) == 1
    assert pages[1].read_bytes() == before


def test_a_page_that_cannot_be_written_ends_no_run(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        FailingFiles(patch, "gallery.html", errno.ENOSPC)
        assert predict(photos, weights) == 1
    error = capsys.readouterr().err
    assert error.count("gallery.html is not written: cannot write") == 1
    assert "a page to look at" not in error
    (table,) = tmp_path.rglob("predictions.csv")
    with table.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == NUM_PICTURES


def test_the_page_of_a_network_without_maps_has_none(photos: Path, tmp_path: Path) -> None:
    words = ["--model.net=places.models.VGG", "--model.net.depth=11", "--random_weights"]
    size = ["--data.image_size=32", "--data.resize_size=32"]
    (photos / "05.png").unlink()
    assert run("predict", photos / "01.png", photos / "02.png", *words, *size) == 0
    (page,) = tmp_path.rglob("gallery.html")
    data = embedded(page)
    assert data["page"]["grid"] is None
    assert [row[8] for row in data["rows"]] == ["", ""]
    assert "<li>VGG-11 (batch_norm)</li>" in page.read_text("utf-8")
