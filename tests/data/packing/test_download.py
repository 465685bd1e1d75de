import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.data.remote.servers import WaywardServer, run_wayward_server

from places.console import Counter
from places.data.packing import download as module
from places.data.packing.download import MD5_BY_NAME, SETS, download
from places.data.remote import download as downloader
from places.errors import DataError

NAME = "val_256.tar"
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WaywardServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloader, "FIRST_WAIT_S", 0.01)
    monkeypatch.setitem(module.MD5_BY_NAME, NAME, hashlib.md5(CONTENT).hexdigest())
    with run_wayward_server(CONTENT) as server:
        yield server


def run(server: WaywardServer, root: Path, *names: str) -> int:
    return download([*(names or [NAME])], root, server.url)


def test_an_archive_is_fetched_and_a_second_call_asks_for_nothing(
    server: WaywardServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "archives"
    assert run(server, root) == 0
    assert [path.name for path in root.iterdir()] == [NAME]
    assert (root / NAME).read_bytes() == CONTENT
    assert run(server, root) == 0
    assert server.asked == [None]
    assert capsys.readouterr().out.splitlines() == [
        f"{root / NAME}: 10,240 bytes, the MD5 is right",
        f"{root / NAME} is there already",
    ]


def test_a_later_call_resumes_what_is_there(server: WaywardServer, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:77])
    assert run(server, tmp_path) == 0
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.asked == ["bytes=77-"]


def test_a_complete_part_is_only_checked(server: WaywardServer, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    assert run(server, tmp_path) == 0
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.asked == ["bytes=10240-"]


def test_a_server_that_never_gives_more_is_left_after_some_tries(
    server: WaywardServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.cut_at = [100] * 9
    assert run(server, tmp_path) == 1
    message = capsys.readouterr().err
    assert f"places: error: cannot read {server.url}/{NAME}" in message
    assert "what has arrived is kept" in message
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:100]
    assert len(server.asked) == downloader.NUM_TRIES


def test_a_wrong_md5_is_named_and_the_file_kept_apart(
    server: WaywardServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(module.MD5_BY_NAME, NAME, "0" * 32)
    assert run(server, tmp_path) == 1
    message = capsys.readouterr().err
    assert f"the MD5 of {NAME} is wrong" in message
    assert f"found:      {hashlib.md5(CONTENT).hexdigest()}" in message
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.bad"]


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_names_the_form_and_does_not_keep_the_others_back(
    server: WaywardServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int
) -> None:
    server.statuses = [status]
    assert run(server, tmp_path, "test_256.tar", NAME) == 1
    message = capsys.readouterr().err
    assert f"({status})" in message or f" {status}" in message
    assert f"it may need a request form:  {module.FORM_URL}" in message
    assert len(message.splitlines()) == 4
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_the_sets_name_known_archives_and_each_only_once(
    server: WaywardServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert {name for names in SETS.values() for name in names} <= set(MD5_BY_NAME)
    md5s = dict.fromkeys(MD5_BY_NAME, hashlib.md5(CONTENT).hexdigest())
    monkeypatch.setattr(module, "MD5_BY_NAME", md5s)
    assert run(server, tmp_path, "standard-256", "standard-large", "val_256.tar") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [Path(line.partition(":")[0]).name for line in lines] == [
        "train_256_places365standard.tar",
        "val_256.tar",
        "test_256.tar",
        "filelist_places365-standard.tar",
        "train_large_places365standard.tar",
        "val_large.tar",
        "test_large.tar",
    ]


def test_the_help_lists_all_that_there_is() -> None:
    assert all(name in (download.__doc__ or "") for name in [*SETS, *MD5_BY_NAME])


def test_a_mistyped_name_lists_the_nearest(server: WaywardServer, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        run(server, tmp_path, NAME, "standard_256")
    assert caught.value.message == "no archive or set is named 'standard_256'"
    assert "nearest:   standard-256" in caught.value.hint[0]
    assert not server.asked


def test_its_import_is_light() -> None:
    words = "import sys\nimport places.data.packing.download\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], check=True, capture_output=True, text=True)
    assert not {"torch", "aiohttp", "fsspec", "rich", "numpy"} & set(done.stdout.split())


def test_the_bar_counts_what_is_left_and_the_check(
    server: WaywardServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[int] = []
    advanced: list[int] = []
    monkeypatch.setattr(Counter, "expect", lambda _, num: expected.append(num))
    monkeypatch.setattr(Counter, "advance", lambda _, num: advanced.append(num))
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:5000])
    server.cut_at = [7000]
    assert run(server, tmp_path) == 0
    assert sum(expected) == sum(advanced) == len(CONTENT) - 5000 + len(CONTENT)
