"""Scores of several views of each picture, beside Pillow, torchvision and numpy by hand."""

import csv
import hashlib
import io
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from tests.data.drawn import drawn_picture, jpeg_of
from tests.integration.stages import fit_in, load_weights, read_config, run
from tests.networks import Tiny
from tests.reports.gallery.embedded import embedded
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError
from torchvision.transforms import v2

from places.categories import load_categories, load_settings
from places.cli.main import main
from places.reports.result_schema import SCHEMA

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SIZES = [(48, 48), (64, 40), (40, 90), (37, 36), (36, 61), (200, 33), (3, 300)]
CATEGORIES = ("beach", "kitchen", "church/outdoor", "attic")


class Packed(NamedTuple):
    """A root with the splits val and test, and a checkpoint."""

    root: Path
    checkpoint: Path
    pictures: dict[str, tuple[int, bytes]]  # label and JPEG by key
    unlabelled: dict[str, bytes]


@pytest.fixture(scope="module")
def packed(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """Pictures of odd sizes, half of them raw, and a network that was trained on the sample."""
    folder = tmp_path_factory.mktemp("protocols")
    seed, pictures = 0, {}
    for number, category in enumerate(CATEGORIES):
        for width, height in SIZES[: len(SIZES) - number]:
            seed += 1
            path = folder / "val" / category / f"p{seed:02}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg_of(drawn_picture(width, height, seed)))
            label = load_categories().index(category)
            pictures[f"{category}/{path.stem}"] = label, path.read_bytes()
    unlabelled = {}
    for number, (width, height) in enumerate(SIZES):
        path = folder / "test" / f"Places365_test_{number:08}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(jpeg_of(drawn_picture(width, height, 100 + number)))
        unlabelled[path.stem] = path.read_bytes()
    root = folder / "root"
    for split in ("val", "test"):
        words = ["pack", str(folder / split), "--root", str(root), "--split", split]
        words += ["--pixels", "mixed:0.5"]
        assert main(words) == 0
    trained = fit_in(folder / "runs", "--data.root", sample, "--trainer.max_epochs", 1)
    return Packed(root, trained / "checkpoints" / "last.ckpt", pictures, unlabelled)


def _test(packed: Packed, *words: object) -> Path:
    """Run a test, once for the same words, and return its folder."""
    root = packed.root.parent / "tested" / hashlib.sha256(repr(words).encode()).hexdigest()[:8]
    if not root.exists():
        words = ("--ckpt_path", packed.checkpoint, "--data.root", packed.root, *words)
        assert run("test", *words, "--trainer.default_root_dir", root) == 0
    (folder,) = root.glob("*/0")
    return folder


def _by_hand(packed: Packed, jpeg: bytes, views: str) -> npt.NDArray[np.float64]:
    """Return the mean of the probabilities of all views of a picture."""
    net = Tiny(365)
    weights = load_weights(packed.checkpoint)
    net.load_state_dict({k[4:]: v for k, v in weights.items() if k.startswith("net.")})
    net.eval()
    image = v2.Resize(36)(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    crops = list(v2.TenCrop(32)(image)) if views == "ten" else [v2.CenterCrop(32)(image)]
    if views == "mirrored":
        crops.append(v2.functional.horizontal_flip(crops[0]))
    pixels = np.stack([np.asarray(crop, np.float32) for crop in crops])
    inputs = (torch.from_numpy(pixels) / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.no_grad():
        logits: Tensor = net(inputs.permute(0, 3, 1, 2))
    return logits.double().softmax(dim=1).mean(dim=0).numpy()


VIEWS: dict[str, list[object]] = {
    "one": [],
    "mirrored": ["--test.flip", "true"],
    "ten": ["--test.crops", 10],
}


@pytest.mark.first_covers
@pytest.mark.parametrize("views", VIEWS)
def test_probabilities_of_all_views_are_averaged(packed: Packed, views: str) -> None:
    folder = _test(packed, *VIEWS[views])
    rows = pq.read_table(folder / "scores.parquet").to_pylist()
    result = json.loads((folder / "result.json").read_text())
    assert {row["key"]: row["label"] for row in rows} == {
        key: label for key, (label, _) in packed.pictures.items()
    }
    losses = []
    for row in rows:
        expected = _by_hand(packed, packed.pictures[row["key"]][1], views)
        best = np.argsort(-expected)[:5]
        assert [row[f"top{rank}"] for rank in range(1, 6)] == best.tolist()
        assert row["probability"] == pytest.approx(expected[row["label"]], rel=1e-5)
        assert row["confidence"] == pytest.approx(expected[best[0]], rel=1e-5)
        assert row["loss"] == pytest.approx(-math.log(expected[row["label"]]), rel=1e-5)
        losses.append(row["loss"])
    assert result["scores"]["loss"] == math.fsum(losses) / len(losses)
    protocol = result["protocol"]
    assert (protocol["crops"], protocol["flip"]) == (
        10 if views == "ten" else 1,
        views == "mirrored",
    )
    jsonschema.validate(result, json.loads(SCHEMA.read_text()))
    assert read_config(folder)["test"] == {
        "crops": protocol["crops"],
        "flip": protocol["flip"],
        "topk": 5,
    }


@pytest.mark.parametrize("views", ["mirrored", "ten"])
def test_the_submission_is_made_of_the_same_views(packed: Packed, views: str) -> None:
    folder = _test(packed, *VIEWS[views], "--data.test_split", "test")
    lines = (folder / "submission.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [f"{key}.jpg" for key in packed.unlabelled]
    for line in lines:
        name, *labels = line.split()
        expected = _by_hand(packed, packed.unlabelled[name.removesuffix(".jpg")], views)
        assert list(map(int, labels)) == np.argsort(-expected)[:5].tolist()
    assert not (folder / "result.json").exists()


def test_protocols_have_their_own_tables(
    packed: Packed, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*VIEWS.values(), ["--test.topk", 2]]
    folders = [_test(packed, *more) for more in words]
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    assert len({result["config_hash"] for result in results}) == 1  # of the training
    scored = [json.dumps(result["protocol"]) for result in results]
    assert scored[0] == scored[-1]
    assert len(set(scored)) == 3
    capsys.readouterr()
    assert main(["leaderboard", *map(str, folders), "--no-published", "--format", "json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    protocols = {table["protocol"]: len(table["rows"]) for table in tables}
    assert sorted(protocols.values()) == [1, 1, 2]
    assert any("10 crops" in protocol for protocol in protocols)
    assert any("mirrored" in protocol for protocol in protocols)


@pytest.mark.parametrize("topk", [1, 3])
def test_topk_says_which_accuracies_are_reported(
    packed: Packed, capsys: pytest.CaptureFixture[str], topk: int
) -> None:
    folder = _test(packed, "--test.topk", str(topk))
    out = capsys.readouterr().err
    result = json.loads((folder / "result.json").read_text())
    jsonschema.validate(result, json.loads(SCHEMA.read_text()))
    for rank in range(1, 6):
        assert (f"top{rank}" in result["scores"]) == (rank <= topk)
        assert (f"top{rank}" in result["intervals"]) == (rank <= topk)
        assert (f"top{rank} " in out) == (rank <= topk)
    assert main(["leaderboard", str(folder)]) == 0


def test_options_of_a_test_may_come_from_a_file(packed: Packed) -> None:
    Path("ten.yaml").write_text("test:\n  crops: 10\n  topk: 2\n")
    folder = _test(packed, "--config", Path("ten.yaml").absolute())
    result = json.loads((folder / "result.json").read_text())
    assert result["protocol"]["crops"] == 10
    assert "top3" not in result["scores"]
    again = _test(packed, "--config", folder / "config.yaml")
    second = json.loads((again / "result.json").read_text())
    assert second["scores"] == result["scores"]
    assert second["config_hash"] == result["config_hash"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--test.crops", "5"], "--test.crops"),
        (["--test.crops", "0"], "--test.crops"),
        (["--test.crops", "many"], "--test.crops"),
        (["--test.topk", "0"], "test.topk must be 1 to 5, not 0"),
        (["--test.topk", "6"], "test.topk must be 1 to 5, not 6"),
        (["--test.topk", "2.5"], "--test.topk"),
        (["--test.flip", "maybe"], "--test.flip"),
        (["--test.flip", "true", "--test.crops", "10"], "test.flip true"),
        (["--test.crop", "10"], "test.crops"),
        (["--test", "10"], "test"),
    ],
)
def test_wrong_options_are_refused_by_name(
    packed: Packed, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    more = ["--ckpt_path", packed.checkpoint, "--data.root", packed.root]
    assert run("test", *more, *words) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) <= 4
    assert not list(Path("runs").glob("*/*"))


@pytest.mark.parametrize("words", [["fit"], ["validate"], ["predict", "photos"]])
def test_other_stages_know_no_crops(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main([*words, "--test.crops", "10"]) == 2
    error = capsys.readouterr().err
    assert "no option 'test.crops'" in error
    assert "belongs to:   places test\n" in error
    assert main([words[0], "--help"]) == 0
    assert "--test." not in capsys.readouterr().out


def _wilson(num_hits: int, num: int) -> tuple[float, float]:
    z, share = 1.959963984540054, num_hits / num
    centre = (share + z * z / (2 * num)) / (1 + z * z / num)
    half = z / (1 + z * z / num) * math.sqrt(share * (1 - share) / num + z * z / (4 * num * num))
    return centre - half, centre + half


@pytest.mark.parametrize("views", ["one", "ten"])
def test_numpy_finds_every_score_in_the_scores_of_pictures(packed: Packed, views: str) -> None:
    folder = _test(packed, *VIEWS[views])
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    columns = pq.read_table(folder / "scores.parquet").to_pydict()
    label, confidence = np.array(columns["label"]), np.array(columns["confidence"])
    guesses = np.stack([columns[f"top{rank}"] for rank in range(1, 6)], axis=1)
    right = guesses == label[:, None]
    num, scores, intervals = len(label), found["scores"], found["intervals"]
    assert found["num_images"] == num == len(packed.pictures)

    for rank in range(1, 6):
        hits = int(right[:, :rank].any(axis=1).sum())
        assert scores[f"top{rank}"] == hits / num
        assert intervals[f"top{rank}"] == pytest.approx(_wilson(hits, num))
    per_class = [right[label == one, 0].mean() for one in np.unique(label)]
    assert scores["mean_class_accuracy"] == pytest.approx(np.mean(per_class), rel=1e-15)
    setting = np.array([setting == "indoor" for setting in load_settings()])
    hits = int((setting[guesses[:, 0]] == setting[label]).sum())
    assert scores["indoor_or_outdoor"] == hits / num
    assert intervals["indoor_or_outdoor"] == pytest.approx(_wilson(hits, num))
    assert scores["loss"] == math.fsum(columns["loss"]) / num

    bins = np.clip(np.ceil(np.float32(confidence) * np.float32(15)), 1, 15).astype(int) - 1
    gaps = 0.0
    for number, row in enumerate(found["reliability"]):
        mine = bins == number
        assert row["num_images"] == mine.sum()
        assert (row["from"], row["to"]) == (number / 15, (number + 1) / 15)
        if mine.any():
            assert row["mean_confidence"] == pytest.approx(confidence[mine].mean(), abs=1e-9)
            assert row["accuracy"] == right[mine, 0].mean()
            interval = _wilson(int(right[mine, 0].sum()), int(mine.sum()))
            assert row["accuracy_interval"] == pytest.approx(interval, abs=1e-12)
            gaps += abs(confidence[mine].sum() - right[mine, 0].sum())
    assert scores["calibration_error"] == pytest.approx(gaps / num, abs=1e-9)

    names = load_categories()
    for row in found["categories"]:
        mine = label == row["label"]
        assert row["category"] == names[row["label"]]
        assert row["num_images"] == mine.sum()
        assert row["num_predicted"] == (guesses[:, 0] == row["label"]).sum()
        if mine.any():
            assert row["top1"] == right[mine, 0].mean()
            assert row["top5"] == right[mine].any(axis=1).mean()
            interval = _wilson(int(right[mine, 0].sum()), int(mine.sum()))
            assert row["top1_interval"] == pytest.approx(interval, abs=1e-12)
            interval = _wilson(int(right[mine].sum()), int(mine.sum()))
            assert row["top5_interval"] == pytest.approx(interval, abs=1e-12)
        else:
            assert row["top1"] is row["top5"] is None
    _check_pairs(found["confused"], label, guesses[:, 0])


def _check_pairs(
    confused: list[dict[str, Any]], label: npt.NDArray[Any], guess: npt.NDArray[Any]
) -> None:
    names = load_categories()
    pairs = Counter(
        tuple(sorted((one, other)))
        for one, other in zip(label.tolist(), guess.tolist(), strict=True)
        if one != other
    )
    shown = [
        (pair["categories"], pair["first_as_second"] + pair["second_as_first"]) for pair in confused
    ]
    assert [count for _, count in shown] == [count for _, count in pairs.most_common(20)]
    for (first, second), count in shown:
        assert pairs[names.index(first), names.index(second)] == count
    for pair in confused:
        first, second = map(names.index, pair["categories"])
        assert pair["first_as_second"] == ((label == first) & (guess == second)).sum()
        assert pair["second_as_first"] == ((label == second) & (guess == first)).sum()


@pytest.mark.parametrize("views", ["one", "ten"])
def test_scores_equal_those_of_torchmetrics_and_scikit_learn(packed: Packed, views: str) -> None:
    found = json.loads((_test(packed, *VIEWS[views]) / "result.json").read_text())["scores"]
    label = np.array([label for label, _ in packed.pictures.values()])
    chances = np.stack([_by_hand(packed, jpeg, views) for _, jpeg in packed.pictures.values()])
    target, preds = torch.from_numpy(label), torch.from_numpy(chances).float()
    for rank in range(1, 6):
        metric = MulticlassAccuracy(365, top_k=rank, average="micro")
        assert found[f"top{rank}"] == pytest.approx(float(metric(preds, target)))
    mean = MulticlassAccuracy(365, average="none")(preds, target)[np.unique(label)].mean()
    assert found["mean_class_accuracy"] == pytest.approx(float(mean))
    error = MulticlassCalibrationError(365, n_bins=15)(preds, target)
    assert found["calibration_error"] == pytest.approx(float(error), abs=1e-6)

    metrics = pytest.importorskip("sklearn.metrics")
    guess, classes = chances.argmax(axis=1), np.arange(365)
    assert found["top1"] == metrics.accuracy_score(label, guess)
    top5 = metrics.top_k_accuracy_score(label, chances, k=5, labels=classes)
    assert found["top5"] == pytest.approx(top5)
    mean = metrics.recall_score(label, guess, labels=np.unique(label), average="macro")
    assert found["mean_class_accuracy"] == pytest.approx(mean)
    loss = metrics.log_loss(label, chances, labels=classes)
    assert found["loss"] == pytest.approx(loss, rel=1e-6)


def test_wrong_pictures_are_told(packed: Packed, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _test(packed, "--test.topk", "4")
    rows = pq.read_table(folder / "scores.parquet").to_pylist()
    num_wrong = sum(row["top1"] != row["label"] for row in rows)
    said = f"{num_wrong} of {len(rows)} pictures wrong: where top1 is not label in "
    assert said + str(folder / "scores.parquet") in capsys.readouterr().err


def test_weights_that_are_no_checkpoint_of_ours_are_told_as_well(
    packed: Packed, tmp_path: Path
) -> None:
    path = tmp_path / "weights.pth"
    weights = load_weights(packed.checkpoint)
    torch.save({k[4:]: v for k, v in weights.items() if k.startswith("net.")}, path)
    words = ["--model.net", "tests.networks.Tiny", "--model.weights", path]
    words += ["--data.image_size", 32, "--data.resize_size", 36, "--data.root", packed.root]
    assert run("test", *words) == 0
    (file,) = Path("runs").rglob("result.json")
    result = json.loads(file.read_text())
    assert result["checkpoint"]["path"] == str(path)
    assert result["training"] is None
    assert result["cost"]["training_hours"] is None
    assert main(["leaderboard", str(file)]) == 0
    path.write_bytes(path.read_bytes() + b"x")
    assert main(["leaderboard", str(file)]) == 2


@pytest.mark.slow
def test_the_cost_of_a_training_is_counted_over_its_resumptions(
    sample: Path, packed: Packed, tmp_path: Path
) -> None:
    def cost_of(*words: object) -> tuple[int, float]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        words = (*words, "--data.root", sample, "--trainer.default_root_dir", folder)
        assert run("test", *words) == 0
        (file,) = folder.rglob("result.json")
        cost = json.loads(file.read_text())["cost"]
        return cost["training_images"], cost["training_hours"]

    num_images, hours = cost_of("--ckpt_path", packed.checkpoint)
    assert num_images == 96
    assert 0 < hours < 1
    longer = ["--ckpt_path", packed.checkpoint, "--trainer.max_epochs", 2]
    root = tmp_path / "resumed"
    assert run("fit", *longer, "--data.root", sample, "--trainer.default_root_dir", root) == 0
    (checkpoint,) = root.rglob("last.ckpt")
    more_images, more_hours = cost_of("--ckpt_path", checkpoint)
    assert more_images == 192
    assert more_hours > hours


@pytest.mark.parametrize(
    ("way", "ending"), [("tar", ".csv"), ("tar", ".jsonl"), ("split", ".parquet")]
)
def test_predictions_of_labelled_pictures_have_their_labels(
    packed: Packed, way: str, ending: str
) -> None:
    shards = str(packed.root / "val-000000.tar")
    ways: dict[str, list[object]] = {
        "tar": [shards],
        "split": ["--data", "Places365", "--data.root", packed.root, "--data.predict_split", "val"],
    }
    file = Path(f"out{ending}")
    more = ["--ckpt_path", packed.checkpoint, "--predictions.file", file]
    assert run("predict", *ways[way], *more) == 0
    rows = _read(file)
    assert len(rows) == len(packed.pictures)
    for row in rows:
        key = row["path"].rpartition("::")[2].removesuffix(".jpg").removesuffix(".ppm")
        label = packed.pictures[key][0]
        assert int(row["true_index"]) == label
        assert row["true_category"] == load_categories()[label]
    page = Path(f"{file}.gallery.html")
    shown = embedded(page)["rows"]
    assert [row[-1] for row in shown] == [int(row["true_index"]) for row in rows]
    num_right = sum(row[-1] == row[5][0] for row in shown)
    assert f"{num_right} of {len(rows)} right" in page.read_text()


def _read(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(file.read_text())))
    if file.suffix == ".jsonl":
        return [json.loads(line) for line in file.read_text().splitlines()]
    return pq.read_table(file).to_pylist()  # type: ignore[no-any-return]  # of pyarrow


def test_pictures_without_labels_have_no_columns_for_them(packed: Packed) -> None:
    ways: list[list[object]] = [
        [str(packed.root / "test-000000.tar")],
        ["--data", "Places365", "--data.root", packed.root, "--data.predict_split", "test"],
    ]
    for number, words in enumerate(ways):
        file = Path(f"{number}.csv")
        more = ["--ckpt_path", packed.checkpoint, "--predictions.file", file]
        assert run("predict", *words, *more) == 0
        assert "true" not in file.read_text().splitlines()[0]
        assert 'value="wrong"' not in Path(f"{file}.gallery.html").read_text()
