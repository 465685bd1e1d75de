from itertools import pairwise
from pathlib import Path

import pytest

from places.bench import loops, parts, step
from places.cli.main import main
from places.errors import PlacesError


def test_actions_belong_to_parts() -> None:
    actions = {
        "[_TrainingEpochLoop].train_dataloader_next": "wait for data",
        "[Callback]StepSeeds.before_batch": "seeds",
        "[Callback]before_batch": "callbacks",
        "[Callback]Divergence.on_train_batch_end": "callbacks",
        "[Callback]Divergence.on_before_optimizer_step": "callbacks",
        "[LightningModule]SceneClassifier.on_before_optimizer_step": "logging",
        "[Logger]save": "logging",
        "[LightningModule]SceneClassifier.optimizer_step": "network and optimizer",
        "[LightningModule]SceneClassifier.lr_scheduler_step": "rest",
        "[Strategy]SingleDeviceStrategy.training_step": "network and optimizer",
        "[Strategy]SingleDeviceStrategy.backward": "network and optimizer",
        "run_training_batch": "rest",
    }
    assert {action: parts._part_of(action) for action in actions} == actions


def test_the_time_of_an_action_within_another_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 3.0, 7.0, 15.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    times = parts._PartTimes()
    with (
        times.profile("[_TrainingEpochLoop].train_dataloader_next"),
        times.profile("[Callback]StepSeeds.before_batch"),
    ):
        pass
    assert times.spent_s == {"wait for data": 2 + 8, "seeds": 4}


def test_the_time_of_a_step_is_the_median_over_blocks_of_steps() -> None:
    starts_s = [0.0, *(100.0 + number for number in range(20))]  # the first steps do not count
    starts_s[16:] = [start + 50 for start in starts_s[16:]]  # an interruption
    times_s = [{"step": start, "seeds": start / 4} for start in starts_s]
    assert len({later - start for start, later in pairwise(starts_s)}) == 3
    assert step._median_step_ms(times_s) == {"step": 1000.0, "seeds": 250.0}


def test_the_cost_is_that_of_the_differences_within_a_turn() -> None:
    turns = [
        {
            "bare PyTorch": {"step": 10.0 * speed},
            "bare Lightning": {"step": 11.0 * speed, "seeds": 0.0},
            "places fit": {"step": 12.0 * speed, "seeds": 0.5 * speed},
        }
        for speed in (1.0, 2.0, 30.0)
    ]
    table = step._step_table(turns)
    (column,) = (column for column in table.columns if column.header == "places fit")
    cells = list(column.cells)
    assert cells[:2] == ["24.00", "12.00, 360.00"]
    assert "1.00" in cells  # the seeds
    assert "+4.00 (+20.0%)" in cells
    assert "+2.00 (+9.1%)" in cells


@pytest.mark.first_covers
@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet", "linear"])
def test_all_loops_train_on_the_same_batches(
    sample: Path, network: loops.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    work = loops.Work(sample, network, 18, 16, 32, 8, "cpu")
    keys = [batch["key"] for batch in work.batches()]

    def note(
        self: parts.Clock, trainer: object, module: object, batch: dict[str, list[str]], index: int
    ) -> None:
        seen.append(batch["key"])

    monkeypatch.setattr(parts.Clock, "on_train_batch_start", note)
    loops.bare_lightning(work)
    assert seen == keys
    assert len(loops.bare_pytorch(work)) == len(loops.places_fit(work)) == len(keys) == 9


@pytest.mark.slow
def test_the_parts_of_a_step_are_its_whole_time(
    sample: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results: list[loops.Times] = []
    read = loops._read

    def keep(file: Path) -> loops.Times:
        results.append(read(file))
        return results[-1]

    monkeypatch.setattr(loops, "_read", keep)
    words = ["--batch_size", "8", "--image_size", "32", "--num_steps", "20", "--runs", "1"]
    assert main(["bench", "step", str(sample), "--network", "linear", *words]) == 0
    text = capsys.readouterr().out
    for title in ("bare PyTorch", "bare Lightning", "places fit", *parts.PARTS, "cost over"):
        assert title in text
    for times_s in results:
        first, last = times_s[1], times_s[-1]
        spent_s = {name: last[name] - first.get(name, 0) for name in last}
        assert sum(spent_s.values()) == pytest.approx(2 * spent_s["step"])
        assert min(spent_s.values()) >= 0
    assert set(results[1][-1]) == {"step", *parts.PARTS}


def test_too_few_steps_are_refused(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "step", str(sample), "--num_steps", "9"]) == 2
    assert "num_steps must be 10 or more, not 9" in capsys.readouterr().err


@pytest.mark.slow
def test_a_run_that_fails_says_why(tmp_path: Path) -> None:
    work = loops.Work(tmp_path, "linear", 18, 8, 32, 10, "cpu")
    with pytest.raises(PlacesError, match=r"places fit failed\n.*no shards for split 'train'"):
        loops.places_fit(work)
