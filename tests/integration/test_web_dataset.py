"""`--data WebDataset`, as people use it: trained, scored like `Places365`, and what is refused."""

import gzip
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
import webdataset
from tests.data.streams import VAL_SIZES, cut_up, members_in, served, write_tar
from tests.integration.stages import MACHINE, fit_in, read_config, read_metrics, run

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
    lines = error[start:].splitlines()
    assert len(lines) <= 4, error
    assert "Traceback" not in error
    return error[start:]


def _scores(root: Path) -> dict[str, object]:
    (path,) = root.glob("*/0/result.json")
    result: dict[str, object] = json.loads(path.read_text())
    return result


def test_a_run_trains_and_validates_in_the_middle_of_an_epoch(trained: Path) -> None:
    assert read_config(trained)["data"]["class_path"] == DATA
    metrics = read_metrics(trained)
    assert {step for step, name in metrics if name == "train/loss"} == {1, 3}
    assert {step for step, name in metrics if name == "val/top1"} == {1, 3}


def test_a_resumed_run_takes_the_steps_that_are_left_and_says_how(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = trained / "checkpoints" / "last.ckpt"
    more = ["--trainer.max_steps", -1, "--trainer.max_epochs", 2]
    resumed = fit_in(tmp_path, "--data", DATA, "--ckpt_path", checkpoint, *more)
    said = capsys.readouterr().err
    assert said.count("resumed after step 4 of epoch 0: the other 2 draw their pictures anew") == 1
    state = torch.load(resumed / "checkpoints" / "last.ckpt", weights_only=True)
    assert (state["global_step"], state["epoch"]) == (12, 1)
    assert state["WebDataset"]["num_samples_consumed"] == 96


def test_scores_and_guesses_equal_those_of_places365(
    trained: Path, shards: Path, tmp_path: Path
) -> None:
    checkpoint = ["--ckpt_path", trained, "--data.root", shards]
    results, rows = [], []
    for name, data in (("ours", ["--data", "Places365"]), ("theirs", WORKERS)):
        folder = tmp_path / name
        assert run("test", *checkpoint, *data, *SIZES, "--trainer.default_root_dir", folder) == 0
        results.append(_scores(folder))
        (table,) = folder.glob("*/0/scores.csv")
        rows.append(sorted(table.read_text().splitlines()))
    ours, theirs = results
    assert ours["num_images"] == theirs["num_images"] == sum(VAL_SIZES)
    assert ours["scores"] == theirs["scores"]
    assert ours["data"] == theirs["data"]
    assert rows[0] == rows[1]


def test_shards_behind_urls_are_streamed_and_nothing_is_kept(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("webdataset opened a URL itself")

    monkeypatch.setattr(webdataset.gopen, "gopen", refuse)
    monkeypatch.setattr(webdataset.gopen, "Popen", refuse)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with served(shards) as url:
        words = ["--data.train_shards", f"{url}/train-{{000000..000003}}.tar"]
        words += ["--data.num_train_samples", 96, "--data.num_val_samples", 36]
        words += [f"--data.val_shards=['{url}/val-{{000000..000003}}.tar','{url}/val-000004.tar']"]
        folder = fit_in(tmp_path / "listed", *WORKERS, *words, "--trainer.max_epochs", 1)
        whole = ["--data.root", url, "--trainer.default_root_dir", tmp_path / "whole"]
        assert run("test", "--ckpt_path", folder, *WORKERS, *whole) == 0
    assert {step for step, name in read_metrics(folder) if name == "val/top1"} == {5}
    assert _scores(tmp_path / "whole")["num_images"] == 36
    assert not list(tmp_path.rglob("*.tar"))
    assert not Path("data").exists()


def test_the_file_of_timm_tells_shards_and_numbers(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in [*shards.glob("val-*.tar"), shards / "_info.json"]:
        shutil.copy(path, tmp_path)
    assert run("validate", *WORKERS, *SMALL, "--data.root", tmp_path) == 0
    assert "36 pictures" in capsys.readouterr().out
    info = json.loads((tmp_path / "_info.json").read_text())
    info["splits"]["val"]["filenames"][0] = "../val-000000.tar"
    (tmp_path / "_info.json").write_text(json.dumps(info))
    assert "no list of names of files" in _mistake(capsys, "--data.root", tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        "pipe:touch FLAG",
        "PIPE:touch FLAG",
        "Pipe:touch FLAG",
        " pipe:touch FLAG",
        "pipe://touch FLAG",
        "file:pipe:touch FLAG",
        "a.tar::pipe:touch FLAG",
        "https://host/a.tar::pipe:touch FLAG",
        "{pipe:touch FLAG,pipe:touch FLAG2}",
        "${COMMAND}",
        "exec://touch FLAG",
        "htgs://host/$(touch FLAG)",
        "ais://host/a.tar",
        "['val-000000.tar', 'pipe:touch FLAG']",
        "['pipe:touch FLAG']",
    ],
)
@pytest.mark.parametrize("option", ["--data.val_shards", "--data.root"])
def test_commands_in_the_place_of_shards_are_refused(
    words: str,
    option: str,
    shards: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    flag = tmp_path / "flag"
    for name in ("COMMAND", "WDS_COMMAND", "WDS_CACHE", "GOPEN_REWRITE"):
        monkeypatch.setenv(name, f"pipe:touch {flag}")
    shutil.copy(shards / "val-000000.tar", tmp_path)
    words = words.replace("FLAG", str(flag))
    _mistake(capsys, f"{option}={words}", "--data.num_val_samples", 10)
    assert not flag.exists()


def test_a_command_in_a_list_of_urls_is_refused(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in shards.glob("val.*"):
        shutil.copy(path, tmp_path)
    names = [f"val-{number:06d}.tar" for number in range(len(VAL_SIZES))]
    for scheme in ("pipe:", "PIPE:"):
        urls = dict.fromkeys(names, f"{scheme}touch {tmp_path / 'flag'}")
        content = {"version": 1, "shards": urls}
        (tmp_path / "val.urls.json").write_text(json.dumps(content))
        _mistake(capsys, "--data.root", tmp_path)
        assert not (tmp_path / "flag").exists()


def _copy(shards: Path, folder: Path) -> Path:
    for path in shards.iterdir():
        shutil.copy(path, folder)
    return folder


def test_damaged_and_missing_shards_are_named(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _copy(shards, tmp_path)
    shard = root / "val-000002.tar"
    whole = shard.read_bytes()
    listed = ["--data.val_shards", root / "val-*.tar", "--data.num_val_samples", 36]
    header = whole.rindex(b"ustar") - 257
    cases = {
        "is cut short at byte": whole[: len(whole) // 1024 * 512],
        "is damaged: no tar header at byte": whole[:header] + b"x" * 9 + whole[header + 9 :],
        "is no tar but gzip": gzip.compress(whole, 1),
        "is no file": None,
        "is cut short at byte 0": b"",
    }
    for told, data in cases.items():
        shard.unlink()
        if data is not None:
            shard.write_bytes(data)
        else:
            shard.mkdir()
        error = _mistake(capsys, *listed)
        assert "val-000002.tar" in error, error
        assert told in error or "is a folder" in error or "no tars in" in error, error
        if data is None:
            shard.rmdir()
            shard.touch()
    shard.unlink()
    assert "val-000002.tar" in _mistake(capsys, "--data.root", root)
    assert "no such" in _mistake(capsys, "--data.val_shards", "no-{0..3}.tar")
    assert "names no shard" in _mistake(capsys, "--data.val_shards=[]")
    assert "no shards for split 'val'" in _mistake(capsys, "--data.root", tmp_path / "nothing")


def test_other_numbers_than_those_known_are_refused(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = ["--data.val_shards", shards / "val-*.tar"]
    assert "--data.num_val_samples NUMBER" in _mistake(capsys, *listed)
    for num, found in ((35, "more than 35"), (37, "36"), (200, "36"), (3, "more than 3")):
        error = _mistake(capsys, *listed, "--data.num_val_samples", num)
        assert f"the shards of split 'val' hold {found} pictures" in error
    error = _mistake(capsys, "--data.root", shards, "--data.num_val_samples", 35)
    assert "data.num_val_samples is 35, but split 'val' in" in error
    root = _copy(shards, tmp_path)
    first = [member for sample in [*members_in(root / "val-000000.tar")][1:] for member in sample]
    size_bytes = (root / "val-000000.tar").stat().st_size
    write_tar(root / "val-000000.tar", first)
    with (root / "val-000000.tar").open("ab") as file:
        file.truncate(size_bytes)
    error = _mistake(capsys, "--data.root", root)
    assert "val-000000.tar has 9 pictures, but 10 are said to be in it" in error


def test_pictures_that_cannot_be_read_are_named_counted_and_skipped(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    members = [member for sample in members_in(shards / "train-000001.tar") for member in sample]
    (name, _), rest = members[0], members[1:]
    write_tar(tmp_path / "train-0.tar", [(name, b"\xff\xd8 nothing"), *rest])
    key = name.partition(".")[0]
    words = ["--data.train_shards", tmp_path / "train-0.tar", "--data.num_train_samples", 20]
    words += ["--data.root", shards, "--trainer.max_epochs", 1, "--data.batch_size", 10]
    error = _mistake(capsys, *words, stage="fit")
    assert f"{key} in {tmp_path / 'train-0.tar'}" in error
    assert "--data.bad_samples skip" in error
    folder = fit_in(tmp_path, *WORKERS, *words, "--data.bad_samples", "skip")
    assert f"{key} in {tmp_path / 'train-0.tar'}" in capsys.readouterr().err
    counts = {v for (_, name), v in read_metrics(folder).items() if name == "train/bad_samples"}
    assert [*map(float, counts)] == [1]


def test_training_without_labels_or_with_too_few_shards_is_refused(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = [*members_in(shards / "train-000001.tar")]
    pictures = [member for sample in samples for member in sample if member[0].endswith("jpg")]
    write_tar(tmp_path / "train-0.tar", pictures)
    words = ["--data.train_shards", tmp_path / "train-0.tar", "--data.root", shards]
    error = _mistake(capsys, *words, "--data.num_train_samples", 20, stage="fit")
    assert "has a label" in error
    error = _mistake(capsys, *words, "--data.num_train_samples", 10, stage="fit")
    assert "data.batch_size 16 is larger than the training split" in error
    write_tar(tmp_path / "train-0.tar", [("README.md", b"none"), ("a.cls", b"1")])
    error = _mistake(capsys, *words, "--data.num_train_samples", 10, stage="fit")
    assert "no picture in" in error


def test_it_is_found_by_its_name_and_described(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = Path("recipe.yaml")
    recipe.write_text("data:\n  class_path: WebDataset\n  init_args: {shuffle_buffer: 5}\n")
    assert main(["config", "check", str(recipe)]) == 0
    assert main(["config", "show", str(recipe)]) == 0
    assert DATA in capsys.readouterr().out
    assert main(["fit", "--data.help", "WebDataset"]) == 0
    text = capsys.readouterr().out
    assert "--data.shuffle_buffer" in text
    assert main(["fit", "--data", "WebDataset", "--data.shuffle_bufer", "5"]) == 2
    assert "shuffle_buffer" in capsys.readouterr().err
    assert main(["fit", "--data.num_workers", "5", *MACHINE]) == 2
    assert "--data WebDataset" in capsys.readouterr().err


def test_predictions_have_a_row_for_each_picture(trained: Path, shards: Path) -> None:
    words = [*WORKERS, "--data.root", shards, "--data.predict_split", "val"]
    assert run("predict", "--ckpt_path", trained, *words, *SIZES) == 0
    (table,) = Path("runs").rglob("predictions.csv")
    keys = [row.split('"')[1] for row in table.read_text().splitlines()[1:]]
    names = [name for sample in members_in(*shards.glob("val-*.tar")) for name, _ in sample]
    assert sorted(keys) == sorted({name.partition(".")[0] for name in names})


def test_only_the_worker_processes_that_are_needed_stay(trained: Path) -> None:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{pid}/comm").read_text().strip() for pid in children]
    assert "pt_data_worker" not in names
