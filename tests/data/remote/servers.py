"""Real servers on loopback for remote shards, and small shards for them to serve."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from places.data.shards.index import SAMPLE
from places.data.shards.manifest import Manifest, Shard, index_path, save_manifest


def write_shards(root: Path, split: str, num_shards: int, size_bytes: int, seed: int = 0) -> None:
    """Shards of random bytes with manifest and index; no tars, since nothing here looks inside."""
    root.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([seed, *split.encode()])
    shards = []
    for number in range(num_shards):
        data = random.bytes(size_bytes)
        name = f"{split}-{number:06d}.tar"
        (root / name).write_bytes(data)
        shards.append(Shard(name, 1, size_bytes, hashlib.sha256(data).hexdigest()))
    index = np.zeros(num_shards, dtype=SAMPLE)
    index["shard"], index["offset"] = np.arange(num_shards), 512
    np.save(index_path(root, split), index)
    digest = hashlib.sha256(index_path(root, split).read_bytes()).hexdigest()
    save_manifest(
        Manifest(
            root=root,
            split=split,
            variant="folder",
            size="original",
            synthetic=True,
            seed=seed,
            categories=("a", "b"),
            labelled=True,
            shards=tuple(shards),
            index_sha256=digest,
        )
    )


class Request(NamedTuple):
    status: int
    sent_bytes: int
    range: str
    path: str


_CONFIG = """
daemon off;
%(user)s
worker_processes 1;
error_log %(folder)s/error.log;
pid %(folder)s/nginx.pid;
events { worker_connections 256; }
http {
  log_format counted escape=json
    '{"status": $status, "sent_bytes": $body_bytes_sent, "range": "$http_range", "path": "$uri"}';
  access_log %(folder)s/access.log counted;
  client_body_temp_path %(folder)s/body;
  proxy_temp_path %(folder)s/proxy;
  fastcgi_temp_path %(folder)s/fastcgi;
  uwsgi_temp_path %(folder)s/uwsgi;
  scgi_temp_path %(folder)s/scgi;
  limit_req_zone $binary_remote_addr zone=few:1m rate=10r/s;
  limit_req_zone $binary_remote_addr zone=more:1m rate=40r/s;
  server {
    listen 127.0.0.1:%(port)d;
    location /places/ { alias %(root)s/; }
    location /slow/ { alias %(root)s/; limit_rate 256k; }
    location /busy/ { alias %(root)s/; limit_req zone=few; }
    location /harsh/ { alias %(root)s/; limit_rate 256k; limit_req zone=more; }
    location /whole/ { alias %(root)s/; max_ranges 0; }
    location /denied/ { return 403; }
    location /login/ {
      alias %(root)s/;
      auth_basic places;
      auth_basic_user_file %(folder)s/users;
    }
    location /token/ {
      if ($arg_token != "hidden77") { return 403; }
      alias %(root)s/;
    }
    location /marker/ { return 204; }
  }
}
"""


class Nginx:
    """An nginx that serves a folder in several ways; each way is a first part of the path."""

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.port = free_port()
        self._num_markers = 0
        user = "user root;" if os.getuid() == 0 else ""
        settings = {"folder": folder, "root": root, "port": self.port, "user": user}
        (folder / "nginx.conf").write_text(_CONFIG % settings)
        (folder / "users").write_text("me:{PLAIN}secret88\n")

    def url(self, way: str = "places", port: int | None = None, login: str = "") -> str:
        return f"http://{login}127.0.0.1:{port or self.port}/{way}"

    def requests(self, part: str = ".tar") -> list[Request]:
        """The finished requests so far whose path contains a text, from the access log."""
        # One process writes the log in order: with the marker all before it is there.
        self._num_markers += 1
        marker = f"/marker/{self._num_markers}"
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{marker}"):
            pass
        log = self.folder / "access.log"
        wait_until(lambda: f'"{marker}"' in log.read_text())
        requests = [Request(**json.loads(line)) for line in log.read_text().splitlines()]
        return [request for request in requests if part in request.path]


@contextmanager
def run_nginx(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nginx]:
    """An nginx that serves a folder; its own files go below `tmp_path`."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        pytest.skip("nginx is not installed: apt-get install nginx")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "nginx"
    folder.mkdir()
    nginx = Nginx(root, folder)
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-e", str(folder / "error.log")]
    with subprocess.Popen(command) as process:
        try:
            wait_until(lambda: process.poll() is not None or _answers(nginx.port))
            assert process.poll() is None, (folder / "error.log").read_text()
            yield nginx
        finally:
            process.terminate()


class CuttingProxy:
    """Passes connections on, but cuts the first ones after some bytes of the answers."""

    def __init__(self, target_port: int, num_cuts: int, after_bytes: int) -> None:
        self.num_cuts = num_cuts
        self.num_connections = 0
        self._after_bytes = after_bytes
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._serve)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    def __enter__(self) -> "CuttingProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()  # no new connections from here on
        for connection in self._open:
            _end(connection)
        for thread in self._threads:
            thread.join()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            self.num_connections += 1
            limit = self._after_bytes if self.num_connections <= self.num_cuts else None
            self._open += [client, server]
            for arguments in ((client, server, None), (server, client, limit)):
                thread = threading.Thread(target=_pump, args=arguments)
                self._threads.append(thread)
                thread.start()


def _pump(source: socket.socket, target: socket.socket, limit: int | None) -> None:
    with suppress(OSError):
        while (limit is None or limit > 0) and (data := source.recv(min(limit or 65536, 65536))):
            target.sendall(data)
            limit = None if limit is None else limit - len(data)
    _end(source)
    _end(target)


def _end(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def run_hanging_server(root: Path, *answered: str) -> Iterator[tuple[str, threading.Event]]:
    """A server that gives some shards and hangs when asked for others.

    Yields its URL, and an event that is set once a request hangs.
    """
    hangs, ends = threading.Event(), threading.Event()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.endswith(".tar") and self.path.strip("/") not in answered:
                hangs.set()
                ends.wait()
            with suppress(OSError):  # who asked may be gone by now
                super().do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=root))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", hangs
    finally:
        ends.set()
        server.shutdown()
        thread.join()
        server.server_close()


class WaywardServer(ThreadingHTTPServer):
    """Serves `content` under any name, as badly as told; keeps what was asked for.

    Args:
        content: What it serves.
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _WaywardHandler)
        self.content = content
        self.tag = ""  # the ETag
        self.knows_ranges = True
        self.minds_the_tag = True  # whether If-Range is honoured
        self.tells_size = True
        self.statuses: list[int] = []  # of the next answers; after these all is well
        self.cut_at: list[int] = []  # for each answer, the byte of the file where it breaks
        self.replace_by: bytes | None = None  # the content after the next answer
        self.hangs = threading.Event()  # set while an answer hangs
        self.go_on = threading.Event()
        self.go_on.set()  # clear it to let the next answers hang
        self.asked: list[str | None] = []  # the range of each request

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _WaywardHandler(BaseHTTPRequestHandler):
    server: WaywardServer

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers["Range"]
        server.asked.append(wanted)
        is_other = server.minds_the_tag and self.headers.get("If-Range", server.tag) != server.tag
        size_bytes, start = len(server.content), 0
        if wanted and server.knows_ranges and not is_other:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        status = server.statuses.pop(0) if server.statuses else 206 if start else 200
        if status >= 400 or start >= size_bytes:
            self.send_error(status if status >= 400 else 416)
            return
        self.send_response(status)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{size_bytes - 1}/{size_bytes}")
        if server.tells_size:
            self.send_header("Content-Length", str(size_bytes - start))
        if server.tag:
            self.send_header("ETag", server.tag)
        self.end_headers()
        end = server.cut_at.pop(0) if server.cut_at else size_bytes
        self.wfile.write(server.content[start:end])
        if not server.go_on.is_set():
            server.hangs.set()
            server.go_on.wait()
        if server.replace_by is not None:
            server.content, server.replace_by, server.tag = server.replace_by, None, '"new"'

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def run_wayward_server(content: bytes) -> Iterator[WaywardServer]:
    with WaywardServer(content) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join()


@contextmanager
def run_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server that speaks S3; yields a boto3 client of it, and sets the environment for others."""
    reason = "not installed: pip install 'moto[s3,server]' s3fs"
    server_module = pytest.importorskip("moto.server", reason=f"moto is {reason}")
    boto3 = pytest.importorskip("boto3", reason=f"boto3 is {reason}")
    s3fs = pytest.importorskip("s3fs", reason=f"s3fs is {reason}")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "access99",
            "AWS_SECRET_ACCESS_KEY": "secret99",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()  # they remember the server of another test
        yield boto3.client("s3")
    finally:
        server.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until(condition: Any, limit_s: float = 30.0) -> None:  # noqa: ANN401  # any callable
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.01)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
