"""What a run leaves about itself, and what is read of it, whatever somebody did to it."""

import csv
import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas
import pytest
import torch
import yaml
from tests.integration.stages import fit_in, run, run_apart

from places.cli.main import main
from places.reports.run_facts import RunFacts, read_run
from places.reports.time_parts import STEP_PARTS, DeviceMarks, PartClock


@pytest.fixture(scope="module")
def tested(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training, 0, and of its test, 1."""
    root = tmp_path_factory.mktemp("facts")
    trained = fit_in(root, "--data.root", sample, "--trainer.max_epochs", 3)
    assert run("test", "--ckpt_path", trained, "--trainer.default_root_dir", root) == 0
    return trained.parent


def test_a_training_is_read_as_others_read_its_files(tested: Path) -> None:
    facts = read_run(tested / "0")
    assert (facts.recipe, facts.number, facts.stage) == ("fit", 0, "fit")
    assert (facts.state, facts.progress) == ("complete", "finished, 3 epochs")
    assert facts.notes == ()
    assert facts.command[:2] == ("places", "fit")
    assert "--trainer.max_epochs" in facts.command
    table = pandas.read_csv(tested / "0" / "metrics.csv")
    for name in set(table.columns) - {"step", "epoch"}:
        values = table[["step", name]].dropna().sort_values("step", kind="stable")
        assert facts.curves[name] == list(values.itertuples(index=False, name=None)), name
    config = yaml.safe_load((tested / "0" / "config.yaml").read_text())
    assert facts.config == config
    validation = json.loads((tested / "0" / "validation.json").read_text())
    assert facts.validation == validation
    last = {name: facts.curves[f"val/{name}"][-1][1] for name in ("top1", "top5", "loss")}
    for name, value in last.items():
        assert validation["scores"][name] == pytest.approx(value)  # logged in 32 bits
    assert sum(num for *_, num in validation["confusion"]) == validation["num_images"] == 36
    right = sum(num for true, guess, num in validation["confusion"] if true == guess)
    assert right / 36 == validation["scores"]["top1"]


def test_a_test_is_read_as_others_read_its_files(tested: Path) -> None:
    facts = read_run(tested / "1")
    assert (facts.stage, facts.state) == ("test", "complete")
    assert facts.result == json.loads((tested / "1" / "result.json").read_text())
    table, pictures = pandas.read_parquet(tested / "1" / "scores.parquet"), facts.pictures
    assert pictures is not None
    assert pictures.keys == list(table["key"])
    assert pictures.labels.tolist() == list(table["label"])
    for rank in range(5):
        assert pictures.guesses[:, rank].tolist() == list(table[f"top{rank + 1}"])
    assert pictures.probability == pytest.approx(table["probability"].to_numpy())
    assert facts.result is not None
    assert facts.best_top1 == facts.result["scores"]["top1"]
    assert facts.versions["torch"] == torch.__version__.partition("+")[0]


def test_the_parts_of_the_time_are_the_whole_time(tested: Path) -> None:
    for number, parts in ((0, {*STEP_PARTS, "validation", "checkpoints"}), (1, {"forward"})):
        facts = read_run(tested / str(number))
        assert parts <= facts.times_s.keys()
        assert all(value > 0 for value in facts.times_s.values())
        assert facts.ended is not None
        started, ended = map(datetime.fromisoformat, (facts.started, facts.ended))
        # Both are written to the second.
        assert sum(facts.times_s.values()) == pytest.approx(
            (ended - started).total_seconds(), abs=1.1
        )
        assert facts.memory_bytes["host"] > 100e6  # torch alone takes more


def test_shares_of_a_step_are_logged_and_add_up(tested: Path) -> None:
    with (tested / "0" / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row.get("time/backward_share")]
    assert len(rows) >= 5
    for row in rows:
        shares = [float(row[f"time/{part}_share"]) for part in ("forward", "backward", "optimizer")]
        assert all(0 <= share <= 1 for share in shares)
        assert sum(shares) <= 1.000001


def test_part_clock_counts_what_happens_within() -> None:
    clock = PartClock(torch.device("cpu"))
    clock.switch("forward")
    time.sleep(0.02)
    with clock.within("checkpoints"):
        time.sleep(0.03)
    clock.switch("waiting")
    times_s = clock.times_s()
    assert times_s["forward"] >= 0.02
    assert times_s["checkpoints"] >= 0.03
    assert times_s["forward"] < sum(times_s.values())
    assert "backward" not in times_s


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_measured_by_its_own_clock() -> None:
    device = torch.device("cuda")
    matrix = torch.randn(4096, 4096, device=device)
    torch.cuda.synchronize()
    marks = DeviceMarks(device)
    marks.add("")
    started_s = time.monotonic()
    for _ in range(50):
        matrix = (matrix @ matrix).clamp(-1, 1)
    marks.add("forward")
    asked_s = time.monotonic() - started_s
    times_s = marks.times_s(wait=True)
    took_s = time.monotonic() - started_s
    assert asked_s < times_s["forward"] <= took_s
    assert times_s["backward"] == 0


def test_flags_are_told_as_changes_of_the_recipe(sample: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("trainer: {max_epochs: 2}\nmodel: {label_smoothing: 0.1}\n")
    words = ["--config", recipe, "--data.root", sample, "--trainer.max_epochs", 1]
    assert run("fit", *words, "--model.optimizer", "AdamW", "--trainer.limit_val_batches", 1) == 0
    facts = read_run(Path("runs/mine/0"))
    assert facts.changes is not None
    changes = {key: (before, now) for key, before, now in facts.changes}
    assert changes["trainer.max_epochs"] == ("2", "1")
    assert changes["model.optimizer.class_path"] == ("torch.optim.SGD", "torch.optim.AdamW")
    assert changes["trainer.limit_val_batches"] == ("null", "1")
    assert facts.config is not None
    optimizer = facts.config["model"]["init_args"]["optimizer"]
    assert optimizer["class_path"] == "torch.optim.AdamW"
    assert facts.config["trainer"]["max_epochs"] == 1
    assert not {"model.label_smoothing", "trainer.default_root_dir", "trainer.logger"} & {*changes}
    ((path, digest),) = facts.recipes
    assert path == str(recipe)
    assert len(digest) == 64


def test_a_run_that_goes_on_and_one_that_was_killed_are_told_apart(
    sample: Path, tmp_path: Path
) -> None:
    folder, seen = tmp_path / "fit" / "0", list[RunFacts]()

    def is_time_to_die() -> bool:
        if (folder / "validation.json").is_file():
            seen.append(read_run(folder))
            return True
        return False

    words = ["--data.root", sample, "--trainer.max_epochs", 500]
    where = ["--trainer.default_root_dir", tmp_path]
    assert run_apart("fit", [*words, *where], is_time_to_die) == -9
    assert seen[0].state == "going on"
    assert seen[0].progress.endswith("of 500 epochs")
    assert seen[0].validation is not None
    after = read_run(folder)
    assert after.state == "interrupted"
    assert after.ended is None
    assert after.times_s["waiting"] > 0
    assert main(["report", str(folder)]) == 0
    assert "This run was interrupted" in (folder / "report.html").read_text()


@pytest.mark.parametrize(("age_s", "state"), [(60, "going on"), (7200, "interrupted")])
def test_of_a_run_elsewhere_its_last_word_tells(
    tested: Path, tmp_path: Path, age_s: int, state: str
) -> None:
    folder = tmp_path / "fit" / "7"
    shutil.copytree(tested / "0", folder)
    record = json.loads((folder / "run.json").read_text())
    record |= {"ended": None, "outcome": None}
    record["process"]["host"] = "elsewhere"
    record["written"] = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
    (folder / "run.json").write_text(json.dumps(record))
    assert read_run(folder).state == state


def _link(name: str) -> Callable[[Path], None]:
    def link(folder: Path) -> None:
        secret = folder.parent / f"elsewhere-{name}"
        shutil.move(folder / name, secret)
        (folder / name).symlink_to(secret)

    return link


def _written(name: str, content: bytes) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return write


def _pipe(name: str) -> Callable[[Path], None]:
    def pipe(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return pipe


DAMAGES = [
    (_link("config.yaml"), "config.yaml is a link"),
    (_link("result.json"), "result.json is a link"),
    (_pipe("config.yaml"), "config.yaml is not a file"),
    (_pipe("metrics.csv"), "metrics.csv is not a file"),
    (_pipe("result.json"), "result.json is not a file"),
    (_pipe("scores.parquet"), "scores.parquet is not a file"),
    (_pipe("run.json"), "run.json is not a file"),
    (_written("config.yaml", b"a: &a [*a, *a]"), "config.yaml cannot be read"),
    (_written("config.yaml", b"\xff\xfe\x00"), "config.yaml cannot be read"),
    (_written("config.yaml", b"- 1\n- 2"), "config.yaml cannot be read"),
    (_written("config.yaml", b"x: 1\n" * 300_000), "config.yaml cannot be read"),
    (_written("metrics.csv", b"a,b\n1,2\n"), "metrics.csv cannot be read"),
    (_written("metrics.csv", b"\x00\x00\x00"), "metrics.csv cannot be read"),
    (_written("metrics.csv", b"step,x\n1,nan\n2,inf\n3,4\n"), "2 values of x left out"),
    (_written("metrics.csv", b"step,x\n1,1e300\n2,1\n"), "1 value of x left out"),
    (_written("metrics.csv", b'step,x\nz,1\n"1,2\n-4,1\n3,4\n'), "3 lines of metrics.csv"),
    (_written("result.json", b"[" * 100_000), "result.json cannot be read"),
    (_written("result.json", b"[1]"), "result.json cannot be read"),
    (_written("result.json", b'{"a": NaN}'), "result.json cannot be read"),
    (_written("result.json", b" " * 40_000_000), "result.json cannot be read"),
    (_written("scores.parquet", b"PAR1" + b"\0" * 99), "scores.parquet cannot be read"),
    (_written("run.json", b"{]"), "run.json cannot be read"),
]


@pytest.mark.parametrize(("damage", "note"), DAMAGES, ids=lambda x: x if isinstance(x, str) else "")
def test_what_cannot_be_read_is_left_out_and_said(
    tested: Path, tmp_path: Path, damage: Callable[[Path], None], note: str
) -> None:
    folder = tmp_path / "fit" / "7"
    shutil.copytree(tested / "1", folder)
    (folder / "metrics.csv").write_text("step,val/top1\n1,0.5\n")
    damage(folder)
    facts = read_run(folder)
    assert any(told.startswith(note) for told in facts.notes), facts.notes
    assert facts.stage == "test"


def test_a_table_of_pictures_of_another_test_is_left_out(tested: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fit" / "7"
    shutil.copytree(tested / "1", folder)
    table = pandas.read_parquet(folder / "scores.parquet")
    table["top1"] = table["label"]
    table.to_parquet(folder / "scores.parquet")
    facts = read_run(folder)
    assert facts.pictures is None
    assert "scores.parquet is not the one that result.json tells of" in facts.notes
