"""Which pictures Lightning really trains on, wherever it was interrupted.

Half of the pictures are raw, half JPEGs, so both ways of reading are tried in each batch.
Checkpoints are written here at moments that `places` itself avoids too, by Lightning's own
callback: users may add it.
"""

import tarfile
import threading
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.integration.recording import Record, Row, read_record
from tests.integration.stages import load_weights, read_metrics, run, run_together

from places.cli.trainer_parts import run_callbacks
from places.data import places365
from places.data.loader import Loader
from places.data.streaming.batches import train_batches
from places.data.streaming.raw import Stored
from places.data.streaming.samples import Entry, SplitSamples
from places.data.streaming.stream import Batch
from places.resume.best import BestCheckpoint
from places.resume.points import ResumePoints
from places.resume.run_record import RunRecord

# The runs that resume do not write the checkpoints that the interrupted run wrote.
pytestmark = pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")

RECORD = "--trainer.callbacks+=tests.integration.recording.Record"
ESTIMATE = "--trainer.callbacks+=tests.integration.recording.Estimate"
EPOCHS = ["--trainer.max_epochs", "3"]
# 96 pictures in batches of 16: 6 batches in an epoch, 4 of which a limit leaves.
COURSES = {
    "epochs": EPOCHS,
    "steps": ["--trainer.max_steps", "18"],
    "limited": [*EPOCHS, "--trainer.limit_train_batches", "4"],
    "part": [*EPOCHS, "--trainer.limit_train_batches", "0.7"],
}


def _model_checkpoint(folder: Path, **settings: object) -> list[str]:
    callback = "--trainer.callbacks"
    settings |= {"dirpath": folder, "filename": "{step}", "save_top_k": -1}
    words = [f"{callback}.{name}={value}" for name, value in settings.items()]
    return [f"{callback}+=lightning.pytorch.callbacks.ModelCheckpoint", *words]


def _fit(mixed_sample: Path, root: Path, *words: object) -> list[Row]:
    words = ("--data.root", mixed_sample, RECORD, *words, "--trainer.default_root_dir", root)
    assert run("fit", *words) == 0
    return read_record(root / "fit" / "0")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these only lose time to more threads."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)


@pytest.fixture(scope="module")
def roots(mixed_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Where runs took their courses undisturbed, writing checkpoints at every moment."""

    class Roots(dict[str, Path]):
        # Each when it is asked for, since the tests of this file are shared by several processes.
        def __missing__(self, name: str) -> Path:
            root = self[name] = tmp_path_factory.mktemp(name)
            every = 1 if name == "epochs" else 2
            words = _model_checkpoint(
                root / "batch end", every_n_train_steps=every, save_on_train_epoch_end="false"
            )
            words += _model_checkpoint(root / "epoch end", save_on_train_epoch_end="true")
            words += ["--checkpoint.save_top_k", "-1", "--checkpoint.filename", "best-{step}"]
            words += ["--resume.every_n_steps", "4", "--resume.keep_all", "true"]
            _fit(mixed_sample, root, *COURSES[name], *words)
            return root

    roots = Roots()
    assert roots["epochs"]  # before a test changes what a run does
    return roots


def _checkpoint(root: Path, moment: str, step: int) -> Path:
    checkpoints = root / "fit" / "0" / "checkpoints"
    return {
        "batch end": root / "batch end" / f"step={step}.ckpt",
        "epoch end": root / "epoch end" / f"step={step}.ckpt",
        "validation": checkpoints / f"best-{step}.ckpt",
        "resume point": checkpoints / f"step-{step}.ckpt",
    }[moment]


@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("course", "moment", "step"),
    [
        ("epochs", "batch end", 4),
        ("epochs", "batch end", 8),
        ("epochs", "batch end", 12),  # the last of an epoch
        ("steps", "epoch end", 6),
        ("epochs", "epoch end", 6),
        ("epochs", "validation", 6),
        ("limited", "batch end", 2),
        ("limited", "batch end", 8),  # the last of an epoch
        ("limited", "epoch end", 4),
    ],
)
def test_a_resumed_run_trains_on_what_was_left(
    roots: dict[str, Path], mixed_sample: Path, tmp_path: Path, course: str, moment: str, step: int
) -> None:
    expected = read_record(roots[course] / "fit" / "0")[step:]
    checkpoint = _checkpoint(roots[course], moment, step)
    assert _fit(mixed_sample, tmp_path, *COURSES[course], "--ckpt_path", checkpoint) == expected


@pytest.mark.first_covers
@pytest.mark.parametrize("step", [4, 6])
def test_counting_the_steps_beforehand_does_not_lose_the_position(
    roots: dict[str, Path], mixed_sample: Path, tmp_path: Path, step: int
) -> None:
    checkpoint = _checkpoint(roots["epochs"], "batch end", step)
    rows = _fit(mixed_sample, tmp_path, *EPOCHS, ESTIMATE, "--ckpt_path", checkpoint)
    assert rows == read_record(roots["epochs"] / "fit" / "0")[step:]


def test_each_epoch_covers_each_picture_once_in_another_order(
    roots: dict[str, Path], mixed_sample: Path
) -> None:
    names = set()
    for path in mixed_sample.glob("train-*.tar"):
        with tarfile.open(path) as shard:
            names |= {name.partition(".")[0] for name in shard.getnames()}
    rows = read_record(roots["epochs"] / "fit" / "0")
    epochs = [[row for row in rows if row.epoch == epoch] for epoch in range(3)]
    orders = [[key for row in epoch for key in row.keys] for epoch in epochs]
    assert [sorted(order) for order in orders] == [sorted(names)] * 3
    assert len(names) == 96
    assert len(set(map(tuple, orders))) == 3
    # Crops are new as well.
    digests = [digest for row in rows for digest in row.digests]
    assert len(set(digests)) == len(digests)


def test_batches_and_steps_are_counted_without_gaps(roots: dict[str, Path]) -> None:
    for name, num_batches in (("epochs", 6), ("steps", 6), ("limited", 4), ("part", 4)):
        rows = read_record(roots[name] / "fit" / "0")
        places = [(epoch, batch) for epoch in range(3) for batch in range(num_batches)]
        assert [(row.epoch, row.batch_idx) for row in rows] == places
        assert [row.step for row in rows] == list(range(1, 1 + len(places)))


def test_limits_take_the_first_batches_of_each_epoch(roots: dict[str, Path]) -> None:
    whole, steps, limited, part = (read_record(roots[name] / "fit" / "0") for name in COURSES)
    assert steps == whole
    assert limited == part
    first = [(row.keys, row.digests) for row in whole if row.batch_idx < 4]
    assert [(row.keys, row.digests) for row in limited] == first


@pytest.mark.first_covers
@pytest.mark.parametrize("num_threads", [1, 2, 5])
def test_pixels_do_not_depend_on_the_number_of_threads(
    roots: dict[str, Path], mixed_sample: Path, tmp_path: Path, num_threads: int
) -> None:
    # In batches of 48, which several threads share; those of 16 belong to one thread each.
    words = ["--data.batch_size", 48, "--data.num_threads", num_threads, "--trainer.max_epochs", 1]
    rows = _fit(mixed_sample, tmp_path, *words)
    expected = read_record(roots["epochs"] / "fit" / "0")[:6]
    for name in ("keys", "digests"):
        got, wanted = ([getattr(row, name) for row in each] for each in (rows, expected))
        assert list(chain(*got)) == list(chain(*wanted))


def test_our_callbacks_stay_when_others_are_added(
    mixed_sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []
    monkeypatch.setattr(
        Record, "on_train_start", lambda _, trainer, module: found.extend(trainer.callbacks)
    )
    _fit(mixed_sample, tmp_path, "--trainer.max_steps", 1)
    expected = {*map(type, run_callbacks()), RunRecord, ResumePoints, BestCheckpoint, Record}
    assert expected <= set(map(type, found))


def _decoding_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "places-decode" in thread.name]


@pytest.mark.first_covers
@pytest.mark.parametrize("step", [0, 8])
def test_nothing_starts_before_the_first_batch_is_asked_for(
    step: int,
    roots: dict[str, Path],
    mixed_sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[object] = []
    iterate = Loader.__iter__

    def note_iterator(loader: Loader) -> Iterator[Batch]:
        events.append("iterator")
        return iterate(loader)

    def note_start(*args: Any, epoch: int, first_step: int, **kwargs: Any) -> Iterator[Batch]:  # noqa: ANN401  # passed on
        events.append((epoch, first_step))
        return train_batches(*args, epoch=epoch, first_step=first_step, **kwargs)

    monkeypatch.setattr(Loader, "__iter__", note_iterator)
    monkeypatch.setattr(places365, "train_batches", note_start)
    # The last hook before the first batch is asked for, also in the middle of an epoch.
    monkeypatch.setattr(
        Record, "on_train_start", lambda *_: events.append(["train", *_decoding_threads()])
    )
    monkeypatch.setattr(
        Record, "on_train_batch_start", lambda *_: events.append(len(_decoding_threads()) > 0)
    )
    resume = ["--ckpt_path", _checkpoint(roots["epochs"], "batch end", step)] if step else []
    _fit(mixed_sample, tmp_path, *EPOCHS, *resume)
    before = events[: events.index(["train"])]
    # Lightning asks whether the loader can be iterated over, and then for an iterator.
    assert before.count("iterator") >= 2
    assert set(before) == {"iterator"}
    starts = [event for event in events if isinstance(event, tuple)]
    assert starts == [divmod(max(step, first), 6) for first in (0, 6, 12) if step < first + 6]
    assert [event for event in events if isinstance(event, bool)] == [True] * (18 - step)
    assert not _decoding_threads()


@pytest.mark.first_covers
@pytest.mark.parametrize("step", [10, 17])
def test_a_resumed_run_reads_no_picture_that_is_behind_it(
    step: int,
    roots: dict[str, Path],
    mixed_sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = read_record(roots["epochs"] / "fit" / "0")
    keys: list[str] = []
    find = SplitSamples.find

    def note(source: SplitSamples, entry: Entry) -> tuple[str, Stored]:
        key, picture = find(source, entry)
        keys.append(key)
        return key, picture

    monkeypatch.setattr(SplitSamples, "find", note)
    checkpoint = _checkpoint(roots["epochs"], "batch end", step)
    _fit(mixed_sample, tmp_path, *EPOCHS, "--ckpt_path", checkpoint)
    training = set(rows[0].keys).union(*(row.keys for row in rows))
    expected = [key for row in rows[step:] for key in row.keys]
    assert sorted(key for key in keys if key in training) == sorted(expected)


def _fit_on(num_processes: int, mixed_sample: Path, root: Path, *words: object) -> list[Row]:
    given = ["--data.root", mixed_sample, RECORD, *words, "--trainer.default_root_dir", root]
    assert run_together(num_processes, "fit", *given) == [0] * num_processes
    assert len(list(root.rglob("trained-*"))) == num_processes
    return read_record(root / "fit" / "0")


def _check_same_end(first: Path, second: Path, step: int) -> None:
    """Compare the weights at the end of two runs, and what both logged after a step."""
    folders = [root / "fit" / "0" for root in (first, second)]
    weights, others = (load_weights(folder / "checkpoints" / "last.ckpt") for folder in folders)
    for name, weight in weights.items():
        # The losses of pictures, and what they weigh, have 32 bits.
        torch.testing.assert_close(others[name], weight, rtol=1e-5, atol=1e-8)
    metrics, later = map(read_metrics, folders)
    assert later.keys() == {key for key in metrics if key[0] >= step}
    for key, value in later.items():
        assert float(value) == pytest.approx(float(metrics[key]), rel=1e-5), key


@pytest.mark.no_cover
@pytest.mark.slow
def test_other_numbers_of_processes_go_on_with_the_same_batches_to_the_same_end(
    mixed_sample: Path, tmp_path: Path
) -> None:
    # 12 pictures per step, which 1, 2 and 3 processes can share: 8 batches in an epoch.
    words = ["--data.batch_size", 12, "--trainer.max_epochs", 2]
    words += ["--resume.every_n_steps", "1", "--resume.keep_all", "true"]
    # Without batch norm, whose statistics are those of one process.
    words += ["--model.net", "tests.test_classifier.Plain", "--trainer.precision", "64-true"]
    one, two = tmp_path / "one", tmp_path / "two"
    expected = _fit(mixed_sample, one, *words)
    assert len(expected) == 16
    # Every other step is logged: after an odd step a part of the next log is in the checkpoint.
    resume = ["--ckpt_path", _checkpoint(one, "resume point", 5)]
    assert _fit_on(2, mixed_sample, two, *words, *resume) == expected[5:]
    _check_same_end(one, two, step=5)
    resume = ["--ckpt_path", _checkpoint(two, "resume point", 8)]  # the end of an epoch
    assert _fit_on(3, mixed_sample, tmp_path / "three", *words, *resume) == expected[8:]
    _check_same_end(one, tmp_path / "three", step=8)
    resume = ["--ckpt_path", _checkpoint(two, "resume point", 11)]
    assert _fit(mixed_sample, tmp_path / "again", *words, *resume) == expected[11:]
    _check_same_end(one, tmp_path / "again", step=11)
