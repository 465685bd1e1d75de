import csv
import io
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest
from tests.data.drawn import drawn_picture, jpeg_of
from tests.data.packing.official import jpeg, write_tar
from tests.integration.stages import (
    TINY_RECIPE,
    fit_in,
    load_weights,
    read_config,
    read_metrics,
    run,
)
from tests.networks import Tiny
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor

from places.categories import load_categories
from places.data.packing.indexing import index_shards

# What the recipe asks for, with torchvision and Pillow only.
NORMALIZE = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TRANSFORM = Compose([Resize(36), CenterCrop(32), ToTensor(), NORMALIZE])
SQUASH = Compose([Resize((36, 36)), CenterCrop(32), ToTensor(), NORMALIZE])


@pytest.fixture(scope="module")
def trained(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two epochs."""
    words = ["--data.root", sample, "--trainer.max_epochs", 2]
    return fit_in(tmp_path_factory.mktemp("trained"), *words)


@pytest.fixture(scope="module")
def reference(trained: Path) -> Tiny:
    """The best network of that run, loaded by hand."""
    net = Tiny(365)
    weights = load_weights(trained / "checkpoints" / "best.ckpt")
    net.load_state_dict({key.removeprefix("net."): value for key, value in weights.items()})
    return net.eval()


def _read_shards(root: Path, split: str) -> Iterator[tuple[str, Image.Image, int]]:
    for path in sorted(root.glob(f"{split}-*.tar")):
        with tarfile.open(path) as tar:
            files = {member.name: tar.extractfile(member) for member in tar}
            content = {name: file.read() for name, file in files.items() if file is not None}
        for name, data in content.items():
            if name.endswith(".jpg"):
                key = name.removesuffix(".jpg")
                label = int(content.get(f"{key}.cls", b"-1"))
                yield key, Image.open(io.BytesIO(data)).convert("RGB"), label


def test_fit_leaves_its_files_in_the_folder_of_the_run(trained: Path, sample: Path) -> None:
    files = {path.relative_to(trained).as_posix() for path in trained.rglob("*") if path.is_file()}
    assert files == {
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "checkpoints/previous.ckpt",
        "config.yaml",
        "metrics.csv",
        "curves.png",
        "confusion.png",
        "run.json",
        "validation.json",
    }
    config = read_config(trained)
    assert config["data"]["init_args"]["root"] == str(sample)
    assert config["trainer"]["logger"] is None, "what was asked for, not what it became"
    with (trained / "metrics.csv").open() as file:
        names = next(csv.reader(file))
    assert {"train/loss", "train/top1", "val/top1", "val/top5", "val/loss"} <= set(names)


def test_a_checkpoint_knows_its_config_and_categories(trained: Path) -> None:
    checkpoint = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    record = checkpoint["places"]
    assert record["categories"] == list(load_categories())
    assert record["config"]["model"]["init_args"]["net"]["class_path"] == "tests.networks.Tiny"
    assert len(record["manifest_digest"]) == 64


def test_test_scores_what_a_loop_by_hand_scores(
    trained: Path, reference: Tiny, sample: Path, tmp_path: Path
) -> None:
    assert run("test", "--ckpt_path", trained) == 0
    (folder,) = (tmp_path / "runs" / "fit").iterdir()
    result = json.loads((folder / "result.json").read_text())
    images, labels = [], []
    for _, image, label in _read_shards(sample, "val"):
        images.append(TRANSFORM(image))
        labels.append(label)
    with torch.inference_mode():
        logits = reference(torch.stack(images))
    target = torch.tensor(labels)
    top5 = logits.topk(5).indices == target[:, None]
    assert result["num_images"] == result["data"]["num_images"] == len(labels) == 36
    assert result["scores"]["top1"] == pytest.approx(float(top5[:, 0].float().mean()))
    assert result["scores"]["top5"] == pytest.approx(float(top5.any(1).float().mean()))
    loss = torch.nn.functional.cross_entropy(logits, target)
    assert result["scores"]["loss"] == pytest.approx(float(loss), abs=1e-4)
    assert result["data"]["synthetic"] is True
    assert len(result["checkpoint"]["sha256"]) == 64
    assert result["config"]["data"]["init_args"]["image_size"] == 32
    assert (folder / "confusion.png").is_file()


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_an_incomplete_evaluation_publishes_nothing(
    trained: Path, tmp_path: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = f"--trainer.limit_{'val' if stage == 'validate' else 'test'}_batches"
    assert run(stage, "--ckpt_path", trained, limit, 1, "--verbose", "true") == 2
    out, error = capsys.readouterr()
    assert error.splitlines()[-2:] == [
        "places: error: no scores: 16 of the 36 pictures of split 'val' were scored",
        f"  score it as a whole: leave out  {limit}",
    ]
    assert "top1" not in out + error
    assert _files(tmp_path) == set(), "a refused run leaves no number"


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_a_try_of_one_batch_publishes_nothing_and_is_no_mistake(
    trained: Path, tmp_path: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--trainer.fast_dev_run", "true", "--trainer.logger", "false", "--verbose", "true"]
    for size in (16, 36):  # a part of the split, all of it
        assert run(stage, "--ckpt_path", trained, *words, "--data.batch_size", size) == 0
    out, error = capsys.readouterr()
    assert "top1" not in out + error
    assert _files(tmp_path) == set()


def test_training_says_that_a_part_of_the_split_was_validated(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 2, "--trainer.num_sanity_val_steps", 1]
    assert run("fit", *words, "--trainer.limit_val_batches", 2) == 0
    folder = tmp_path / "runs" / "fit" / "0"
    said = [text for text in capsys.readouterr().err.splitlines() if "validation scored" in text]
    assert len(said) == 1, "once for each number"
    assert "32 of the 36 pictures of split 'val'" in said[0]
    metrics = read_metrics(folder)
    assert [value for (_, name), value in metrics.items() if name == "val/skipped"] == ["4.0"] * 2
    assert sum(name == "val/top1" for _, name in metrics) == 2
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    assert (folder / "curves.png").is_file()
    assert not (folder / "confusion.png").exists()


def test_a_split_without_labels_has_no_scores(
    trained: Path, sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {f"{key}.jpg": jpeg(number, 40) for number, key in enumerate("abc")}
    write_tar(tmp_path / "data" / "val-000000.tar", files)
    index_shards(tmp_path / "data", "val")
    assert run("validate", "--ckpt_path", trained, "--data.root", tmp_path / "data") == 2
    assert "no scores: the pictures of split 'val' have no labels" in capsys.readouterr().err


def test_the_unlabelled_split_gives_the_official_submission(
    trained: Path, reference: Tiny, sample: Path, tmp_path: Path
) -> None:
    assert run("test", "--ckpt_path", trained, "--data.test_split", "test") == 0
    (file,) = tmp_path.rglob("submission.txt")
    lines = file.read_text().split("\n")
    names, images = [], []
    for key, image, label in _read_shards(sample, "test"):
        assert label == -1
        names.append(f"{key}.jpg")
        images.append(TRANSFORM(image))
    with torch.inference_mode():
        best = reference(torch.stack(images)).topk(5).indices.tolist()
    expected = [" ".join([name, *map(str, five)]) for name, five in zip(names, best, strict=True)]
    assert names[0] == "Places365_test_00000001.jpg"
    assert lines == sorted(expected)
    assert not list(tmp_path.rglob("result.json"))


def test_an_incomplete_submission_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.test_split", "test", "--trainer.limit_test_batches", 1]
    assert run("test", "--ckpt_path", trained, *words) == 2
    assert "classified: 16 pictures with 16 names, but" in capsys.readouterr().err
    assert not list(tmp_path.rglob("submission.txt"))


def test_predict_writes_a_row_for_every_picture(
    trained: Path, reference: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    (photos / "more, and \N{SNOWMAN}").mkdir(parents=True)
    noise = np.random.default_rng(0)
    for name in ("b.png", "a.jpg", "more, and \N{SNOWMAN}/c.webp"):
        pixels = noise.integers(0, 256, (50, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((140, 100)).save(photos / name)
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "notes.txt").write_text("no picture")
    words = ["--data", "ImageFiles", "--data.images", photos, "--data.batch_size", 2]
    assert run("predict", "--ckpt_path", trained, *words) == 1
    (file,) = tmp_path.rglob("predictions.csv")
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    paths = [str(photos / name) for name in ("a.jpg", "b.png", "empty.jpg")]
    assert [row["path"] for row in rows] == [*paths, str(photos / "more, and \N{SNOWMAN}/c.webp")]
    assert rows[2]["error"].startswith("not a readable picture")
    assert rows[2]["category_1"] == ""
    names = load_categories()
    for row in (rows[0], rows[1], rows[3]):
        image = Image.open(row["path"]).convert("RGB")
        with torch.inference_mode():
            best = reference(TRANSFORM(image)[None]).softmax(1)[0].topk(5)
        assert [row[f"category_{k}"] for k in range(1, 6)] == [names[i] for i in best.indices]
        shown = [float(row[f"probability_{k}"]) for k in range(1, 6)]
        assert shown == pytest.approx(best.values.tolist(), abs=1e-4)
        assert row["error"] == ""
    assert "4 pictures, 4 rows, 1 unreadable" in capsys.readouterr().err
    assert file.with_name("gallery.html").is_file()
    assert not [path for path in file.parent.iterdir() if path.name.startswith(".")]


def test_predict_runs_on_shards_too(trained: Path, tmp_path: Path) -> None:
    assert run("predict", "--ckpt_path", trained) == 0
    (file,) = tmp_path.rglob("predictions.csv")
    with file.open(newline="") as opened:
        keys = [row["path"] for row in csv.DictReader(opened)]
    assert keys == [f"Places365_test_{number:08d}" for number in range(1, 27)]


@pytest.mark.parametrize(("mode", "transform"), [("short_side", TRANSFORM), ("squash", SQUASH)])
def test_pictures_of_any_size_are_classified_as_with_torchvision(
    trained: Path, reference: Tiny, tmp_path: Path, mode: str, transform: Compose
) -> None:
    noise, files = np.random.default_rng(0), {}
    for number in range(24):
        width, height = noise.integers(20, 600, 2).tolist()
        picture = drawn_picture(width, height, number)
        files[f"{number:02d}.jpg"] = jpeg_of(picture, int(noise.integers(30, 96)))
    write_tar(tmp_path / "data" / "test-000000.tar", files)
    index_shards(tmp_path / "data", "test")
    words = ["--data.root", tmp_path / "data", "--data.resize_mode", mode]
    assert run("predict", "--ckpt_path", trained, *words) == 0
    (file,) = tmp_path.rglob("predictions.csv")
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    images = [Image.open(io.BytesIO(data)).convert("RGB") for data in files.values()]
    with torch.inference_mode():
        best = reference(torch.stack([transform(image) for image in images])).softmax(1).topk(5)
    names = load_categories()
    expected = [[names[label] for label in labels] for labels in best.indices.tolist()]
    assert [[row[f"category_{k}"] for k in range(1, 6)] for row in rows] == expected
    assert len({five[0] for five in expected}) > 1
    shown = [float(row["probability_1"]) for row in rows]
    assert shown == pytest.approx(best.values[:, 0].tolist(), abs=1e-5)


def test_validate_uses_the_checkpoints_recipe(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("validate", "--ckpt_path", trained) == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if "val/top1" in line]
    # An accuracy with both ends of its interval.
    (numbers,) = (re.findall(r"(\d+\.\d\d)%", line) for line in lines)
    share, low, high = (float(number) / 100 for number in numbers)
    interval = binomtest(round(36 * share), 36).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((interval.low, interval.high), abs=1e-4)
    assert "DataLoader" not in out


def test_nothing_is_written_outside_the_runs(trained: Path, tmp_path: Path) -> None:
    assert run("validate", "--ckpt_path", trained) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_flags_win_over_the_checkpoint(trained: Path, tmp_path: Path) -> None:
    assert run("test", "--ckpt_path", trained, "--data.batch_size", 5) == 0
    config = read_config(tmp_path / "runs" / "fit" / "0")
    assert config["data"]["init_args"]["batch_size"] == 5
    assert config["data"]["init_args"]["resize_size"] == 36


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_random_weights_are_refused(
    stage: str, sample: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(stage, "--data.root", sample) == 2
    error = capsys.readouterr().err
    assert f"places: error: {stage} needs a trained network" in error
    assert error.endswith("--random_weights\n")
    assert not list(tmp_path.iterdir())


def test_random_weights_can_be_asked_for(sample: Path, tmp_path: Path) -> None:
    words = ["--random_weights", "--data.root", str(sample), *TINY_RECIPE]
    assert run("test", *words) == 0
    assert json.loads(next(tmp_path.rglob("result.json")).read_text())["checkpoint"] is None


def test_training_starts_from_given_weights(trained: Path, sample: Path, tmp_path: Path) -> None:
    best = trained / "checkpoints" / "best.ckpt"
    words = ["--data.root", sample, "--model.optimizer.lr", 0, "--trainer.max_steps", 1]
    assert run("fit", "--model.weights", best, *words) == 0
    (last,) = tmp_path.rglob("last.ckpt")
    before, after = load_weights(best), load_weights(last)
    assert torch.equal(before["net.0.weight"], after["net.0.weight"])
    # The second run's checkpoint stands alone: the file it started from may be gone.
    assert run("test", "--ckpt_path", last) == 0


def test_the_same_seed_gives_the_same_weights(sample: Path, tmp_path: Path) -> None:
    for threads in (1, 3):
        words = ["--data.root", sample, "--trainer.max_epochs", 1, "--data.num_threads", threads]
        assert run("fit", *words) == 0
    first, second = (load_weights(path) for path in sorted(tmp_path.rglob("last.ckpt")))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_wandb_keeps_an_offline_run_in_the_folder_of_the_run(
    sample: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("wandb")
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    for variable in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(variable, "")  # so that what the run sets is forgotten
        monkeypatch.delenv(variable)
    words = ["--data.root", sample, "--trainer.max_epochs", 1]
    assert run("fit", "--config", "overlays/wandb.yaml", *words) == 0
    assert len(list((tmp_path / "runs" / "wandb" / "0" / "wandb").rglob("*.wandb"))) == 1
    assert not [*home.rglob("*wandb*")]
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_weights_for_other_classes_keep_the_fresh_head_if_asked(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(Tiny(10).state_dict(), "ten.pth")
    words = ["--data.root", sample, "--trainer.max_steps", 1, "--model.weights", "ten.pth"]
    assert run("fit", *words) == 2
    assert "replace_head" in capsys.readouterr().err
    assert run("fit", *words, "--model.replace_head", "true") == 0
