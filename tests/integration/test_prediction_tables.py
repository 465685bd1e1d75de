"""The tables of `places predict`: as others read them, whenever it ends, and going on."""

import contextlib
import csv
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from PIL import Image
from tests.integration.stages import CHILD, fit_in, options_of, run, run_apart, run_together
from tests.networks import Tiny

from places.categories import load_categories, load_settings
from places.cli.main import main
from places.data import image_files
from places.data.streaming.picture_files import decode_with_size
from places.reports.prediction_row import PredictionRow
from places.reports.prediction_run import PredictionRun
from places.reports.tables import open_table

TINY = [
    *("--random_weights", "--model.net=tests.networks.Tiny", "--data.image_size=32"),
    *("--data.resize_size=36", "--predictions.gallery=false"),
]
FORMATS = ["csv", "jsonl", "parquet"]
HOW = "the same command goes on"


def draw_pictures(folder: Path, num: int) -> Path:
    """Make small pictures that a network tells apart."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0)
    for number in range(num):
        colours = noise.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        Image.fromarray(colours).resize((48, 36)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """21 pictures, of which one cannot be read."""
    return _photos(tmp_path / "photos")


def _photos(folder: Path) -> Path:
    draw_pictures(folder, 20)
    (folder / "5b.png").write_bytes(b"no picture")
    return folder


class Made(NamedTuple):
    """A table that a run made, with all its files by the ends of their names."""

    files: dict[str, bytes]

    def put(self, table: str | Path) -> Path:
        """Write them under another name into the working folder."""
        for end, content in self.files.items():
            Path(f"{table}{end}").write_bytes(content)
        return Path(table)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """Tables of `photos`, each made once: whole ones, or with the rows of some batches."""

    @functools.cache
    def make(ending: str, num_batches: int | None = None) -> Made:
        with contextlib.chdir(tmp_path_factory.mktemp("made")), pytest.MonkeyPatch.context() as m:
            _photos(Path("photos"))
            if num_batches is not None:
                interrupt(m, num_batches - 1)
            status = run("predict", *_words(f"out.{ending}"))
            assert status == (1 if num_batches is None else 130)
            paths = Path().glob("out.*")
            return Made(
                {path.name.removeprefix(f"out.{ending}"): path.read_bytes() for path in paths}
            )

    return make


def _words(table: str | Path, *more: object) -> list[object]:
    return once("photos", *TINY, "--data.batch_size=4", f"--predictions.file={table}", *more)


def once(*words: object) -> list[object]:
    """Return a command line with the last of each option that is written as `--name=value`."""
    names = [str(word).partition("=")[0] for word in words]
    is_option = [name.startswith("--") for name in names]
    return [
        word
        for number, word in enumerate(words)
        if not is_option[number] or names[number] not in names[number + 1 :]
    ]


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    """Return the error that was said, which has at most four lines."""
    error = capsys.readouterr().err.partition("places: error: ")[2]
    assert 0 < len(error.splitlines()) <= 4, error
    return error


NAMES = [
    *("a,b.png", 'say "hi".png', "carriage\rreturn.png", "line\nfeed.png", "both\r\n.png"),
    *("=1+1.png", "+a.png", "-b.png", "@c.png", "\t=d.png", "'=e.png", "\N{SNOWMAN}\U0001f600.png"),
    *(" blank.png", "back\\slash\\n.png", "\u2028separator.png", "\x1b[31mred.png", "NA.png"),
    *(os.fsdecode(b"caf\xe9.png"), "\u202eabc.png", "semi;colon.png", "tab\tin.png"),
]


@pytest.fixture
def strange(tmp_path: Path) -> list[str]:
    """Pictures with all those names in the working folder; their names as UTF-8 holds them."""
    for number, name in enumerate(NAMES):
        Image.new("RGB", (40 + number, 50), (10 * number, 0, 0)).save(name, "PNG")
    return [name.replace("\udce9", "\uefe9") for name in NAMES]


def _meant(cell: str) -> str:
    """Take the apostrophe away that keeps spreadsheets from computing, as the docs say."""
    return cell[1:] if cell[0] == "'" and cell.lstrip("'")[:1] in tuple("=+-@\t\r\n") else cell


@pytest.mark.no_cover
def test_csv_is_read_alike_by_everybody(strange: list[str]) -> None:
    assert main(["predict", ".", *TINY, "--predictions.file", "out.csv"]) == 0
    rows = read_table(Path("out.csv"))
    paths = [row["path"] for row in rows]
    assert sorted(map(_meant, paths)) == sorted(strange)
    assert not [path for path in paths if path.startswith(tuple("=+-@\t\r"))]
    by_pandas = pd.read_csv("out.csv")
    assert by_pandas["path"].tolist() == paths
    by_polars = pl.read_csv("out.csv")
    assert by_polars["path"].to_list() == paths
    for name in rows[0]:
        text = [row[name] for row in rows]
        if name.startswith(("category", "indoor_or")):
            assert by_pandas[name].tolist() == by_polars[name].to_list() == text
        elif name not in ("path", "error"):
            numbers = list(map(float, text))
            assert by_pandas[name].tolist() == by_polars[name].to_list() == numbers
    assert by_pandas["error"].isna().all()
    assert by_polars["error"].is_null().all()
    assert by_pandas["index_1"].dtype == "int64"


@pytest.mark.no_cover
def test_names_that_are_numbers_stay_text_if_one_says_so() -> None:
    for name in ("007", "2024"):
        Image.new("RGB", (40, 50)).save(name, "PNG")
    assert main(["predict", "007", "2024", *TINY, "--predictions.file", "out.csv"]) == 0
    assert pl.read_csv("out.csv", schema_overrides={"path": pl.String})["path"].to_list() == [
        "007",
        "2024",
    ]
    assert pd.read_csv("out.csv", dtype={"path": str})["path"].tolist() == ["007", "2024"]


def test_all_formats_say_the_same(strange: list[str], tmp_path: Path) -> None:
    Path("bad.png").write_bytes(b"")
    for ending in FORMATS:
        assert main(["predict", ".", *TINY, "--predictions.file", f"{ending}/out.{ending}"]) == 1
    rows = read_table(Path("csv/out.csv"))
    lines = Path("jsonl/out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    objects = [json.loads(line, parse_constant=pytest.fail) for line in lines]
    frame = pl.read_parquet("parquet/out.parquet")
    assert frame.columns == list(rows[0])
    assert pd.read_parquet("parquet/out.parquet").shape == frame.shape
    assert len(rows) == len(objects) == len(frame) == len(strange) + 1
    for row, found, cells in zip(rows, objects, frame.to_dicts(), strict=True):
        assert _meant(row["path"]) == found["path"] == cells["path"]
        assert row["error"] == (found["error"] or "") == (cells["error"] or "")
        assert row["indoor_or_outdoor"] == (found["indoor_or_outdoor"] or "")
        for name in ("width", "height"):
            assert row[name] == str(found[name] or "") == str(cells[name] or "")
        for rank in range(5 if not found["error"] else 0):
            names = [f"{name}_{rank + 1}" for name in ("category", "index", "probability")]
            in_lists = [found[name][rank] for name in ("categories", "indices", "probabilities")]
            category, index, probability = (row[name] for name in names)
            assert [category, int(index), float(probability)] == in_lists
            assert [cells[name] for name in names[:2]] == in_lists[:2]
            assert cells[names[2]] == np.float32(probability)
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]
    assert sorted(path.name for path in Path("parquet").iterdir()) == [
        "out.parquet",
        "out.parquet.json",
    ]


@pytest.mark.first_covers
@pytest.mark.parametrize("top_k", [1, 3, 365])
def test_rows_hold_what_the_network_says(top_k: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (36, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(pixels).save("b.jpg", exif=exif)
    words = ["a.png", "b.jpg", *TINY, "--predictions.top_k", str(top_k)]
    assert main(["predict", *words, "--predictions.file", "out.csv"]) == 0
    first, second = read_table(Path("out.csv"))
    torch.manual_seed(0)
    net = Tiny(365).eval()
    crop = torch.from_numpy(pixels[2:34, 16:48].copy()).permute(2, 0, 1) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        chances = net(((crop - mean[:, None, None]) / std[:, None, None])[None]).softmax(1)[0]
    best = chances.topk(top_k)
    assert [first[f"category_{k + 1}"] for k in range(top_k)] == [
        load_categories()[label] for label in best.indices
    ]
    assert [int(first[f"index_{k + 1}"]) for k in range(top_k)] == best.indices.tolist()
    shown = [float(first[f"probability_{k + 1}"]) for k in range(top_k)]
    assert shown == pytest.approx(best.values.tolist(), abs=2e-6)
    is_indoor = torch.tensor([setting == "indoor" for setting in load_settings()])
    indoor = float(chances[is_indoor].sum())
    assert float(first["indoor_probability"]) == pytest.approx(indoor, abs=2e-6)
    assert first["indoor_or_outdoor"] == ("indoor" if indoor > 0.5 else "outdoor")
    assert (first["width"], first["height"]) == ("64", "36")
    assert (second["width"], second["height"]) == ("36", "64")
    assert f"category_{top_k + 1}" not in first


def test_a_large_jpeg_is_told_with_its_own_size() -> None:
    Image.new("RGB", (1600, 1200), "red").save("a.jpg")
    assert main(["predict", "a.jpg", *TINY, "--predictions.file", "out.csv"]) == 0
    (row,) = read_table(Path("out.csv"))
    assert (row["width"], row["height"]) == ("1600", "1200")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--predictions.file", "out.tsv"], "type:  --predictions.file out.csv"),
        (["--predictions.top_k", "0"], "predictions.top_k must be 1 or more, not 0"),
        (["--predictions.top_k", "366"], "predictions.top_k must be 1 to 365, not 366"),
        (["--predictions", "out.csv"], "predictions"),
        (["--predictions.fil", "out.csv"], "nearest:      predictions.file"),
        (["--predictions.file", "photos"], "type:  --predictions.file photos.csv"),
    ],
)
def test_mistakes_are_answered(
    words: list[str], said: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "photos", *TINY, *words]) == 2
    assert said in error_of(capsys)
    assert not list(Path().rglob("out*"))


def interrupt(monkeypatch: pytest.MonkeyPatch, batch: int, is_before: bool = False) -> None:
    """Have a run interrupted when it adds a batch.

    Args:
        monkeypatch: Puts all back.
        batch: Number of the batch, from 0.
        is_before: Whether before the batch is written, else after.
    """
    add, num = PredictionRun.add, 0

    def add_and_die(predictions: PredictionRun, rows: Sequence[PredictionRow]) -> None:
        nonlocal num
        num += 1
        if num == batch + 1 and is_before:
            os.kill(os.getpid(), signal.SIGINT)
        add(predictions, rows)
        if num == batch + 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(PredictionRun, "add", add_and_die)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are decoded."""
    names: list[str] = []

    def decode_and_note(path: Path, *more: Any) -> Any:  # noqa: ANN401  # passed on
        names.append(path.name)
        return decode_with_size(path, *more)

    monkeypatch.setattr(image_files, "decode_with_size", decode_and_note)
    return names


@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("ending", "batch"), [("csv", 2), ("csv", 5), ("jsonl", 2), ("parquet", 2)]
)
def test_the_same_command_goes_on(
    ending: str,
    batch: int,
    photos: Path,
    made: Callable[..., Made],
    decoded: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = made(ending).files[""]
    table = Path(f"out.{ending}")
    decoded.clear()
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, batch)
        assert run("predict", *_words(table)) == 130
    num = min(4 * batch + 4, 21)
    rows_file = f"{table}.jsonl" if ending == "parquet" else table
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"places: interrupted: {num} of 21 rows are in {rows_file}; {HOW}"
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        "csv": pl.read_csv,
        "jsonl": pl.read_ndjson,
        "parquet": pl.read_parquet,
    }
    assert len(readers[ending](table)) >= (num if ending != "parquet" else num // 2)
    decoded.clear()
    assert run("predict", *_words(table)) == 1
    lines = capsys.readouterr().err.splitlines()
    assert f"places: going on with {table} after {num} rows" in lines
    assert lines[-1] == f"21 pictures, 21 rows, 1 unreadable: {table}"
    assert "unreadable: photos/5b.png: " in "\n".join(lines)
    assert len(decoded) == 21 - num
    assert table.read_bytes() == expected
    assert not Path(f"{table}.jsonl").exists()
    state = json.loads(Path(f"{table}.json").read_text())
    assert state["complete"]
    assert state["counts"] == {"rows": 21, "unreadable": 1, "not_finite": 0}


@pytest.mark.no_cover
def test_a_signal_before_a_batch_is_written_loses_only_that(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 2, is_before=True)
        assert run("predict", *_words("out.csv")) == 130
    assert f"interrupted: 8 of 21 rows are in out.csv; {HOW}" in capsys.readouterr().err
    assert len(read_table(Path("out.csv"))) == 8


@pytest.mark.no_cover
@pytest.mark.parametrize("ending", FORMATS)
def test_a_complete_table_is_left_alone_and_its_status_told(
    ending: str,
    photos: Path,
    made: Callable[..., Made],
    decoded: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = made(ending).put(f"out.{ending}")
    expected = table.read_bytes()
    decoded.clear()
    capsys.readouterr()
    assert run("predict", *_words(table)) == 1
    error = capsys.readouterr().err
    assert f"places: {table} is complete already" in error
    assert f"21 pictures, 21 rows, 1 unreadable: {table}" in error
    assert "Warning" not in error
    assert not decoded
    assert table.read_bytes() == expected
    assert not Path(f"{table}.jsonl").exists()


@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("ending", "is_complete"),
    [("csv", True), ("csv", False), ("jsonl", False), ("parquet", True)],
)
def test_new_pictures_at_the_end_are_added(
    ending: str, is_complete: bool, photos: Path, made: Callable[..., Made]
) -> None:
    table = made(ending, None if is_complete else 3).put(f"out.{ending}")
    for name in ("97.png", "98.png", "99.png"):
        Image.new("RGB", (40, 40), "green").save(photos / name)
    assert run("predict", *_words(table)) == 1
    assert run("predict", *_words(f"whole.{ending}")) == 1
    assert table.read_bytes() == Path(f"whole.{ending}").read_bytes()


def test_other_pictures_are_refused_by_name(
    photos: Path, made: Callable[..., Made], capsys: pytest.CaptureFixture[str]
) -> None:
    made("csv").put("out.csv")
    expected = Path("out.csv").read_bytes()
    Image.new("RGB", (40, 40)).save(photos / "2b.png")
    changes: list[tuple[Callable[[], object], str]] = [
        (int, "number 4 is photos/3.png there, and is photos/2b.png now"),
        ((photos / "2b.png").unlink, ""),
        ((photos / "19.png").unlink, "number 21 is photos/19.png there, and is none any more"),
    ]
    for change, said in changes:
        change()
        capsys.readouterr()
        assert run("predict", *_words("out.csv")) == (2 if said else 1)
        if said:
            assert said in (error := error_of(capsys))
            assert "--predictions.overwrite true" in error
        assert Path("out.csv").read_bytes() == expected
    assert run("predict", *_words("out.csv", "--predictions.overwrite", "true")) == 1
    assert len(read_table(Path("out.csv"))) == 20


@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--data.resize_size=40", "--data.resize_size 36, not 40"),
        ("--data.exact=true", "--data.exact false, not true"),
        ("--predictions.top_k=3", "--predictions.top_k 5, not 3"),
        ("--trainer.precision=bf16-true", "--trainer.precision null, not bf16-true"),
        ("--seed_everything=3", "the weights of chance with the seed 0, not chance with the seed"),
        ("--model.net.width=9", "--model.net.width 8, not 9"),
        ("--model.mean=[0.5,0.5,0.5]", "--model.mean [0.485, 0.456, 0.406], not [0.5, 0.5, 0.5]"),
        ("--trainer.limit_predict_batches=3", "--trainer.limit_predict_batches null, not 3"),
    ],
)
def test_other_settings_are_refused_by_name(
    words: str,
    said: str,
    photos: Path,
    made: Callable[..., Made],
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = made("csv", 2).put("out.csv")
    before = {path: path.read_bytes() for path in Path().glob("out.*")}
    capsys.readouterr()
    assert run("predict", *_words(table, words)) == 2
    error = error_of(capsys)
    assert f"{table} was made with {said}" in error
    assert "--predictions.overwrite true" in error
    assert {path: path.read_bytes() for path in Path().glob("out.*")} == before


@pytest.mark.first_covers
@pytest.mark.parametrize("words", ["--data.exact=true", "--trainer.limit_predict_batches=3"])
def test_other_settings_hold_when_they_overwrite(
    words: str, photos: Path, made: Callable[..., Made]
) -> None:
    table = made("csv", 2).put("out.csv")
    assert run("predict", *_words(table, words, "--predictions.overwrite=true")) == 1
    rows = table.read_bytes()
    assert rows
    assert run("predict", *_words(table, words)) == 1
    assert table.read_bytes() == rows


@pytest.mark.no_cover
def test_what_changes_no_answer_may_change(photos: Path, made: Callable[..., Made]) -> None:
    made("csv").put("whole.csv")
    made("csv", 3).put("out.csv")
    others = ["--data.batch_size=5", "--data.num_threads=3", "--model.channels_last=false"]
    assert run("predict", *_words("out.csv", *others)) == 1
    rows = [(row["path"], row["category_1"]) for row in read_table(Path("out.csv"))]
    assert rows == [(row["path"], row["category_1"]) for row in read_table(Path("whole.csv"))]


def test_other_weights_are_refused_and_the_same_elsewhere_are_not(
    sample: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 1]
    best = fit_in(tmp_path, *words) / "checkpoints" / "best.ckpt"
    last = best.with_name("last.ckpt")
    moved = tmp_path / "moved.ckpt"
    moved.write_bytes(best.read_bytes())
    words = ["photos", "--data.batch_size", 4, "--predictions.file", "out.csv"]
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 1)
        assert run("predict", *words, "--ckpt_path", best) == 130
    capsys.readouterr()
    assert run("predict", *words, "--ckpt_path", last) == 2
    assert f"out.csv was made with the weights of {best} (" in (error := error_of(capsys))
    assert f", not {last} (" in error
    assert run("predict", *words, "--ckpt_path", moved) == 1
    assert len(read_table(Path("out.csv"))) == 21


def test_files_of_others_are_left_alone(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.csv").write_text("dear,diary\n")
    assert run("predict", *_words("mine.csv")) == 2
    assert "mine.csv is there, and was not made by places predict" in error_of(capsys)
    Path("mine.csv.json").write_text('{"version": 1, "about": "me"}')
    assert run("predict", *_words("mine.csv")) == 2
    assert Path("mine.csv").read_text() == "dear,diary\n"
    assert run("predict", *_words("mine.csv", "--predictions.overwrite", "true")) == 1
    assert len(read_table(Path("mine.csv"))) == 21


def test_two_at_once_do_not_write_one_table(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = open_table(Path("out.csv"), 5)
    other.open()
    assert run("predict", *_words("out.csv")) == 2
    assert "another places predict writes out.csv now" in error_of(capsys)
    other.close()
    assert run("predict", *_words("out.csv")) == 1


def _default(*more: object) -> list[object]:
    return once("photos", *TINY, "--data.batch_size=4", *more)


def test_without_a_name_the_unfinished_table_goes_on_in_its_folder(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("predict", *_default()) == 1
    expected = Path("runs/predict/0/predictions.csv").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 1)
        assert run("predict", *_default()) == 130
    assert "8 of 21 rows are in runs/predict/1/predictions.csv" in capsys.readouterr().err
    # Another folder of pictures, other settings, and a table that somebody writes: a new number.
    others = draw_pictures(Path("others"), 3)
    assert run("predict", others, *TINY) == 0
    Path("runs/predict/2").rename("runs/two")
    assert run("predict", *_default("--data.resize_size=40")) == 1
    Path("runs/predict/2").rename("runs/three")
    writer = open_table(Path("runs/predict/1/predictions.csv"), 5)
    writer.open()
    assert run("predict", *_default()) == 1
    writer.close()
    Path("runs/predict/2").rename("runs/four")
    assert run("predict", *_default()) == 1
    assert sorted(os.listdir("runs/predict")) == ["0", "1"]  # noqa: PTH208  # names are enough
    assert Path("runs/predict/1/predictions.csv").read_bytes() == expected
    assert run("predict", *_default()) == 1
    assert Path("runs/predict/2/predictions.csv").read_bytes() == expected


@pytest.mark.no_cover
def test_overwrite_without_a_name_takes_a_new_number(photos: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 1)
        assert run("predict", *_default()) == 130
    assert run("predict", *_default("--predictions.overwrite", "true")) == 1
    assert len(read_table(Path("runs/predict/0/predictions.csv"))) == 8
    assert len(read_table(Path("runs/predict/1/predictions.csv"))) == 21


def test_predictions_of_shards_go_on_too(
    mixed_sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", mixed_sample, *TINY, "--data.batch_size", 4, "--predictions.file"]
    assert run("predict", *words, "whole.csv") == 0
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 2)
        assert run("predict", *words, "out.csv") == 130
    assert "12 of 26 rows" in capsys.readouterr().err
    assert run("predict", *words, "out.csv") == 0
    assert "going on with out.csv after 12 rows" in capsys.readouterr().err
    assert Path("out.csv").read_bytes() == Path("whole.csv").read_bytes()
    assert run("predict", *words, "out.csv", "--data.predict_split", "val") == 2
    assert "out.csv was made with other pictures" in error_of(capsys)


def test_a_limit_is_no_end(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit = ["--trainer.limit_predict_batches", 2]
    assert run("predict", *_words("out.csv", *limit)) == 1
    assert "8 pictures, 8 rows, 1 unreadable: out.csv" in capsys.readouterr().err
    assert run("predict", *_words("out.csv", *limit)) == 1
    assert "out.csv is complete already" in capsys.readouterr().err
    assert len(read_table(Path("out.csv"))) == 8


def test_a_trial_writes_nothing(photos: Path) -> None:
    assert run("predict", *_words("out.csv", "--trainer.fast_dev_run", "true")) == 0
    assert [path.name for path in Path().iterdir()] == ["photos"]


def test_one_picture_is_one_picture(capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 40)).save("a.png")
    assert main(["predict", "a.png", *TINY, "--predictions.file", "out.csv"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == "1 picture, 1 row, 0 unreadable: out.csv"


def test_if_nothing_is_readable_nothing_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(15):
        Path(f"{number}.jpg").write_bytes(b"")
    assert main(["predict", ".", *TINY, "--predictions.file", "out.csv"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "15 pictures, 15 rows, 15 unreadable: out.csv"
    assert lines[-2] == "and 5 more unreadable: see the column `error`"
    assert [row["category_1"] for row in read_table(Path("out.csv"))] == [""] * 15


@pytest.mark.parametrize("ending", FORMATS)
def test_answers_that_are_no_numbers_are_told_again(
    ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, colour in [("a", "black"), ("b", "white"), ("c", "black")]:
        Image.new("RGB", (40, 50), colour).save(f"{name}.png")
    words = once(".", *TINY, "--model.net=tests.networks.Overflowing")
    words += ["--predictions.file", f"out.{ending}"]
    for _ in range(2):
        assert run("predict", *words) == 2
        assert "NaN or infinite for 1 of 3 pictures" in error_of(capsys)
    assert b"NaN," not in Path(f"out.{ending}").read_bytes()


def test_the_first_rows_come_before_a_whole_batch(photos: Path) -> None:
    sizes = []
    add = PredictionRun.add

    def add_and_note(predictions: PredictionRun, rows: Sequence[PredictionRow]) -> None:
        sizes.append(len(rows))
        add(predictions, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PredictionRun, "add", add_and_note)
        run("predict", "photos", *TINY, "--data.batch_size", 16, "--predictions.file", "out.csv")
        run("predict", "photos", *TINY, "--data.batch_size", 32, "--predictions.file", "b.csv")
    assert sizes == [8, 13, 21]


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "num_processes", "num_deaths"),
    [("csv", 1, 3), ("parquet", 1, 3), ("csv", 2, 2)],
)
def test_killed_at_any_moment_it_ends_as_if_nothing_had_been(
    ending: str, num_processes: int, num_deaths: int, tmp_path: Path
) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    draw_pictures(tmp_path / "photos", 150)
    Path("photos/77b.png").write_bytes(b"no picture")
    start = run_apart if num_processes == 1 else _run_on_two
    # A rank that met no unreadable picture ends with 0.
    statuses = run_together(num_processes, "predict", *_words(f"whole.{ending}"))
    assert statuses[0] == 1
    table = Path(f"out.{ending}")
    growing = Path(f"{table}.jsonl") if ending == "parquet" else table

    def is_time(num_bytes: int) -> Callable[[], bool]:
        return lambda: growing.is_file() and growing.stat().st_size >= num_bytes

    size_bytes = Path(f"whole.{ending}").stat().st_size * (3 if ending == "parquet" else 1)
    for num_bytes in sorted(chance.randrange(size_bytes) for _ in range(num_deaths)):
        status = start("predict", _words(table), is_time(num_bytes))
        assert status in (-signal.SIGKILL, 1)
    assert run_together(num_processes, "predict", *_words(table))[0] == 1
    assert table.read_bytes() == Path(f"whole.{ending}").read_bytes()


def _run_on_two(
    stage: str, words: Sequence[object], is_time_to_die: Callable[[], bool] = lambda: False
) -> int | None:
    """Run a stage on two processes, of which the first starts the other; see `run_apart`."""
    ddp = ["--trainer.devices", "2", "--trainer.strategy", "ddp_find_unused_parameters_false"]
    command = [sys.executable, "-m", "places", stage, *options_of(stage), *map(str, words), *ddp]
    environment = {**os.environ, **CHILD}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while process.poll() is None and not is_time_to_die():
        time.sleep(0.002)
    if process.poll() is None:
        process.kill()
    return process.wait(120)


@pytest.mark.first_covers
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_without_rows_holds_nobody_to_its_settings(
    ending: str, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, 0, is_before=True)
        assert run("predict", *_words(f"out.{ending}")) == 130
    assert "0 of 21 rows are in out." in capsys.readouterr().err
    assert run("predict", *_words(f"out.{ending}", "--predictions.top_k=3")) == 1
    assert run("predict", *_words(f"out.{ending}", "--predictions.top_k=4")) == 2


def test_a_parquet_file_of_others_is_left_alone(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pl.DataFrame({"a": [1, 2]}).write_parquet("out.parquet")
    before = Path("out.parquet").read_bytes()
    assert run("predict", *_words("out.parquet")) == 2
    assert "out.parquet is there, and was not made by places predict" in error_of(capsys)
    assert Path("out.parquet").read_bytes() == before
    assert not Path("out.parquet.jsonl").exists()
