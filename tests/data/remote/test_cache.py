import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.data.remote.servers import wait_until

from places.data.remote.cache import CacheFolder, Wait, locked


def _add(folder: CacheFolder, name: str, size_bytes: int, used_s: int = 0) -> None:
    with folder.claimed(name, size_bytes) as file:
        assert isinstance(file, int)
        os.write(file, b"x" * size_bytes)
    os.utime(folder.folder / name, (used_s, used_s))


@contextmanager
def _given_up(folder: CacheFolder, name: str, size_bytes: int) -> Iterator[int]:
    """Claim a file, and end the claim with an error."""
    with suppress(InterruptedError), folder.claimed(name, size_bytes) as file:
        assert isinstance(file, int)
        yield file
        raise InterruptedError


def _claim(folder: CacheFolder, name: str, size_bytes: int) -> int | Wait:
    """Tell whether a file could be claimed, by the reason why not."""
    with suppress(InterruptedError), folder.claimed(name, size_bytes) as file:
        if isinstance(file, Wait):
            return file
        raise InterruptedError
    return 0


def _names(cache: Path) -> set[str]:
    return {path.name for path in cache.glob("*/*")}


def _folder(tmp_path: Path, name: str = "a", limit_bytes: int = 100) -> CacheFolder:
    (tmp_path / "cache" / name).mkdir(parents=True)
    return CacheFolder(tmp_path / "cache" / name, limit_bytes)


def test_the_least_recently_used_file_makes_room_in_whichever_folder(tmp_path: Path) -> None:
    first, second = _folder(tmp_path, "a"), _folder(tmp_path, "b")
    _add(first, "1.tar", 40, used_s=200)
    _add(second, "2.tar", 40, used_s=100)
    _add(second, "3.tar", 50, used_s=300)  # 2.tar goes, 1.tar may stay
    assert _names(tmp_path / "cache") == {"1.tar", "3.tar"}


def test_opening_a_file_counts_as_using_it(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    _add(folder, "1.tar", 40, used_s=100)
    _add(folder, "2.tar", 40, used_s=200)
    file = folder.open("1.tar", 40)
    assert file is not None
    os.close(file)
    _add(folder, "3.tar", 40)
    assert _names(tmp_path / "cache") == {"1.tar", "3.tar"}


def test_nothing_is_removed_while_there_is_room(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    for number in range(4):
        _add(folder, f"{number}.tar", 25)
    assert len(_names(tmp_path / "cache")) == 4


def test_an_open_file_stays_until_it_is_closed(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    _add(folder, "1.tar", 60)
    file = folder.open("1.tar", 60)
    assert file is not None
    assert _claim(folder, "2.tar", 60) is Wait.FULL
    assert folder.full("2.tar", 60).hint[0] == "in use:  60 bytes: 1.tar"
    os.close(file)
    _add(folder, "2.tar", 60)
    assert _names(tmp_path / "cache") == {"2.tar"}


def test_a_partial_file_takes_its_full_size_and_is_not_removed_while_it_grows(
    tmp_path: Path,
) -> None:
    folder = _folder(tmp_path)
    with _given_up(folder, "1.tar", 60) as part:
        assert _claim(folder, "2.tar", 60) is Wait.FULL
        os.write(part, b"begin")
    with _given_up(folder, "1.tar", 60) as again:
        assert os.pread(again, 99, 0) == b"begin"
    _add(folder, "2.tar", 60)  # an abandoned one makes room
    assert _names(tmp_path / "cache") == {"2.tar"}


def test_an_empty_partial_file_is_not_kept(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    with _given_up(folder, "1.tar", 60):
        assert _names(tmp_path / "cache") == {"1.tar.60.part"}
    assert _names(tmp_path / "cache") == set()


def test_only_one_at_a_time_fetches_a_file(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    with folder.claimed("1.tar", 60) as part:
        assert isinstance(part, int)
        assert _claim(folder, "1.tar", 60) is Wait.BUSY
    assert _claim(folder, "1.tar", 60) is Wait.BUSY  # it is complete by now


def test_manifests_and_indexes_count_but_stay(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder.folder / "train.json").write_bytes(b"x" * 30)
    (folder.folder / "train.index.npy").write_bytes(b"x" * 20)
    assert folder.kept_bytes() == 50
    assert _claim(folder, "1.tar", 51) is Wait.FULL
    _add(folder, "1.tar", 50)
    assert _names(tmp_path / "cache") == {"train.json", "train.index.npy", "1.tar"}


def test_a_cut_file_is_no_complete_one(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    _add(folder, "1.tar", 60)
    os.truncate(folder.folder / "1.tar", 59)
    assert folder.open("1.tar", 60) is None
    assert _names(tmp_path / "cache") == set()
    assert folder.open("2.tar", 60) is None


def test_a_whole_file_in_place_of_a_cut_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _folder(tmp_path)
    _add(folder, "1.tar", 60)
    path = folder.folder / "1.tar"
    os.truncate(path, 59)
    with locked(folder.cache / "lock"):
        opener = threading.Thread(target=folder.open, args=("1.tar", 60))
        opener.start()
        wait_until(lambda: _is_locked(path))  # it is at the cut file
        path.unlink()
        path.write_bytes(b"y" * 60)
    opener.join()
    assert path.read_bytes() == b"y" * 60


def _is_locked(path: Path) -> bool:
    # To try the lock would be to hold it for a moment, and be taken for one who removes the file.
    locks = Path("/proc/locks").read_text(encoding="utf-8").splitlines()
    return any(line.split()[5].endswith(f":{path.stat().st_ino}") for line in locks)


def test_a_file_that_is_being_removed_is_not_there(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    _add(folder, "1.tar", 60)
    with (folder.folder / "1.tar").open("rb") as remover:
        fcntl.flock(remover, fcntl.LOCK_EX)
        assert folder.open("1.tar", 60) is None
    file = folder.open("1.tar", 60)
    assert file is not None
    os.close(file)


def test_folders_may_vanish_while_files_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _folder(tmp_path)
    (folder.cache / "manifest-x").mkdir()
    scandir = os.scandir

    def scandir_too_late(path: str) -> object:
        if str(path).endswith("manifest-x"):
            Path(path).rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scandir_too_late)
    _add(folder, "1.tar", 60)
    assert not (folder.cache / "manifest-x").exists()


def test_descriptors_are_read_only_and_have_their_own_position(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    _add(folder, "1.tar", 60)
    first, second = folder.open("1.tar", 60), folder.open("1.tar", 60)
    assert first is not None
    assert second is not None
    assert os.read(first, 60) == os.read(second, 60) == b"x" * 60
    assert not os.get_inheritable(first)
    for file in (first, second):
        os.close(file)


def test_a_pipe_in_place_of_a_file_does_not_wait(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    _add(folder, "1.tar", 60)
    for name in ("2.tar", "3.tar"):
        os.mkfifo(folder.folder / name)
    assert folder.open("2.tar", 60) is None
    assert _names(tmp_path / "cache") == {"1.tar", "3.tar"}
    _add(folder, "4.tar", 100)  # makes room
    assert "4.tar" in _names(tmp_path / "cache")
