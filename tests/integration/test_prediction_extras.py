"""What `places predict` writes beside its table: features, and pictures sorted by category."""

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.integration.stages import run
from tests.integration.test_prediction_tables import (
    TINY,
    draw_pictures,
    error_of,
    interrupt,
    once,
    read_table,
)
from tests.networks import Tiny
from torch import nn

from places.cli.main import main

WORDS = ["photos", *TINY, "--data.batch_size", 4]
FEATURES = ["--predictions.embeddings", "features.npy"]
SORT = ["--predictions.sort_into", "sorted"]
TABLE = ["--predictions.file", "out.csv"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """21 pictures, of which one cannot be read."""
    folder = draw_pictures(tmp_path / "photos", 20)
    (folder / "5b.png").write_bytes(b"no picture")
    return folder


def _expected() -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """Return the features of the pictures in the table, by Pillow and torch."""
    torch.manual_seed(0)
    net = nn.Sequential(*list(Tiny(365))[:-1]).eval()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    rows = []
    for row in read_table(Path("out.csv")):
        if row["error"]:
            rows.append(np.full(16, np.nan, np.float32))
            continue
        pixels = np.array(Image.open(row["path"]))[2:34, 8:40]
        image = torch.from_numpy(pixels).permute(2, 0, 1) / 255
        with torch.inference_mode():
            features = net((image - mean[:, None, None])[None] / std[:, None, None])
        rows.append(features[0].numpy())
    return np.stack(rows)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_features_are_those_before_the_last_layer(photos: Path, dtype: str) -> None:
    words = [*FEATURES, "--predictions.embeddings_dtype", dtype]
    assert run("predict", *WORDS, *TABLE, *words) == 1
    values = np.load("features.npy", mmap_mode="r")
    assert isinstance(values, np.memmap)
    assert values.dtype == dtype
    assert values.shape == (21, 16)
    tolerance = 1e-5 if dtype == "float32" else 2e-3
    np.testing.assert_allclose(values, _expected(), rtol=tolerance, atol=tolerance)
    assert np.isnan(values).all(axis=1).tolist() == [
        bool(row["error"]) for row in read_table(Path("out.csv"))
    ]


def test_features_go_on_with_their_table(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", *WORDS, *TABLE, *FEATURES) == 1
    expected = Path("features.npy").read_bytes()
    words = [*WORDS, *FEATURES]
    for batch in (2, 5):  # in the middle, and after the last one
        for path in ("out.csv", "features.npy"):
            Path(path).unlink()
        with pytest.MonkeyPatch.context() as patch:
            interrupt(patch, batch)
            assert run("predict", *words, *TABLE) == 130
        num = min(4 * batch + 4, 21)
        assert np.load("features.npy").shape == (num, 16)
        with Path("features.npy").open("ab") as file:  # a batch more than in the table
            file.write(b"x" * 200)
        assert run("predict", *words, *TABLE) == 1
        assert Path("features.npy").read_bytes() == expected
    with pytest.MonkeyPatch.context() as patch:
        Path("out.csv").unlink()
        Path("features.npy").unlink()
        interrupt(patch, 2)
        assert run("predict", *words, *TABLE) == 130
    Path("features.npy").unlink()
    capsys.readouterr()
    assert run("predict", *words, *TABLE) == 2
    assert "cannot go on with features.npy: it is gone" in error_of(capsys)


def test_a_network_without_features_is_refused(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*once(*WORDS, "--model.net=tests.networks.Convolutional"), *TABLE]
    assert run("predict", *words, *FEATURES) == 2
    assert "needs a network with a linear head, and Convolutional has none" in error_of(capsys)
    assert run("predict", *words) == 1


def test_files_that_are_there_are_not_replaced(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("features.npy", np.arange(5))
    assert run("predict", *WORDS, *TABLE, *FEATURES) == 2
    assert "features.npy is there already" in error_of(capsys)
    assert np.load("features.npy").tolist() == [0, 1, 2, 3, 4]
    assert run("predict", *WORDS, *TABLE, *FEATURES, "--predictions.overwrite", "true") == 1
    assert np.load("features.npy").shape == (21, 16)


def test_a_wrong_ending_is_refused(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", *WORDS, "--predictions.embeddings", "f.npz") == 2
    assert "type:  --predictions.embeddings f.npy" in error_of(capsys)


def _sorted_files(folder: str = "sorted") -> dict[str, bytes]:
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.parametrize("by", ["link", "copy"])
def test_pictures_are_sorted_into_their_categories(
    by: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draw_pictures(photos / "more", 20)
    assert run("predict", *WORDS, *TABLE, *SORT, "--predictions.by", by) == 1
    files = _sorted_files()
    rows = [row for row in read_table(Path("out.csv")) if not row["error"]]
    entries = [json.loads(line) for line in Path("sorted/sorted.jsonl").read_text().splitlines()]
    assert len(files) == len(rows) + 1 == len(entries) + 1
    for row, entry in zip(rows, entries, strict=True):
        category = row["category_1"].replace("/", "-")
        assert entry["path"] == row["path"]
        assert entry["folder"] == category
        source, target = Path(row["path"]), Path("sorted", category, entry["name"])
        assert target.read_bytes() == source.read_bytes()
        assert target.samefile(source) == (by == "link")
        assert entry["name"] in (source.name, f"{source.stem} (2).png")
    assert "40 pictures sorted into sorted" in capsys.readouterr().err
    again = run("predict", *WORDS, *TABLE, *SORT, "--predictions.by", by)
    assert again == 1
    assert _sorted_files() == files


def test_without_hard_links_there_are_symbolic_ones(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    assert run("predict", *WORDS, *TABLE, *SORT) == 1
    links = list(Path("sorted").rglob("*.png"))
    assert len(links) == 20
    assert all(path.is_symlink() and path.resolve().parent == photos for path in links)


@pytest.mark.first_covers
@pytest.mark.parametrize(("by", "is_linked"), [("link", False), ("copy", True)])
def test_sorting_goes_on_as_if_it_had_not_been_interrupted(
    by: str, is_linked: bool, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_linked:
        monkeypatch.setattr(os, "link", _refuse_links)
    shutil.copytree(photos, photos / "more")  # the same pictures by the same names
    words = [*WORDS, *TABLE, *SORT, "--predictions.by", by]
    assert run("predict", *words) == 1
    expected = _sorted_files()
    for batch in (0, 9):
        shutil.rmtree("sorted")
        Path("out.csv").unlink()
        with pytest.MonkeyPatch.context() as patch:
            interrupt(patch, batch)
            assert run("predict", *words) == 130
        # As if killed before the table has the last batch.
        lines = Path("out.csv").read_text().splitlines(keepends=True)
        Path("out.csv").write_text("".join(lines[:-3]))
        assert run("predict", *words) == 1
        assert _sorted_files() == expected


def _refuse_links(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


def test_nothing_is_replaced_and_nothing_else_taken_back(photos: Path) -> None:
    assert run("predict", *WORDS, *TABLE, *SORT) == 1
    files = _sorted_files()
    shutil.rmtree("sorted")
    name = next(name for name in files if name.endswith("/3.png"))
    Path("sorted", name).parent.mkdir(parents=True)
    Path("sorted", name).write_text("mine")
    Path("sorted/note.txt").write_text("mine")
    assert run("predict", *WORDS, *TABLE, *SORT, "--predictions.overwrite", "true") == 1
    assert Path("sorted", name).read_text() == "mine"
    assert Path("sorted", name.replace("3.png", "3 (2).png")).is_file()
    assert run("predict", *WORDS, *TABLE, *SORT, "--predictions.overwrite", "true") == 1
    assert Path("sorted", name).read_text() == "mine"
    assert not Path("sorted", name.replace("3.png", "3 (3).png")).exists()
    assert Path("sorted/note.txt").is_file()


@pytest.mark.parametrize("words", [["photos"], ["photos/**/*.png"], ["."]])
def test_a_folder_among_the_pictures_is_refused(
    words: list[str], photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*words, *TINY, *TABLE, "--predictions.sort_into", "photos/sorted"]
    assert main(["predict", *given]) == 2
    assert "predictions.sort_into photos/sorted lies in " in error_of(capsys)


def test_shards_are_not_sorted(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("predict", "--data.root", sample, *TINY, *SORT) == 2
    assert "predictions.sort_into needs picture files, not shards" in error_of(capsys)


def test_names_may_be_strange_and_long() -> None:
    names = [os.fsdecode(b"caf\xe9.png"), "a\nb.png", "x" * 251 + ".png", "\N{SNOWMAN}.png"]
    for folder in ("a", "b"):
        Path(folder).mkdir()
        for name in names:
            Image.new("RGB", (40, 40)).save(f"{folder}/{name}", "PNG")
    words = ["a", "b", *TINY, *TABLE, *SORT, "--predictions.by", "copy"]
    assert main(["predict", *words]) == 0
    (category,) = (path for path in Path("sorted").iterdir() if path.is_dir())
    found = sorted(path.name for path in category.iterdir())
    numbered = [f"{name[:-4]} (2).png" for name in (*names[:2], "x" * 247 + ".png", names[3])]
    assert found == sorted([*names, *numbered])
