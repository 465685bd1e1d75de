from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from places.checkpoints.runs import claim_run_folder, find_checkpoint
from places.errors import CheckpointError, StorageError


def test_numbers_rise_and_are_never_reused(tmp_path: Path) -> None:
    assert claim_run_folder(tmp_path, "demo").name == "0"
    (tmp_path / "demo" / "7").mkdir()
    (tmp_path / "demo" / "notes").mkdir()
    assert claim_run_folder(tmp_path, "demo") == tmp_path / "demo" / "8"
    assert claim_run_folder(tmp_path, "resnet50").name == "0"


def test_runs_that_start_together_get_numbers_of_their_own(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: claim_run_folder(tmp_path, "demo"), range(40)))
    assert sorted(int(folder.name) for folder in folders) == list(range(40))


def test_a_file_in_place_of_the_folder_of_runs_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"in .*/file/demo: Not a directory\n.*default_root_dir"):
        claim_run_folder(tmp_path / "file", "demo")


def test_a_folder_stands_for_its_best_checkpoint(tmp_path: Path) -> None:
    best = Path("runs/demo/0/checkpoints/best.ckpt")
    best.parent.mkdir(parents=True)
    best.touch()
    assert find_checkpoint(Path("runs/demo/0")) == best
    assert find_checkpoint(best) == best
    with pytest.raises(CheckpointError, match=r"no checkpoint at runs/demo/1\n.*runs/demo/0/check"):
        find_checkpoint(Path("runs/demo/1"))
