"""Whatever a server does, a transfer ends: in time, within its size, and it is said why."""

import gzip
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from tests.data.remote.servers import RawServer, run_wayward_server, write_shards
from tests.integration.stages import run

import places.checkpoints.download
from places.cli.main import main
from places.data.remote import answers, download, fetch, patience, urls
from places.data.remote.download import fetch_file, read_file
from places.data.remote.failures import RefusedError, TooSlowError
from places.data.remote.fetch import fetch_manifest
from places.data.remote.prefetch import RemoteShards
from places.data.remote.urls import open_url
from places.data.shards.manifest import manifest_path
from places.errors import DataError, StorageError

PLENTY = 10**9
RANDOM = ["--random_weights", "true"]
MOST_S = 40.0  # on a busy machine; any of these would be minutes, or have no end


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.01)


def _head(length: int | None = None, *lines: str) -> bytes:
    size = [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join(["HTTP/1.1 200 OK", *size, *lines, "", ""]).encode()


def _trickles(server: RawServer, connection: socket.socket) -> None:
    connection.sendall(_head(10**6))
    server.trickle(connection, b"x")


def _never_answers(server: RawServer, connection: socket.socket) -> None:
    server.ends.wait()


def _trickles_headers(server: RawServer, connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    server.trickle(connection, b"X-A: b\r\n")


def _breaks_after_each_byte(server: RawServer, connection: socket.socket) -> None:
    time.sleep(0.1)
    connection.sendall(_head(10**6) + b"x")


SLOW = [_trickles, _never_answers, _trickles_headers, _breaks_after_each_byte]


def _serve(behave: Callable[[RawServer, socket.socket], None]) -> RawServer:
    server = RawServer(lambda connection, _: behave(server, connection))
    return server


@pytest.mark.parametrize("behave", SLOW)
def test_a_server_that_is_too_slow_is_given_up_in_time(
    behave: Callable[[RawServer, socket.socket], None], tmp_path: Path
) -> None:
    start_s = time.monotonic()
    with _serve(behave) as server, pytest.raises(TooSlowError) as caught:
        fetch_file(open_url(server.url, timeout_s=1).file("last.ckpt"), tmp_path / "last.ckpt")
    assert time.monotonic() - start_s < MOST_S
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{server.url}/last.ckpt takes too long: ")
    assert "`timeout_s` 1 lets" in lines[1]
    assert "`timeout_s` 5" in lines[2]


def test_what_is_slow_but_fast_enough_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SLOWEST_BYTES_PER_S", 200)
    monkeypatch.setattr(answers, "PART_S", 0.1)

    def behave(server: RawServer, connection: socket.socket) -> None:
        connection.sendall(_head(80))
        for _ in range(40):
            connection.sendall(b"ab")
            time.sleep(0.005)

    with _serve(behave) as server:
        remote = replace(open_url(server.url).file("a"), timeout_s=0.3)
        fetch_file(remote, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"ab" * 40


def test_the_time_of_a_transfer_grows_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    waiting = patience.Patience(10)
    for _ in range(100):
        now += 9.0
        assert waiting.left_s > 0
        waiting.add(9 * patience.SLOWEST_BYTES_PER_S, 10**12)
    waiting.add(10**12, 10**12)
    assert waiting.left_s == 10  # what came quickly is no credit for a silence of hours
    now += 10.0
    assert waiting.left_s <= 0


def test_a_file_that_comes_again_and_again_from_the_start_brings_no_more_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    waiting, size_bytes = patience.Patience(10), 5 * patience.SLOWEST_BYTES_PER_S
    while waiting.left_s > 0:
        now += 1.0
        waiting.add(size_bytes, size_bytes)
    assert now == 15


def test_slow_servers_end_a_command_with_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _serve(_trickles) as server:
        assert run("validate", *RANDOM, "--data.root", server.url, "--data.timeout_s", 1) == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines[-3].startswith(f"places: error: {server.url}/val.json takes too long")
        assert lines[-1].startswith("  more patience:  --data.timeout_s 5")
        assert run("test", "--ckpt_path", f"{server.url}/a.ckpt", "--data.timeout_s", 1) == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines[-4] == f"places: error: cannot fetch checkpoint {server.url}/a.ckpt"
        assert lines[-1].startswith("  more patience:  --data.timeout_s 5")
        words = ["download", "val_256.tar", "--base_url", server.url, "--timeout_s", "1"]
        assert main(words) == 1
        assert "  more patience:  --timeout_s 5" in capsys.readouterr().err
        words = ["--ckpt_path", f"{server.url}/a.ckpt"]
        pictures = ["--data=ImageFiles", "--data.images", tmp_path, "--data.timeout_s", 1]
        assert run("predict", *pictures, *words) == 2
        assert "  more patience:  --data.timeout_s 5" in capsys.readouterr().err
        others = "--data=lightning.pytorch.demos.boring_classes.BoringDataModule"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(places.checkpoints.download, "TIMEOUT_S", 1.0)
            assert run("test", others, *words) == 2
        error = capsys.readouterr().err
        assert "timeout_s" not in error
        assert "by other means" in error
    assert main(["download", "val_256.tar", "--timeout_s", "0"]) == 2
    assert "timeout_s must be 1 to 1000000, not 0" in capsys.readouterr().err


def _flood(*heads: bytes) -> Callable[[RawServer, socket.socket], None]:
    def behave(server: RawServer, connection: socket.socket) -> None:
        for head in heads:
            connection.sendall(head)
        while not server.ends.is_set():
            connection.sendall(bytes(65536))

    return behave


@pytest.mark.parametrize("length", [None, 10**15])
def test_a_manifest_without_an_end_is_refused(
    length: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "MOST_MANIFEST_BYTES", 10**6)
    with (
        _serve(_flood(_head(length))) as server,
        pytest.raises(DataError, match=r"/train.json does not end after 1,000,000 bytes"),
    ):
        fetch_manifest(server.url, "train", tmp_path / "cache")


def test_shards_that_trickle_end_a_command(
    mixed_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(connection: socket.socket, request: str) -> None:
        path = mixed_sample / request.split()[1].lstrip("/")
        if path.suffix == ".tar":
            _trickles(server, connection)
        connection.sendall(_head(path.stat().st_size) + path.read_bytes())

    with RawServer(answer) as server:
        assert run("validate", *RANDOM, "--data.root", server.url, "--data.timeout_s", 1) == 2
    assert f"{server.url}/val-000000.tar takes too long: " in capsys.readouterr().err


def test_an_index_is_no_longer_than_its_manifest_says(tmp_path: Path) -> None:
    write_shards(tmp_path / "served", "train", 2, 1000)
    manifest = manifest_path(tmp_path / "served", "train").read_bytes()

    def answer(connection: socket.socket, request: str) -> None:
        if "train.json" in request:
            connection.sendall(_head(len(manifest)) + manifest)
        else:
            _flood(_head())(server, connection)

    with RawServer(answer) as server, pytest.raises(DataError, match=r"index.npy does not end"):
        fetch_manifest(server.url, "train", tmp_path / "cache")
    assert sum(path.stat().st_size for path in tmp_path.glob("cache/*/*.part")) == 0


@pytest.mark.parametrize("length", [None, 5000])
def test_a_shard_is_no_longer_than_its_manifest_says(length: int | None, tmp_path: Path) -> None:
    write_shards(tmp_path / "served", "train", 1, 1000)
    cache = tmp_path / "cache"
    manifest = fetch_manifest((tmp_path / "served").as_uri(), "train", cache)
    named = r"has (more than 1,000|5,000) bytes, its manifest says 1,000"

    def behave(server: RawServer, connection: socket.socket) -> None:
        connection.sendall(_head(length) + bytes(5000))

    with _serve(behave) as server, pytest.raises(DataError, match=named):
        RemoteShards(server.url, manifest, PLENTY).open(0)
    assert not [path for path in cache.glob("*/*") if "tar" in path.name]


def test_a_checkpoint_without_an_end_is_refused_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(urls, "MOST_BYTES", 10**6)
    with (
        _serve(_flood(_head())) as server,
        pytest.raises(DataError, match=r"last.ckpt does not end after 1,000,000 bytes"),
    ):
        fetch_file(open_url(server.url).file("last.ckpt"), tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())


def test_bytes_after_the_length_that_was_told_are_never_written(tmp_path: Path) -> None:
    # If they come at once, aiohttp takes them for a second answer, and refuses both.
    with _serve(_flood(_head(3), b"abcdef")) as server, suppress(StorageError):
        fetch_file(open_url(server.url).file("a"), tmp_path / "a")
    assert {path.read_bytes() for path in tmp_path.glob("a*")} <= {b"abc"}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "x" * 999])
def test_packed_answers_are_refused_before_they_are_unpacked(encoding: str, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(10**8))
    head = _head(len(bomb), f"Content-Encoding: {encoding}")
    with (
        _serve(lambda _, connection: connection.sendall(head + bomb)) as server,
        pytest.raises(StorageError) as caught,
    ):
        read_file(open_url(server.url).file("train.json"))
    assert f"the server sends it packed ({encoding[:40]})" in caught.value.message
    assert len(str(caught.value)) < 300
    assert len(server.requests) == 1
    assert "Accept-Encoding: identity" in server.requests[0]


@pytest.mark.parametrize(
    "lines",
    [["X-Long: " + "x" * 10**7], [f"X-{number}: y" for number in range(200_000)]],
    ids=["one long", "many"],
)
def test_headers_without_an_end_are_refused(lines: list[str]) -> None:
    start_s = time.monotonic()
    with (
        _serve(lambda _, connection: connection.sendall(_head(3, *lines))) as server,
        pytest.raises(StorageError) as caught,
    ):
        read_file(open_url(server.url, timeout_s=2).file("a"))
    assert time.monotonic() - start_s < MOST_S
    assert len(str(caught.value)) < 700


def _redirect(place: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/again", "redirects more than 10 times"),
        ("file:///etc/passwd", "redirects from http to file"),
        ("ftp://127.0.0.1/x", "redirects from http to ftp"),
        ("http://[::1", "redirects to what is no address"),
    ],
)
def test_redirections_end(place: str, reason: str) -> None:
    with (
        _serve(lambda _, connection: connection.sendall(_redirect(place))) as server,
        pytest.raises(StorageError, match=reason) as caught,
    ):
        read_file(open_url(server.url).file("a"))
    assert len(server.requests) <= 11
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("status", [204, 300, 304, 302])
def test_an_answer_without_a_file_is_none(status: int) -> None:
    answer = f"HTTP/1.1 {status} Odd\r\nContent-Length: 0\r\n\r\n".encode()
    with (
        _serve(lambda _, connection: connection.sendall(answer)) as server,
        pytest.raises(StorageError, match=f"the server answers {status}, which is no file"),
    ):
        read_file(open_url(server.url).file("a"))
    assert len(server.requests) == 1


def test_a_redirection_is_followed() -> None:
    with run_wayward_server(b"content") as target:
        place = _redirect(f"{target.url}/b")
        with _serve(lambda _, connection: connection.sendall(place)) as server:
            assert read_file(open_url(server.url).file("a")) == b"content"


def test_words_of_a_server_are_shown_short_and_printable() -> None:
    words = "\x1b]0;title\x07" + "z" * 5000
    answer = f"HTTP/1.1 403 {words}\r\nContent-Length: 0\r\n\r\n".encode()
    with (
        _serve(lambda _, connection: connection.sendall(answer)) as server,
        pytest.raises(RefusedError) as caught,
    ):
        read_file(open_url(server.url).file("a"))
    assert all(line.isprintable() for line in str(caught.value).splitlines())
    assert len(str(caught.value)) < 500


def test_a_host_that_does_not_exist_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    start_s = time.monotonic()
    assert run("test", *RANDOM, "--data.root", "http://nowhere.invalid/a") == 2
    assert time.monotonic() - start_s < MOST_S
    lines = capsys.readouterr().err.splitlines()
    assert lines[-2].startswith("places: error: cannot read http://nowhere.invalid/a/val.json: ")
    assert lines[-1] == "  no such host: check the address"


def test_a_certificate_that_is_not_trusted_is_named_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -batch"
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run([*words.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate", tmp_path / "key")

    def answer(connection: socket.socket, request: str) -> None:
        raise AssertionError("nothing is asked for before the certificate was looked at")

    with RawServer(answer, context) as server:
        url = f"https://localhost:{server.port}"
        assert run("test", *RANDOM, "--data.root", url) == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines[-2].startswith(f"places: error: cannot read {url}/val.json: ")
        assert "certificate" in lines[-1]
    with run_wayward_server(b"no TLS") as other:
        assert run("test", "--ckpt_path", f"https://localhost:{other.server_port}/a.ckpt") == 2
    assert "cannot fetch checkpoint https://localhost" in capsys.readouterr().err
