import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from places.checkpoints.choose import choose_last
from places.cli.main import main
from places.errors import CheckpointError


def _save(path: Path, step: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"places": {}, "global_step": step, "state_dict": torch.ones(5000)}, path)
    return path


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _zero_middle(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:8000] + bytes(4096) + content[12096:])


def _write_text(path: Path) -> None:
    path.write_text("not a checkpoint")


def _write_foreign(path: Path) -> None:
    torch.save({"state_dict": {}}, path)


def test_the_newest_step_of_the_newest_run_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _save(tmp_path / "demo/9/checkpoints/last.ckpt", 900)
    for name, step in [("previous", 7), ("best", 10), ("last", 9), ("step-8", 8)]:
        _save(tmp_path / f"demo/10/checkpoints/{name}.ckpt", step)
    (tmp_path / "demo/11/checkpoints").mkdir(parents=True)
    _save(tmp_path / "other/12/checkpoints/last.ckpt", 5)
    assert choose_last(tmp_path, "demo") == tmp_path / "demo/10/checkpoints/last.ckpt"
    assert "demo/10/checkpoints/last.ckpt, step 9\n" in capsys.readouterr().err


def test_the_best_is_better_than_none(tmp_path: Path) -> None:
    best = _save(tmp_path / "demo/0/checkpoints/best.ckpt", 3)
    assert choose_last(tmp_path, "demo") == best


def test_what_a_killed_run_left_half_written_is_removed_in_its_whole_folder(tmp_path: Path) -> None:
    last = _save(tmp_path / "demo/0/checkpoints/last.ckpt", 3)
    left = f"{socket.gethostname()}.4194999.partial"  # above the highest process number
    names = ("0/.metrics.csv", "0/checkpoints/.last.ckpt", "1/.config.yaml")
    halves = [tmp_path / f"demo/{name}.{left}" for name in names]
    for half in halves:
        half.parent.mkdir(exist_ok=True)
        half.touch()
    assert choose_last(tmp_path, "demo") == last
    assert not list(tmp_path.rglob("*.partial"))


def _resumed(root: Path) -> tuple[Path, Path]:
    """Return the resume point of a run, and the older best that the next run begins with."""
    last = _save(root / "demo/0/checkpoints/last.ckpt", 9)
    best = _save(root / "demo/1/checkpoints/best.ckpt", 6)
    return last, best


def test_a_resumed_run_that_was_killed_at_once_hides_no_resume_point(tmp_path: Path) -> None:
    last, _ = _resumed(tmp_path)
    assert choose_last(tmp_path, "demo") == last


def test_in_place_of_a_damaged_resume_point_that_of_the_run_before_is_taken(
    tmp_path: Path,
) -> None:
    last, best = _resumed(tmp_path)
    _truncate(_save(tmp_path / "demo/1/checkpoints/last.ckpt", 12))
    assert choose_last(tmp_path, "demo") == last
    _truncate(last)
    assert choose_last(tmp_path, "demo") == best


def test_a_name_with_signs_of_patterns_is_only_a_name(tmp_path: Path) -> None:
    last = _save(tmp_path / "demo[1]*/0/checkpoints/last.ckpt", 9)
    _save(tmp_path / "demo1/1/checkpoints/last.ckpt", 9)
    assert choose_last(tmp_path, "demo[1]*") == last


def test_without_a_recipe_the_last_that_ran_is_taken(tmp_path: Path) -> None:
    first = _save(tmp_path / "a/3/checkpoints/last.ckpt", 3)
    second = _save(tmp_path / "b/0/checkpoints/last.ckpt", 1)
    os.utime(second, (1, 1))
    assert choose_last(tmp_path, "") == first
    os.utime(first, (0, 0))
    assert choose_last(tmp_path, "") == second


@pytest.mark.parametrize(
    "damage", [_truncate, _empty, _zero, _zero_middle, _write_text, _write_foreign]
)
def test_a_damaged_file_is_named_and_the_one_before_taken(
    damage: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    previous = _save(tmp_path / "demo/0/checkpoints/previous.ckpt", 4)
    last = _save(tmp_path / "demo/0/checkpoints/last.ckpt", 5)
    damage(last)
    assert choose_last(tmp_path, "demo") == previous
    error = capsys.readouterr().err
    assert "passed over" in error
    assert str(last) in error
    damage(previous)
    with pytest.raises(CheckpointError, match="no checkpoint is whole") as caught:
        choose_last(tmp_path, "demo")
    assert str(last) in str(caught.value)
    assert str(previous) in str(caught.value)


def test_damage_anywhere_in_a_file_is_noticed(tmp_path: Path) -> None:
    previous = _save(tmp_path / "demo/0/checkpoints/previous.ckpt", 4)
    last = previous.with_name("last.ckpt")
    content = {"places": {"recipe": "demo", "config": {"model": 1.5}}, "global_step": 5}
    torch.save(content | {"state_dict": torch.ones(9)}, last)
    whole, num_noticed = last.read_bytes(), 0
    # Not the same bit in each byte, nor each byte: the rest behaves like its neighbours.
    for place in range(0, len(whole), 5):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        last.write_bytes(damaged)
        chosen = choose_last(tmp_path, "demo")
        num_noticed += chosen == previous
        if chosen == last:  # a time, a flag or padding, which mean nothing
            loaded = torch.load(last, weights_only=True)
            assert loaded.pop("state_dict").eq(1).all()
            assert loaded == content
    assert num_noticed > 0


def test_before_the_first_checkpoint_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose_last(tmp_path, "demo") is None
    assert f"no checkpoint in {tmp_path}/demo yet" in capsys.readouterr().err


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_what_scores_begins_no_run_where_there_is_no_last(
    stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = ["photos"] if stage == "predict" else []
    assert main([stage, *pictures, "--ckpt_path", "last"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "places: error: no checkpoint in runs yet, so none is the last",
        "  name a file or a run:  --ckpt_path PATH",
    ]


def test_what_scores_does_not_say_that_it_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = _save(tmp_path / "demo/0/checkpoints/last.ckpt", 5)
    assert choose_last(tmp_path, "demo", is_resumed=False) == last
    assert capsys.readouterr().err == f"places: the last checkpoint is {last}, step 5\n"


def test_files_of_killed_processes_are_removed(tmp_path: Path) -> None:
    last = _save(tmp_path / "demo/0/checkpoints/last.ckpt", 5)
    stray = last.with_name(".last.ckpt.another-machine.7.partial")
    stray.touch()
    os.utime(stray, (0, 0))
    choose_last(tmp_path, "demo")
    assert list(last.parent.iterdir()) == [last]
