"""Pictures in tars and behind URLs get the answers that they get as files."""

import csv
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from tests.data.drawn import drawn_picture
from tests.data.remote.servers import free_port, run_s3
from tests.integration.stages import run

from places.data.remote import download
from places.data.remote.ahead import FetchAhead

WORDS = ["--random_weights", "--model.net=tests.networks.Tiny"]
WORDS += ["--data.image_size=32", "--data.resize_size=36"]


def _make_pictures(folder: str, count: int = 6) -> list[str]:
    Path(folder).mkdir(parents=True)
    names = [f"{folder}/{number}.{('jpg', 'png')[number % 2]}" for number in range(count)]
    for number, name in enumerate(names):
        drawn_picture(60 + number, 50, number).save(name)
    return names


def _predict(*words: object) -> tuple[int, list[dict[str, str]]]:
    """Return the exit status and the rows."""
    before = set(Path("runs").rglob("predictions.csv"))
    status = run("predict", *words, *WORDS)
    new = set(Path("runs").rglob("predictions.csv")) - before
    if not new:
        return status, []
    with new.pop().open(encoding="utf-8", newline="") as opened:
        return status, list(csv.DictReader(opened))


def _answers(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    # The labels of a tar are told beside its pictures.
    told = ("path", "true_category", "true_index")
    return [{key: value for key, value in row.items() if key not in told} for row in rows]


def _paths(rows: list[dict[str, str]]) -> list[str]:
    return [row["path"] for row in rows]


@pytest.fixture
def names() -> list[str]:
    return _make_pictures("photos")


def test_a_tar_gives_the_answers_of_its_files_in_its_order(
    names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    in_order = names[3:] + names[:3]
    with tarfile.open("photos.tar", "w") as tar:
        for name in in_order:
            tar.add(name)
            for other in (f"{name[:-4]}.cls", f"{name}.json", "__meta__", f"photos/._{name[7:]}"):
                info = tarfile.TarInfo(other)
                info.size = 1
                tar.addfile(info, io.BytesIO(b"3"))
    _, expected = _predict(*in_order)
    assert _paths(expected) == in_order
    capsys.readouterr()
    status, rows = _predict("photos.tar")
    assert (status, _paths(rows)) == (0, [f"photos.tar::{name}" for name in in_order])
    assert _answers(rows) == _answers(expected)
    assert "18 left out as no pictures: photos.tar::photos/3.png.json" in capsys.readouterr().err
    assert sorted(path.name for path in Path().iterdir()) == ["photos", "photos.tar", "runs"]
    # A path of the table can be given again.
    status, rows = _predict(rows[1]["path"])
    assert (status, _paths(rows)) == (0, [f"photos.tar::{in_order[1]}"])
    assert _answers(rows) == _answers(expected[1:2])


@pytest.mark.parametrize("form", ["--data.null=true", "--data.null true"])
def test_options_of_the_pictures_may_stand_anywhere(names: list[str], form: str) -> None:
    Path("list").write_text("\0".join(names[:2]))
    for words in (["@list", *form.split()], [*form.split(), "@list"]):
        status, rows = _predict(*words)
        assert (status, _paths(rows)) == (0, names[:2])


def test_shards_of_ours_are_named_as_webdataset_does(mixed_sample: Path) -> None:
    (shard,) = mixed_sample.glob("val-*.tar")
    with tarfile.open(shard) as tar:
        members = [name for name in tar.getnames() if not name.endswith(".cls")]
    assert {name[-4:] for name in members} == {".jpg", ".ppm"}
    status, rows = _predict(f"{mixed_sample}/val-{{000000..000000}}.tar")
    assert (status, _paths(rows)) == (0, [f"{shard}::{name}" for name in members])


def test_a_tar_that_is_replaced_while_it_is_read_stops_the_run(
    names: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tarfile.open("photos.tar", "w") as tar:
        tar.add("photos")
    follow = FetchAhead.follow

    def touch(ahead: FetchAhead, numbers: Iterator[int]) -> None:
        os.utime("photos.tar", (1, 1))
        follow(ahead, numbers)

    monkeypatch.setattr(FetchAhead, "follow", touch)
    assert _predict("photos.tar")[0] == 2
    assert "photos.tar was replaced while it was read" in capsys.readouterr().err


Answer = Callable[[BaseHTTPRequestHandler], bool]


class Server(ThreadingHTTPServer):
    """Serves the working folder, except where `answer` answers instead and tells so."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = Path.cwd()
        self.answer: Answer = lambda _: False
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.headers.append(dict(self.headers))
        if self.server.answer(self):
            return
        file = self.server.folder / self.path.partition("?")[0].lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        self.give(file.read_bytes(), f'"{file.stat().st_mtime_ns}"')

    def give(self, data: bytes, tag: str = "") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(download, "LONGEST_WAIT_S", 0.1)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_pictures_lists_and_tars_behind_urls(names: list[str], server: Server) -> None:
    with tarfile.open("photos/some.tar", "w") as tar:
        for name in names[:2]:
            tar.add(name, name.removeprefix("photos/"))
    lines = ["0.jpg", f"{server.url}/photos/1.png", "../photos/2.jpg", "/photos/3.png", ""]
    lines += ["some.tar", "gone.jpg", "file:///etc/passwd", "pipe:cat x", "4.jpg?a=hidden77"]
    Path("photos/list.txt").write_text("\r\n".join(lines))
    url = f"{server.url}/photos"
    status, rows = _predict(f"@{url}/list.txt", f"{url}/5.png", f"{url}/{{0..1}}.jpg")
    expected = [*(f"{url}/{name[7:]}" for name in names[:4]), f"{url}/some.tar::0.jpg"]
    expected += [f"{url}/some.tar::1.png", f"{url}/gone.jpg", "file:///etc/passwd"]
    expected += ["pipe:cat x", f"{url}/4.jpg", f"{url}/5.png", f"{url}/1.jpg"]
    assert (status, _paths(rows)) == (1, expected)
    files = [*names[:4], *names[:2], *names[4:]]
    good = [row for row in rows if not row["error"]]
    assert _answers(good) == _answers(_predict(*names[:4], *names[4:])[1])[:4] + _answers(
        _predict(*names[:2])[1]
    ) + _answers(_predict(*names[4:])[1])
    assert len(files) == len(good)
    errors = {row["path"]: row["error"] for row in rows if row["error"]}
    assert errors[f"{url}/gone.jpg"] == "not found (404)"
    assert "no file of this machine" in errors["file:///etc/passwd"]
    assert "no single URL" in errors["pipe:cat x"]
    assert "/photos/4.jpg?a=hidden77" in server.asked
    texts = [path.read_bytes() for path in Path("runs").rglob("*.*") if path.is_file()]
    assert not any(b"hidden77" in text for text in texts)


def test_a_local_list_leads_to_urls_and_files(names: list[str], server: Server) -> None:
    lines = [names[0], f"{server.url}/{names[1]}", f"file://{Path(names[2]).absolute()}"]
    Path("list.txt").write_text("\n".join(lines))
    Path("away").mkdir()
    Path("list.txt").rename("away/list.txt")
    status, rows = _predict("@away/list.txt")
    assert (status, _paths(rows)) == (0, [*lines[:2], str(Path(names[2]).absolute())])
    assert _answers(rows) == _answers(_predict(*names[:3])[1])


def test_a_tar_behind_a_url_is_fetched_once(names: list[str], server: Server) -> None:
    with tarfile.open("a.tar", "w") as tar:
        tar.add("photos")
    status, rows = _predict(f"{server.url}/a.tar")
    assert (status, len(rows)) == (0, len(names))
    (kept,) = Path("data/cache").glob("*.tar")
    made_ns = kept.stat().st_mtime_ns
    assert _predict(f"{server.url}/a.tar")[1] == rows
    assert kept.stat().st_mtime_ns == made_ns
    Path("a.tar").unlink()
    with tarfile.open("a.tar", "w") as tar:
        tar.add(names[0])
    os.utime("a.tar", (1, 1))
    assert _paths(_predict(f"{server.url}/a.tar")[1]) == [f"{server.url}/a.tar::{names[0]}"]
    words = (f"{server.url}/a.tar", "--data.cache_size_gb=0.000001", "--data.cache_folder=other")
    assert _predict(*words)[0] == 2


def _misbehave(request: BaseHTTPRequestHandler) -> bool:
    """Answer as the first part of the path tells."""
    kind = request.path.split("/")[1]
    if kind in ("file", "pipe", "ftp"):
        request.send_response(302)
        place = {"file": "file:///etc/passwd", "pipe": "pipe:cat", "ftp": "ftp://127.0.0.1/a"}[kind]
        request.send_header("Location", place)
        request.end_headers()
    elif kind.isdigit():
        request.send_error(int(kind))
    elif kind == "endless":
        request.send_response(200)
        request.send_header("Content-Length", str(2**40))
        request.end_headers()
        request.wfile.write(bytes(2**21))
    elif kind == "page":
        request.send_response(200)
        request.end_headers()
        request.wfile.write(b"<html>sign in</html>")
    else:
        return False
    return True


def test_what_concerns_one_picture_behind_a_url_is_its_row(
    names: list[str], server: Server
) -> None:
    server.answer = _misbehave
    reasons = {
        "file": "redirects from http to file",
        "pipe": "redirects from http to pipe",
        "ftp": "redirects from http to ftp",
        "404": "not found (404)",
        "403": "no permission to read",
        "401": "no permission to read",
        "410": "410",
        "500": "500",
        "endless": "does not end after",
        "page": "of no format that is read here",
    }
    bad = {f"{server.url}/{kind}/a.jpg": reason for kind, reason in reasons.items()}
    good = [f"{server.url}/{name}" for name in names]
    status, rows = _predict(*good[:3], *bad, *good[3:], "--data.batch_size=4")
    assert (status, _paths(rows)) == (1, [*good[:3], *bad, *good[3:]])
    errors = {row["path"]: row["error"] for row in rows}
    for path, reason in bad.items():
        assert reason in errors[path]
    assert not any(errors[path] for path in good)


def test_a_server_that_is_down_stops_the_run_in_few_lines(
    names: list[str], server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    down = f"http://127.0.0.1:{free_port()}/a"
    lines = [f"{server.url}/{name}" for name in names] + [f"{down}/{n}.jpg" for n in range(10_000)]
    Path("list.txt").write_text("\n".join(lines))
    status, rows = _predict("@list.txt", "--data.batch_size=2", "--data.timeout_s=5")
    error = capsys.readouterr().err.splitlines()
    at = next(number for number, line in enumerate(error) if line.startswith("places: error: "))
    assert status == 2
    assert error[at] == f"places: error: cannot read {down}/0.jpg"
    assert len(error) - at <= 4
    assert _paths(rows) == lines[: len(names)]
    assert not any(row["error"] for row in rows)


def test_a_server_that_falls_silent_is_given_up(
    names: list[str], server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    ends = threading.Event()
    server.answer = lambda request: request.path.endswith("/2.jpg") and ends.wait()
    urls = [f"{server.url}/{name}" for name in names]
    status, rows = _predict(*urls, "--data.timeout_s=1", "--data.batch_size=2")
    assert (status, len(rows)) == (1, len(names))  # it still gives others
    assert "takes too long" in rows[2]["error"]
    server.answer = lambda _: ends.wait()
    status, rows = _predict(*urls, "--data.timeout_s=1")
    ends.set()
    assert (status, rows) == (2, [])
    assert "more patience:  --data.timeout_s 5" in capsys.readouterr().err


def test_credentials_of_a_url_are_used_and_never_shown(
    names: list[str],
    server: Server,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = server.url.removeprefix("http://")
    Path("list.txt").write_text(
        f"http://me:secret88@{host}/{names[0]}?token=hidden77\nhttp://me:secret88@{host}/gone.jpg"
    )
    status, rows = _predict("@list.txt")
    assert (status, _paths(rows)) == (1, [f"{server.url}/{names[0]}", f"{server.url}/gone.jpg"])
    assert all("Authorization" in headers for headers in server.headers)
    for url in (f"http://me:secret88@{host}/a.jpg", f"{server.url}/a.jpg?token=secret88"):
        assert run("predict", url, *WORDS) == 2
        assert run("predict", "--data=ImageFiles", "--data.images", url, *WORDS) == 2
    shown = "".join(capsys.readouterr())
    files = [path.read_bytes() for path in Path("runs").rglob("*") if path.is_file()]
    for secret in ("secret88", "hidden77"):
        assert secret not in shown
        assert not any(secret.encode() in text for text in files)


def test_pictures_and_tars_in_s3(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open("a.tar", "w") as tar:
        tar.add(names[1])
    with run_s3(monkeypatch) as client:
        client.create_bucket(Bucket="bucket")
        for name in (names[0], "a.tar"):
            client.upload_file(name, "bucket", name)
        words = ("s3://bucket/photos/0.jpg", "s3://bucket/a.tar", "s3://bucket/gone.jpg")
        status, rows = _predict(*words)
    assert status == 1
    assert _paths(rows) == [words[0], f"s3://bucket/a.tar::{names[1]}", words[2]]
    assert _answers(rows[:2]) == _answers(_predict(*names[:2])[1])
    assert rows[2]["error"] == "not found (404)"


def test_many_pictures_are_fetched_ahead_by_several_threads(
    names: list[str], server: Server
) -> None:
    together = threading.Barrier(4, timeout=30)

    def wait_for_others(request: BaseHTTPRequestHandler) -> bool:
        if "more" in request.path:
            together.wait()
        return False

    server.answer = wait_for_others
    Path("more").mkdir()
    for number in range(8):
        Image.new("RGB", (40, 40)).save(f"more/{number}.png")
    words = [f"{server.url}/more/{number}.png" for number in range(8)]
    status, rows = _predict(*words, "--data.num_threads=1", "--data.batch_size=8")
    assert (status, _paths(rows)) == (0, words)
