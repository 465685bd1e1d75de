import os
import pickle
import resource
import shutil
import signal
import socket
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from tests.integration.stages import FORKS

from places.checkpoints.atomic_io import AtomicCheckpointIO, remove_strays
from places.checkpoints.whole import check_whole
from places.errors import CheckpointError, StorageError


def _weights(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((5000,), value)}


def _save_with_limit(path: Path, size_bytes: int) -> None:
    # The kernel kills the process in the middle of the write that goes beyond the limit.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))
    AtomicCheckpointIO().save_checkpoint(_weights(2), path)


@pytest.mark.slow
@pytest.mark.parametrize("size_bytes", [1, 700, 5000, 19_999, 20_800, 21_000])
def test_a_kill_in_any_write_leaves_the_file_before(tmp_path: Path, size_bytes: int) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(_weights(1), path)
    process = FORKS.Process(target=_save_with_limit, args=(path, size_bytes))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGXFSZ
    assert torch.load(path, weights_only=True)["weight"].eq(1).all()
    assert len(list(tmp_path.iterdir())) == 2
    remove_strays(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_file_before_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(_weights(1), path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space"):
        AtomicCheckpointIO().save_checkpoint(_weights(2), path)
    assert torch.load(path, weights_only=True)["weight"].eq(1).all()
    assert list(tmp_path.iterdir()) == [path]


def _note_syncs(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list of what is brought to the disk from now on."""
    synced, sync = [], os.fsync

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return synced


def test_file_and_folder_are_on_the_disk_before_saving_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = _note_syncs(monkeypatch)
    AtomicCheckpointIO().save_checkpoint(_weights(1), tmp_path / "new" / "last.ckpt")
    assert [path.parent for path in synced] == [tmp_path / "new", tmp_path]
    assert synced[0].suffix == ".partial"


def test_reading_runs_no_code_whatever_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"a": Fraction(1, 2)}, tmp_path / "code.ckpt")
    with pytest.raises(pickle.UnpicklingError):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "code.ckpt", weights_only=False)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda _, **words: words)
    monkeypatch.setattr(
        "lightning.fabric.plugins.io.torch_io.get_filesystem",
        lambda _: type("Anything", (), {"exists": lambda self, path: True})(),
    )
    loaded = AtomicCheckpointIO().load_checkpoint("https://example.org/last.ckpt")
    assert loaded["weights_only"] is True


def test_only_left_over_files_are_removed(tmp_path: Path) -> None:
    here, parent = socket.gethostname(), os.getpid()
    dead = tmp_path / f".last.ckpt.{here}.4194999.partial"  # above the highest process number
    alive = tmp_path / f".last.ckpt.{here}.{parent}.partial"
    elsewhere = tmp_path / ".last.ckpt.another-machine.7.partial"
    old = tmp_path / ".last.ckpt.another-machine.8.partial"
    below = tmp_path / "checkpoints" / dead.name
    below.parent.mkdir()
    for path in (dead, alive, elsewhere, old, below):
        path.touch()
    os.utime(old, (0, 0))
    remove_strays(tmp_path)
    assert set(tmp_path.iterdir()) == {alive, elsewhere, below.parent}
    assert not list(below.parent.iterdir())


def test_damage_inside_a_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(_weights(1), path)
    check_whole(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"cannot read checkpoint .*\n  damaged at .*data/0"):
        check_whole(path)
    shutil.copyfile("/dev/null", path)
    with pytest.raises(CheckpointError, match="cannot read checkpoint"):
        check_whole(path)
