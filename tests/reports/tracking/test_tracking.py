"""One training with all three loggers, resumed once, read back by their own readers."""

import base64
import csv
import hashlib
import io
import json
import math
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PIL import Image
from tests.integration.stages import read_config
from tests.reports.tracking.tracked import Runs, metrics_of

pytestmark = pytest.mark.slow
NUM_VAL = 36
SCORES = ("top1", "top5", "mean_class_accuracy", "loss", "calibration_error")


def _same(one: list[tuple[int, float]], other: list[tuple[int, float]]) -> bool:
    return [step for step, _ in one] == [step for step, _ in other] and np.allclose(
        [value for _, value in one], [value for _, value in other], rtol=1e-6
    )


def _best(*folders: Path) -> dict[str, float]:
    """Return the scores of the validation with the best top-1, the first of equal ones."""
    rows = [(step, value) for folder in folders for step, value in metrics_of(folder)["val/top1"]]
    best = max(value for _, value in rows)
    step = next(step for step, value in rows if value == best)
    found = {"best/step": float(step)}
    for folder in folders:
        for name, pairs in metrics_of(folder).items():
            if name.startswith("val/") and step in dict(pairs):
                found[f"best/{name}"] = dict(pairs)[step]
    return found


NAMES = {
    *(f"train/{name}" for name in ("loss", "top1", "learning_rate")),
    *(f"val/{name}" for name in SCORES),
    *("time/images_per_second", "time/waiting_share"),
}


def test_the_table_of_metrics_has_all_that_is_measured(runs: Runs) -> None:
    assert metrics_of(runs.first).keys() >= NAMES


def test_wandb_has_every_metric(runs: Runs) -> None:
    for folder, offline in zip(runs[:2], runs.wandb, strict=False):
        for name, pairs in metrics_of(folder).items():
            assert _same(offline.values(name), pairs), name


def test_memory_is_told_with_the_other_numbers_of_a_step(runs: Runs) -> None:
    steps = [step for step, _ in metrics_of(runs.first)["train/loss"]]
    client = _mlflow(runs.first)
    (found,) = client.search_runs([client.get_experiment_by_name("places").experiment_id])
    history = client.get_metric_history(found.info.run_id, "memory/process_gib")
    for pairs in (
        runs.wandb[0].values("memory/process_gib"),
        [(e.step, e.value) for e in _events(runs.first).Scalars("memory/process_gib")],
        [(m.step, m.value) for m in history],
    ):
        assert [step for step, _ in pairs] == steps
        assert all(0.05 < value < 64 for _, value in pairs)
        assert [value for _, value in pairs] == sorted(value for _, value in pairs)


def test_wandb_knows_what_ran(runs: Runs, sample: Path) -> None:
    for folder, offline in zip(runs[:2], runs.wandb, strict=False):
        number = folder.name
        assert offline.run.display_name == "tracked/0" if number == "0" else "tracked/1"
        assert offline.run.run_group == "tracked"
        assert list(offline.run.tags) == ["tracked", f"run {number}", "fit"]
        assert offline.run.job_type == "fit"
        assert offline.run.project == "places"
        config = {k: v for k, v in offline.config.items() if k not in ("_wandb", "places")}
        assert config == read_config(folder)
        about = offline.config["places"]
        _check_facts(about, sample)
        assert (about["recipe"], about["run"], about["stage"]) == (
            "tracked",
            f"tracked/{number}",
            "fit",
        )
        assert offline.exit_code == 0


def _check_facts(about: dict[str, Any], sample: Path) -> None:
    assert len(about["config_sha256"]) == len(about["config_hash"]) == 64
    assert {"places", "torch", "lightning"} <= about["versions"].keys()
    assert len(about["code"]["source_sha256"]) == 64
    assert about["hardware"]["device"] == "cpu"
    for split in ("train", "val"):
        manifest = json.loads((sample / f"{split}.json").read_text(encoding="utf-8"))
        assert about["data"][split]["num_images"] == sum(
            s["num_samples"] for s in manifest["shards"]
        )
        assert about["data"][split]["synthetic"] is True
        assert len(about["data"][split]["manifest_digest"]) == 64


def test_a_resumed_run_is_the_same_run_for_wandb(runs: Runs) -> None:
    first, second, tested = (offline.run.run_id for offline in runs.wandb)
    assert first == second != tested


def test_the_best_scores_are_in_the_summary(runs: Runs) -> None:
    folders = ([runs.first], [runs.first, runs.second])
    for offline, so_far in zip(runs.wandb, folders, strict=False):
        for name, value in _best(*so_far).items():
            assert math.isclose(offline.summary[name], value, rel_tol=1e-6), name
        # Beside them the last ones.
        assert math.isclose(
            offline.summary["val/top1"], metrics_of(so_far[-1])["val/top1"][-1][1], rel_tol=1e-6
        )


def test_the_cost_goes_on_when_a_run_is_resumed(runs: Runs) -> None:
    first, second, _ = (offline.summary for offline in runs.wandb)
    assert first["cost/images_seen"] == 2 * 96
    assert second["cost/images_seen"] == 3 * 96
    assert 0 < first["cost/hours"] < second["cost/hours"] < 1
    for found in (first, second):
        per_second = found["cost/images_seen"] / found["cost/hours"] / 3600
        assert math.isclose(found["cost/images_per_second"], per_second)


def test_intervals_enclose_the_scores(runs: Runs) -> None:
    summary = runs.wandb[0].summary
    for name in ("top1", "top2", "top5", "mean_class_accuracy", "indoor_or_outdoor"):
        low, high = (summary[f"val/{name}_{end}"] for end in ("from", "to"))
        assert 0 <= low <= summary[f"val/{name}"] <= high <= 1


def test_categories_add_up_to_the_score(runs: Runs) -> None:
    columns, rows = runs.wandb[0].table("val/categories")
    assert columns[:7] == ["category", "num_images", "num_predicted", "top1", "from", "to", "top5"]
    assert columns[7:] == ["top5_from", "top5_to"]
    for *_, top5, low, high in rows:
        assert 0 <= low <= top5 <= high <= 1
    assert sum(row[1] for row in rows) == NUM_VAL
    hits = sum(row[1] * row[3] for row in rows)
    expected = runs.wandb[0].summary["val/top1"]
    assert math.isclose(hits / NUM_VAL, expected, rel_tol=1e-6)
    truths = [truth for truth, _ in _labels_of_val()]
    assert {row[0]: row[1] for row in rows} == {name: truths.count(name) for name in truths}


def test_reliability_counts_all_pictures(runs: Runs) -> None:
    columns, rows = runs.wandb[0].table("val/reliability")
    table = [dict(zip(columns, row, strict=True)) for row in rows]
    used = [row for row in table if row["num_images"]]
    assert sum(row["num_images"] for row in used) == NUM_VAL
    gap = sum(row["num_images"] * abs(row["accuracy"] - row["mean_confidence"]) for row in used)
    expected = runs.wandb[0].summary["val/calibration_error"]
    assert math.isclose(gap / NUM_VAL, expected, rel_tol=1e-6)


def test_wandb_shows_pictures_with_what_is_said_of_them(runs: Runs) -> None:
    for offline in runs.wandb[:2]:
        shown = offline.values("val/predictions")
        assert [step for step, _ in shown] == [step for step, _ in offline.values("val/top1")]
        for _, value in shown:
            media: Any = value
            assert media["format"] == "jpg"
            labels = _labels_of_val()[:16]
            assert len(media["filenames"]) == len(media["captions"]) == 16
            for name, caption, (truth, pixels) in zip(
                media["filenames"], media["captions"], labels, strict=True
            ):
                verdict, _, said = caption.partition(f": is {truth}; guessed ")
                assert verdict == ("right" if said.startswith(f"{truth} ") else "wrong")
                assert said.count("%") == 3
                with Image.open(offline.folder / "files" / name) as picture:
                    seen = np.asarray(picture.convert("RGB"), np.float32)
                # JPEG once more, and not resized by the same code.
                assert np.abs(seen - pixels).mean() < 12


_SAMPLE: list[Path] = []


@pytest.fixture(autouse=True)
def _sample(sample: Path) -> None:
    _SAMPLE[:] = [sample]


def _labels_of_val() -> list[tuple[str, npt.NDArray[np.float32]]]:
    """Return the category of each picture of `val` and its middle 32 of 36 pixels, in order."""
    names = json.loads((_SAMPLE[0] / "val.json").read_text(encoding="utf-8"))["categories"]
    found: dict[str, dict[str, bytes]] = {}
    for shard in sorted(_SAMPLE[0].glob("val-*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                key, _, ending = member.name.partition(".")
                file = tar.extractfile(member)
                assert file is not None
                found.setdefault(key, {})[ending] = file.read()
    return [(names[int(x["cls"])], _pixels(x["jpg"])) for x in found.values()]


def _pixels(jpeg: bytes) -> npt.NDArray[np.float32]:
    with Image.open(io.BytesIO(jpeg)) as image:
        scale = 36 / min(image.size)
        size = (round(scale * image.width), round(scale * image.height))
        small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        left, top = (small.width - 32) // 2, (small.height - 32) // 2
        return np.asarray(small.crop((left, top, left + 32, top + 32)), np.float32)


def test_a_test_is_a_run_of_its_own_with_the_scores_of_its_result(runs: Runs) -> None:
    offline = runs.wandb[2]
    result = json.loads((runs.tested / "result.json").read_text(encoding="utf-8"))
    assert offline.run.job_type == "test"
    header = (runs.tested / "config.yaml").read_text(encoding="utf-8").splitlines()[1]
    assert header == f"# config_hash: {offline.config['places']['config_hash']}"
    for name, value in result["scores"].items():
        assert math.isclose(offline.summary[f"test/{name}"], value, rel_tol=1e-6), name
        for end, expected in zip(("from", "to"), result["intervals"].get(name, ()), strict=False):
            assert math.isclose(offline.summary[f"test/{name}_{end}"], expected, rel_tol=1e-6)
    _, rows = offline.table("test/categories")
    expected_rows = [row for row in result["categories"] if row["num_images"]]
    assert [row[0] for row in rows] == [row["category"] for row in expected_rows]
    assert [row[3] for row in rows] == [row["top1"] for row in expected_rows]
    ((_, media),) = offline.values("test/predictions")
    assert len(media["captions"]) == 16  # type: ignore[index]
    client = _mlflow(runs.tested)
    (found,) = client.search_runs([client.get_experiment_by_name("places").experiment_id])
    assert math.isclose(found.data.metrics["test/top2"], result["scores"]["top2"])
    names = _events(runs.tested).Tags()["images"]
    assert {"test/predictions", "test/confusion", "test/reliability_diagram"} <= {*names}


def test_wandb_keeps_the_best_checkpoint(runs: Runs) -> None:
    for folder, offline in zip((runs.first, runs.second), runs.wandb, strict=False):
        (kept,) = (each for each in offline.artifacts if each.type == "model")
        assert {*kept.aliases} == {"latest", "best"}
        (entry,) = kept.manifest.contents
        best = (folder / "checkpoints" / "best.ckpt").read_bytes()
        assert base64.b64decode(entry.digest) == hashlib.md5(best).digest()
    assert not [each for each in runs.wandb[2].artifacts if each.type == "model"]  # of a test


@pytest.mark.parametrize("name", ["val/confusion", "val/reliability_diagram"])
def test_wandb_shows_figures(runs: Runs, name: str) -> None:
    ((_, value),) = runs.wandb[0].values(name)
    media: Any = value
    with Image.open(runs.wandb[0].folder / "files" / media["filenames"][0]) as picture:
        assert min(picture.size) >= 400
        assert len(np.unique(np.asarray(picture))) > 20  # something is drawn


def _events(folder: Path) -> Any:  # noqa: ANN401  # tensorboard is not typed
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(
        str(folder / "tensorboard"), size_guidance={"images": 0, "tensors": 0}
    )
    events.Reload()
    return events


def test_tensorboard_has_every_metric_in_the_folder_of_the_run(runs: Runs) -> None:
    for folder in runs[:2]:
        events = _events(folder)
        for name, pairs in metrics_of(folder).items():
            assert _same([(e.step, e.value) for e in events.Scalars(name)], pairs), name
        assert not list(Path.cwd().glob("lightning_logs"))


def test_tensorboard_has_hparams_with_the_best_scores(runs: Runs) -> None:
    from tensorboard.plugins.hparams import plugin_data_pb2

    events = _events(runs.first)
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    data = plugin_data_pb2.HParamsPluginData.FromString(content)
    hparams = data.session_start_info.hparams
    assert hparams["model.optimizer.lr"].number_value == 0.1
    assert hparams["data.batch_size"].number_value == 16
    assert hparams["model.schedule"].string_value == "cosine"
    assert len(hparams["places.config_sha256"].string_value) == 64
    content = events.summary_metadata["_hparams_/experiment"].plugin_data.content
    experiment = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    assert "best/val/top1" in {info.name.tag for info in experiment.metric_infos}
    for name, value in _best(runs.first).items():
        assert math.isclose(events.Scalars(name)[-1].value, value, rel_tol=1e-6), name
    assert "hp_metric" not in events.Tags()["scalars"]


def test_tensorboard_shows_pictures_tables_and_the_config(runs: Runs) -> None:
    events = _events(runs.first)
    steps = [step for step, _ in metrics_of(runs.first)["val/top1"]]
    assert [e.step for e in events.Images("val/predictions")] == steps
    for name in ("val/confusion", "val/reliability_diagram"):
        (image,) = events.Images(name)
        assert min(image.width, image.height) >= 400
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    config = yaml.safe_load(text)
    assert {k: v for k, v in config.items() if k != "places"} == read_config(runs.first)
    table = events.Tensors("val/categories/text_summary")[0].tensor_proto.string_val[0].decode()
    assert len(table.splitlines()) == 2 + len(runs.wandb[0].table("val/categories")[1])


def _mlflow(folder: Path) -> Any:  # noqa: ANN401  # imported late
    from mlflow import MlflowClient

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    return MlflowClient(f"file:{folder / 'mlruns'}")


def test_mlflow_has_every_metric_in_the_folder_of_the_run(runs: Runs) -> None:
    for folder in runs[:2]:
        client = _mlflow(folder)
        experiment = client.get_experiment_by_name("places")
        (found,) = client.search_runs([experiment.experiment_id])
        assert found.info.status == "FINISHED"
        assert found.info.run_name == f"tracked/{folder.name}"
        assert found.data.tags["recipe"] == "tracked"
        assert found.data.tags["number"] == folder.name
        for name, pairs in metrics_of(folder).items():
            history = client.get_metric_history(found.info.run_id, name)
            assert _same([(m.step, m.value) for m in history], pairs), name
        assert found.data.params["model.optimizer.lr"] == "0.1"
        assert len(found.data.params["places.data.val.manifest_digest"]) == 64
    best = _best(runs.first, runs.second)
    assert math.isclose(found.data.metrics["best/val/top1"], best["best/val/top1"], rel_tol=1e-6)


def test_mlflow_keeps_files_and_the_best_checkpoint(runs: Runs, tmp_path: Path) -> None:
    client = _mlflow(runs.first)
    (found,) = client.search_runs([client.get_experiment_by_name("places").experiment_id])
    run_id = found.info.run_id

    def fetched(name: str) -> Path:
        return Path(client.download_artifacts(run_id, name, str(tmp_path)))

    config = yaml.safe_load(fetched("tracked-0-config.yaml").read_text(encoding="utf-8"))
    assert {k: v for k, v in config.items() if k != "places"} == read_config(runs.first)
    with fetched("val/categories.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["num_images"]) for row in rows) == NUM_VAL
    for name in ("val/confusion.png", "val/reliability_diagram.png"):
        with Image.open(fetched(name)) as picture:
            assert min(picture.size) >= 400
    assert len(list(fetched("images").glob("*predictions*.png"))) == 2
    best = runs.first / "checkpoints" / "best.ckpt"
    assert fetched("best/best.ckpt").read_bytes() == best.read_bytes()
