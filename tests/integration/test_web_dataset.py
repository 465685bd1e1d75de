"""`--data WebDataset`, as people use it: trained, scored like `Places365`, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from tests.data.streams import VAL_SIZES, cut_up, members_in, served, write_tar
from tests.integration.stages import fit_in, options_of, read_config, read_metrics, run
from webdataset import cache, gopen

from places.cli.main import main

DATA = "places.data.WebDataset"
WORKERS = ["--data", DATA, "--data.num_workers", 2]
SIZES = ["--data.batch_size", 16, "--data.image_size", 32, "--data.resize_size", 36]
SMALL = ["--model.net", "tests.networks.Tiny", *SIZES, "--random_weights"]  # what fit has anyway


@pytest.fixture(scope="module")
def shards(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample in several unequal shards, with manifests; not to be written to."""
    return cut_up(sample, tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def trained(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was stopped after four of the six steps of its first epoch."""
    root = tmp_path_factory.mktemp("run")
    stop = ["--trainer.max_steps", 4, "--trainer.val_check_interval", 2]
    return fit_in(root, *WORKERS, "--data.root", shards, *stop)


def _mistake(capsys: pytest.CaptureFixture[str], *words: object, stage: str = "validate") -> str:
    """Run a stage that has to end with a mistake in at most four lines, and return these."""
    capsys.readouterr()
    more = SMALL if stage != "fit" else ["--trainer.max_epochs", 1]
    assert run(stage, *WORKERS, *more, *words) == 2
    error = capsys.readouterr().err
    start = error.index("places: error: ")
    assert len(error[start:].splitlines()) <= 4, error
    assert "Traceback" not in error
    return error[start:]


def test_a_run_trains_and_validates_in_the_middle_of_an_epoch(trained: Path) -> None:
    assert read_config(trained)["data"]["class_path"] == DATA
    metrics = read_metrics(trained)
    assert {step for step, name in metrics if name == "train/loss"} == {1, 3}
    assert {step for step, name in metrics if name == "val/top1"} == {1, 3}


def test_a_resumed_run_takes_the_steps_that_are_left_and_says_how(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = trained / "checkpoints" / "last.ckpt"
    assert run("fit", "--ckpt_path", checkpoint) == 2
    assert f"go on with it:   --data {DATA}" in capsys.readouterr().err
    more = ["--trainer.max_steps", -1, "--trainer.max_epochs", 2]
    resumed = fit_in(tmp_path, "--data", DATA, "--ckpt_path", checkpoint, *more)
    said = capsys.readouterr().err
    assert said.count("resumed after step 4 of epoch 0: the other 2 draw their pictures anew") == 1
    state = torch.load(resumed / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 12
    assert state["WebDataset"]["num_samples_consumed"] == 96


def test_scores_and_guesses_equal_those_of_places365(
    trained: Path, shards: Path, tmp_path: Path
) -> None:
    results, tables = list[dict[str, Any]](), []
    for name, data in (("ours", ["--data", "Places365"]), ("theirs", WORKERS)):
        folder = tmp_path / name
        words = ["--ckpt_path", trained, "--data.root", shards, *data, *SIZES]
        assert run("test", *words, "--trainer.default_root_dir", folder) == 0
        (path,) = folder.glob("*/0/result.json")
        results.append(json.loads(path.read_text()))
        table = pd.read_parquet(path.with_name("scores.parquet"))
        tables.append(table.sort_values("key").reset_index(drop=True))
    ours, theirs = results
    assert ours["num_images"] == theirs["num_images"] == sum(VAL_SIZES)
    assert ours["scores"] == pytest.approx(theirs["scores"], rel=1e-6)
    assert ours["data"] == theirs["data"]
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)


@pytest.mark.no_cover
@pytest.mark.slow
def test_two_processes_with_two_workers_each_score_each_picture_once(
    trained: Path, shards: Path, tmp_path: Path
) -> None:
    tests = str(Path(__file__).parents[2])
    paths = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), tests])
    tables = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        two = ["--trainer.devices", 2, "--trainer.strategy", "ddp_find_unused_parameters_false"]
        words = ["--ckpt_path", trained, "--data.root", shards, *WORKERS, *SIZES]
        words += ["--trainer.default_root_dir", folder, *(two if number == 2 else [])]
        subprocess.run(
            [sys.executable, "-m", "places", "test", *options_of("test"), *map(str, words)],
            env={**os.environ, "PYTHONPATH": paths},
            check=True,
            timeout=150,
        )
        (path,) = folder.glob("*/0/result.json")
        assert json.loads(path.read_text())["num_images"] == sum(VAL_SIZES)
        table = pd.read_parquet(path.with_name("scores.parquet"))
        tables.append(table.sort_values("key").reset_index(drop=True))
    pd.testing.assert_frame_equal(*tables, rtol=1e-5)


def test_predictions_have_a_row_for_each_picture(trained: Path, shards: Path) -> None:
    words = [*WORKERS, "--data.root", shards, "--data.predict_split", "val"]
    assert run("predict", "--ckpt_path", trained, *words, *SIZES) == 0
    (table,) = Path("runs").rglob("predictions.csv")
    keys = [row.split('"')[1] for row in table.read_text().splitlines()[1:]]
    names = [name for sample in members_in(*shards.glob("val-*.tar")) for name, _ in sample]
    assert sorted(keys) == sorted({name.partition(".")[0] for name in names})


def test_shards_behind_urls_are_streamed_and_nothing_is_kept(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("webdataset opened a URL itself")

    # In the workers as well, which are forked.
    monkeypatch.setattr(cache.gopen, "gopen", refuse)
    monkeypatch.setattr(gopen.__globals__["Pipe"], "__init__", refuse)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with served(shards) as url:
        words: list[object] = ["--data.train_shards", f"{url}/train-{{000000..000003}}.tar"]
        words += ["--data.num_train_samples", 96, "--data.num_val_samples", 36]
        words += [f"--data.val_shards=['{url}/val-{{000000..000003}}.tar','{url}/val-000004.tar']"]
        folder = fit_in(tmp_path, *WORKERS, *words, "--trainer.max_epochs", 1)
    assert {step for step, name in read_metrics(folder) if name == "val/top1"} == {5}
    assert not list(tmp_path.rglob("*.tar"))
    assert not Path("data").exists()


def test_commands_in_the_place_of_shards_are_refused(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flag, known = tmp_path / "flag", shards / "val-000000.tar"
    listed = f"--data.val_shards=['{known}', 'pipe:touch {flag}']"
    assert "commands and chains of URLs are not run" in _mistake(capsys, listed)
    assert "commands and chains" in _mistake(capsys, f"--data.root=PIPE:touch {flag}")
    assert not flag.exists()


def _copy(shards: Path, folder: Path) -> Path:
    for path in shards.iterdir():
        shutil.copy(path, folder)
    return folder


def test_what_a_worker_process_finds_is_told_in_a_few_lines(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _copy(shards, tmp_path)
    shard = root / "val-000002.tar"
    shard.write_bytes(shard.read_bytes()[:5120])
    listed = ["--data.val_shards", root / "val-*.tar", "--data.num_val_samples", 36]
    assert f"{shard} is cut short at byte 5,120" in _mistake(capsys, *listed)
    shard.unlink()
    assert f"no such shard: {shard}" in _mistake(capsys, "--data.root", root)
    error = _mistake(capsys, *listed)
    assert "the shards of split 'val' hold 27 pictures, but data.num_val_samples says 36" in error


def test_pictures_that_cannot_be_read_are_named_counted_and_skipped(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = [member for sample in members_in(shards / "train-000001.tar") for member in sample]
    (name, _), rest = members[0], members[1:]
    write_tar(tmp_path / "train-0.tar", [(name, b"\xff\xd8 nothing"), *rest])
    place = f"{name.partition('.')[0]} in {tmp_path / 'train-0.tar'}"
    words = ["--data.train_shards", tmp_path / "train-0.tar", "--data.num_train_samples", 20]
    words += ["--data.root", shards, "--trainer.max_epochs", 1, "--data.batch_size", 10]
    error = _mistake(capsys, *words, stage="fit")
    assert place in error
    assert "--data.bad_samples skip" in error
    folder = fit_in(tmp_path, *WORKERS, *words, "--data.bad_samples", "skip")
    assert capsys.readouterr().err.count(place) == 1
    counts = {v for (_, name), v in read_metrics(folder).items() if name == "train/bad_samples"}
    assert [*map(float, counts)] == [1]


def test_pictures_without_labels_are_not_taken_for_a_limit(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = members_in(shards / "val-000001.tar")
    unlabelled = [member for sample in others for member in sample if member[0].endswith("jpg")]
    tar = write_tar(tmp_path / "val-0.tar", [*first, *unlabelled])
    words = ["--data.val_shards", tar, "--data.num_val_samples", 1 + len(others)]
    error = _mistake(capsys, *words)
    assert f"no scores: 1 of the {1 + len(others)} pictures of split 'val' were scored" in error
    assert "see which have no label:  places index SHARDS --root ROOT --split val" in error
    tar = write_tar(tmp_path / "val-0.tar", unlabelled)
    error = _mistake(capsys, "--data.val_shards", tar, "--data.num_val_samples", len(others))
    assert "--label_key KEY" in error


def test_training_without_labels_is_refused(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = [*members_in(shards / "train-000001.tar")]
    pictures = [member for sample in samples for member in sample if member[0].endswith("jpg")]
    tar = write_tar(tmp_path / "train-0.tar", pictures)
    words = ["--data.train_shards", tar, "--data.num_train_samples", 20, "--data.root", shards]
    error = _mistake(capsys, *words, stage="fit")
    assert f"no label in a .cls, such as the first of {tar}" in error


def test_it_is_found_by_its_name_and_described(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = Path("recipe.yaml")
    recipe.write_text("data:\n  class_path: WebDataset\n  init_args: {shuffle_buffer: 5}\n")
    assert main(["config", "show", str(recipe)]) == 0
    assert f"class_path: {DATA}" in capsys.readouterr().out
    assert main(["fit", "--data.help", "WebDataset"]) == 0
    assert "--data.shuffle_buffer" in capsys.readouterr().out
    assert main(["fit", "--data", "WebDataset", "--data.shuffle_bufer", "5"]) == 2
    assert "shuffle_buffer" in capsys.readouterr().err
