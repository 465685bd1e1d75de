import hashlib
import importlib.util
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "download_places365.py"
NAME = "val_256.tar"
CONTENT = bytes(range(256)) * 40


class Server(ThreadingHTTPServer):
    """Serves CONTENT under any name, as badly as told; keeps what was asked for."""

    daemon_threads = True
    ranges = True  # whether ranges are honoured
    cut_at: list[int]  # for each request, the byte of the file at which the connection breaks
    status = 200
    asked: list[tuple[str, str | None]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append((self.path, wanted))
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if self.server.status != 200:
            self.send_error(self.server.status)
        elif wanted and self.server.ranges and start >= len(CONTENT):
            self.send_error(416)
        elif wanted and self.server.ranges:
            self.send_response(206)
            last = len(CONTENT) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(CONTENT)}")
            self.send_content(start)
        else:
            self.send_response(200)
            self.send_content(0)

    def send_content(self, start: int) -> None:
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = self.server.cut_at.pop(0) if self.server.cut_at else len(CONTENT)
        self.wfile.write(CONTENT[start:end])

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.cut_at, server.asked = [], []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def download(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("download_places365", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(module.MD5_BY_NAME, NAME, hashlib.md5(CONTENT).hexdigest())
    monkeypatch.setattr(module, "PAUSE_S", 0.0)
    return module


def run(download: ModuleType, server: Server, root: Path, *names: str) -> int:
    url = f"http://127.0.0.1:{server.server_port}/"
    status: int = download.main([*(names or [NAME]), "--root", str(root), "--base-url", url])
    return status


def test_an_archive_is_fetched_and_a_second_call_asks_for_nothing(
    download: ModuleType, server: Server, tmp_path: Path
) -> None:
    root = tmp_path / "archives"
    assert run(download, server, root) == 0
    assert [path.name for path in root.iterdir()] == [NAME]
    assert (root / NAME).read_bytes() == CONTENT
    assert run(download, server, root) == 0
    assert server.asked == [(f"/{NAME}", None)]


def test_a_broken_connection_is_taken_up_where_it_broke(
    download: ModuleType, server: Server, tmp_path: Path
) -> None:
    server.cut_at = [100, 100, 5000]  # the second request gives nothing new
    assert run(download, server, tmp_path) == 0
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [
        None,
        "bytes=100-",
        "bytes=100-",
        "bytes=5000-",
    ]


def test_a_later_call_goes_on_with_what_is_there(
    download: ModuleType, server: Server, tmp_path: Path
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:77])
    assert run(download, server, tmp_path) == 0
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert server.asked == [(f"/{NAME}", "bytes=77-")]


def test_a_complete_part_is_only_checked(
    download: ModuleType, server: Server, tmp_path: Path
) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    assert run(download, server, tmp_path) == 0
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(
    download: ModuleType, server: Server, tmp_path: Path
) -> None:
    server.ranges = False
    server.cut_at = [300]
    assert run(download, server, tmp_path) == 0
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_server_that_never_gives_more_is_left_after_some_tries(
    download: ModuleType, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.cut_at = [100] * 9
    assert run(download, server, tmp_path) == 1
    message = capsys.readouterr().err
    assert f"/{NAME} cannot be fetched: the connection ended at byte 100" in message
    assert "100 bytes are kept; run again to go on from there" in message
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:100]
    assert len(server.asked) == download.TRIES


def test_a_wrong_md5_is_named_and_the_file_kept_apart(
    download: ModuleType,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(download.MD5_BY_NAME, NAME, "0" * 32)
    assert run(download, server, tmp_path) == 1
    message = capsys.readouterr().err
    assert f"the MD5 of {NAME} is wrong" in message
    assert f"found:      {hashlib.md5(CONTENT).hexdigest()}" in message
    assert [path.name for path in tmp_path.iterdir()] == [f"{NAME}.bad"]


def test_a_refusal_is_not_tried_again_and_names_the_form(
    download: ModuleType, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = 403
    assert run(download, server, tmp_path) == 1
    message = capsys.readouterr().err
    assert "is refused: 403 Forbidden" in message
    assert "request form" in message
    assert len(server.asked) == 1


def test_a_busy_server_is_tried_again(
    download: ModuleType, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.status = 503
    assert run(download, server, tmp_path) == 1
    assert "503 Service Unavailable" in capsys.readouterr().err
    assert len(server.asked) == download.TRIES


def test_an_archive_larger_than_the_disk_is_refused_before_it_is_fetched(
    download: ModuleType,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: usage)
    assert run(download, server, tmp_path) == 1
    assert "needs 10,240 more bytes, but its disk has 10 free" in capsys.readouterr().err
    assert not (tmp_path / NAME).exists()


def test_the_sets_name_known_archives_and_each_only_once(download: ModuleType) -> None:
    both = download.names_of(["standard-256", "standard-large", "val_256.tar"])
    assert both == [
        "train_256_places365standard.tar",
        "val_256.tar",
        "test_256.tar",
        "filelist_places365-standard.tar",
        "train_large_places365standard.tar",
        "val_large.tar",
        "test_large.tar",
    ]
    assert {name for names in download.SETS.values() for name in names} <= set(download.MD5_BY_NAME)


def test_a_mistyped_name_lists_the_nearest(
    download: ModuleType, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(download, server, tmp_path, "standard_256") == 2
    message = capsys.readouterr().err
    assert "no archive or set is named 'standard_256'" in message
    assert "nearest:  standard-256" in message
