"""One file behind a URL, fetched from servers that fail in one way or another."""

import json
import os
import resource
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.remote.servers import WaywardServer, run_wayward_server

from places.data.remote import answers, download, urls
from places.data.remote.download import fetch_file, read_file
from places.data.remote.failures import MissingFileError, RefusedError
from places.data.remote.urls import RemotePath, open_url
from places.errors import DataError, StorageError

CONTENT = bytes(range(256)) * 40
OTHER = CONTENT[::-1] + b"more"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WaywardServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(answers, "PART_BYTES", 1000)
    with run_wayward_server(CONTENT) as server:
        server.tag = '"old"'
        yield server


def remote(server: WaywardServer) -> RemotePath:
    return open_url(server.url).file("last.ckpt")


def accept(part: Path) -> None:
    """Take whatever arrived for the right file."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "last.ckpt"


def leave_a_beginning(server: WaywardServer, path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Fetch a part of the file in a run that fails."""
    with monkeypatch.context() as patch:
        patch.setattr(download, "NUM_TRIES", 1)
        server.cut_at = [5000]
        with pytest.raises(StorageError, match="what has arrived is kept"):
            fetch_file(remote(server), path)
    server.asked.clear()
    return path.with_name("last.ckpt.part").stat().st_size


def test_a_file_arrives_whole_and_nothing_else_stays(server: WaywardServer, path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch_file(remote(server), path, follow=lambda *progress: seen.append(progress))
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert seen == sorted(seen)


def test_a_broken_connection_is_resumed_where_it_broke(server: WaywardServer, path: Path) -> None:
    server.cut_at = [100, 100, 5000]  # the second answer brings nothing new
    fetch_file(remote(server), path)
    assert path.read_bytes() == CONTENT
    assert server.asked[:3] == [None, "bytes=100-", "bytes=100-"]
    assert len(server.asked) == 4


@pytest.mark.parametrize("is_verified", [True, False])
def test_without_a_tag_only_what_is_verified_is_resumed(
    server: WaywardServer, path: Path, is_verified: bool
) -> None:
    server.tag, server.cut_at = "", [100]
    fetch_file(remote(server), path, accept if is_verified else None)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100-" if is_verified else None]


def test_a_later_run_resumes_the_same_file(
    server: WaywardServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept_bytes = leave_a_beginning(server, path, monkeypatch)
    assert not path.exists()
    fetch_file(remote(server), path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [f"bytes={kept_bytes}-"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("minds_the_tag", [True, False])
def test_a_beginning_of_another_file_is_dropped(
    server: WaywardServer, path: Path, monkeypatch: pytest.MonkeyPatch, minds_the_tag: bool
) -> None:
    leave_a_beginning(server, path, monkeypatch)
    server.content, server.tag, server.minds_the_tag = OTHER, '"new"', minds_the_tag
    fetch_file(remote(server), path)
    assert path.read_bytes() == OTHER


def test_a_beginning_longer_than_the_file_is_dropped(
    server: WaywardServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_a_beginning(server, path, monkeypatch)
    server.content, server.tag = OTHER[:300], '"new"'
    fetch_file(remote(server), path)
    assert path.read_bytes() == OTHER[:300]


def test_a_beginning_of_unknown_origin_is_dropped(server: WaywardServer, path: Path) -> None:
    path.parent.mkdir()
    part = path.with_name("last.ckpt.part")
    part.write_bytes(OTHER[:77])
    part.with_name("last.ckpt.part.json").write_text("{")
    fetch_file(remote(server), path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "record", ["[5]", '[{}, "x"]', "[1, 2]", '[1, "a\\r\\nb"]', "[" * 10**5, '"ab"', "{}", "null"]
)
def test_a_damaged_record_of_a_beginning_is_none(
    server: WaywardServer, path: Path, record: str
) -> None:
    path.parent.mkdir()
    path.with_name("last.ckpt.part").write_bytes(OTHER[:77])
    path.with_name("last.ckpt.part.json").write_text(record)
    fetch_file(remote(server), path)
    assert path.read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize("minds_the_tag", [True, False])
def test_a_file_that_is_replaced_meanwhile_is_not_mixed_with_the_old_one(
    server: WaywardServer, path: Path, minds_the_tag: bool
) -> None:
    server.cut_at, server.replace_by, server.minds_the_tag = [5000], OTHER, minds_the_tag
    fetch_file(remote(server), path)
    assert path.read_bytes() == OTHER


def test_a_file_in_a_store_that_is_replaced_meanwhile_is_fetched_anew(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(answers, "RANGE_BYTES", 1000)
    served = tmp_path / "last.ckpt"
    served.write_bytes(CONTENT)

    def follow(position: int, _: int | None) -> None:
        if position == 3000 and served.read_bytes() == CONTENT:
            served.write_bytes(OTHER)
            os.utime(served, (1, 1))

    fetch_file(open_url(tmp_path.as_uri()).file("last.ckpt"), path, follow=follow)
    assert path.read_bytes() == OTHER


def test_a_server_without_ranges_sends_all_again(server: WaywardServer, path: Path) -> None:
    server.knows_ranges, server.cut_at = False, [300]
    fetch_file(remote(server), path)
    assert path.read_bytes() == CONTENT


def test_a_server_without_ranges_that_breaks_each_time_is_left(
    server: WaywardServer, path: Path
) -> None:
    server.knows_ranges, server.cut_at = False, [300] * 99
    with pytest.raises(StorageError, match="after 8 tries"):
        fetch_file(remote(server), path)
    assert len(server.asked) == 8
    assert path.with_name("last.ckpt.part").read_bytes() == CONTENT[:300]


def test_a_server_that_tells_no_size_is_read_to_the_end(server: WaywardServer, path: Path) -> None:
    server.tells_size = False
    fetch_file(remote(server), path)
    assert path.read_bytes() == CONTENT
    assert read_file(remote(server)) == CONTENT


def test_a_busy_server_is_asked_again_after_pauses(server: WaywardServer, path: Path) -> None:
    server.statuses = [503, 429, 500]
    fetch_file(remote(server), path)
    assert path.read_bytes() == CONTENT
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("status", "kind"), [(404, MissingFileError), (403, RefusedError), (410, StorageError)]
)
def test_a_refusal_is_not_tried_again_and_leaves_no_file(
    server: WaywardServer, path: Path, status: int, kind: type[DataError]
) -> None:
    server.statuses = [status]
    with pytest.raises(kind, match=r"last\.ckpt"):
        fetch_file(remote(server), path)
    assert len(server.asked) == 1
    assert not list(path.parent.iterdir())


def test_a_server_that_hangs_is_asked_again(
    server: WaywardServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urls, "SILENCE_S", 0.2)
    server.cut_at = [5000]
    server.go_on.clear()
    waking = threading.Timer(1, server.go_on.set)
    waking.start()
    fetch_file(remote(server), path)
    waking.join()
    assert path.read_bytes() == CONTENT
    assert len(server.asked) > 1


def test_an_interrupt_leaves_no_file_under_the_final_name(
    server: WaywardServer, path: Path
) -> None:
    def interrupt() -> None:
        server.hangs.wait()
        time.sleep(0.5)  # a signal right before a thread begins to wait does not wake it up
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    server.cut_at = [5000]
    server.go_on.clear()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch_file(remote(server), path)
    finally:
        signal.signal(signal.SIGINT, before)
        thread.join()
        server.go_on.set()
    assert not path.exists()
    fetch_file(remote(server), path)
    assert path.read_bytes() == CONTENT


def test_a_file_larger_than_the_disk_is_refused_before_it_is_fetched(
    server: WaywardServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match="needs 10,240 more bytes, but its disk has 10 free"):
        fetch_file(remote(server), path)
    assert not list(path.parent.iterdir())


def test_a_disk_that_is_full_is_named_and_what_is_there_is_the_true_beginning(
    server: WaywardServer, path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3500, before[1]))
    try:
        with pytest.raises(StorageError, match=r"cannot write .*last.ckpt.part: File too large"):
            fetch_file(remote(server), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not path.exists()
    assert path.with_name("last.ckpt.part").read_bytes() == CONTENT[:3500]
    fetch_file(remote(server), path)
    assert path.read_bytes() == CONTENT


def test_two_at_a_time_do_not_write_into_one_file(server: WaywardServer, path: Path) -> None:
    server.cut_at = [5000]
    server.go_on.clear()
    threads = [threading.Thread(target=fetch_file, args=(remote(server), path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    server.hangs.wait()
    server.go_on.set()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_the_record_of_a_beginning_names_size_and_tag(
    server: WaywardServer, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_a_beginning(server, path, monkeypatch)
    record = json.loads(path.with_name("last.ckpt.part.json").read_text())
    assert record == [len(CONTENT), '"old"']
