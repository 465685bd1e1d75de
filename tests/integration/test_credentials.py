"""No credentials in configs, checkpoints, logs and messages; and how they are given."""

import base64
import io
import os
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import yaml
from tests.data.remote.servers import RawServer, wait_until
from tests.integration.stages import MACHINE, TINY_RECIPE, read_config, run

import places.data
from places.checkpoints.contents import CHECKPOINT_KEY
from places.checkpoints.download import WHOLE_URL, without_signature
from places.cli.main import main
from places.data.remote import download
from places.data.remote.download import read_file
from places.data.remote.failures import RefusedError
from places.data.remote.urls import open_url

SECRET = "hush77"
LOGIN = f"Basic {base64.b64encode(f'me:{SECRET}'.encode()).decode()}"


@pytest.fixture(autouse=True)
def _local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv(WHOLE_URL, "")
    for name in (
        "WANDB_CACHE_DIR",
        "WANDB_DATA_DIR",
        "MLFLOW_ALLOW_FILE_STORE",
        "MLFLOW_TRACKING_URI",
    ):
        monkeypatch.setenv(name, "")  # so that what a run sets is forgotten
        monkeypatch.delenv(name)
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.01)


def _no_secret_in(folder: Path, *texts: str) -> None:
    """Look into all files, also into the members of checkpoints, which are zip files."""
    for path in folder.rglob("*"):
        assert SECRET not in str(path)
        if path.is_file():
            data = path.read_bytes()
            if zipfile.is_zipfile(io.BytesIO(data)):
                with zipfile.ZipFile(path) as archive:
                    data += b"".join(map(archive.read, archive.namelist()))
            assert SECRET.encode() not in data, path
    assert SECRET not in "".join(texts)


def _answers(server_folder: Path, needs: str = "") -> Callable[..., None]:
    """Serve a folder to requests that have a text in them, as a header or in their query."""

    def answer(connection: object, request: str) -> None:
        if "/elsewhere" in request:  # as a store that signs what it redirects to
            place = f"/last.ckpt?other=1&sig=Y{SECRET}"
            head = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())  # type: ignore[attr-defined]  # a socket
            return
        path = server_folder / request.split()[1].partition("?")[0].lstrip("/")
        is_there, is_allowed = path.is_file(), needs in request
        data = path.read_bytes() if is_there and is_allowed else b""
        status = 401 if not is_allowed else 200 if is_there else 404
        head = f"HTTP/1.1 {status} {request.split()[1]}\r\nContent-Length: {len(data)}\r\n\r\n"
        connection.sendall(head.encode() + data)  # type: ignore[attr-defined]  # a socket

    return answer


@pytest.mark.parametrize(
    "words",
    [
        ["--data.root", f"http://me:{SECRET}@127.0.0.1/places"],
        [f"--data.root=https://127.0.0.1/places?sig={SECRET}"],
        ["--data.init_args.root", f"s3://key:{SECRET}@bucket/places"],
        ["--data", f'{{"class_path": "Places365", "init_args": {{"root": "az://a/b?{SECRET}"}}}}'],
        ["--trainer.logger", "WandbLogger", "--trainer.logger.init_args.api_key", SECRET],
        ["--trainer.logger+=Neptune", f"--trainer.logger.api_token={SECRET}"],
        [
            "--trainer.logger",
            f'[{{"class_path": "Gone", "init_args": {{"password": "{SECRET}"}}}}]',
        ],
        ["--trainer.logger.tracking_uri", f"http://me:{SECRET}@host"],
        ["--config", f"{{data: {{root: 'http://me:{SECRET}@host/places'}}}}"],
        ["--data.batch_size", f"http://me:{SECRET}@host"],
        [f"http://me:{SECRET}@host"],
    ],
    ids=str,
)
def test_secrets_on_the_command_line_are_refused_and_never_shown(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *words, "--debug"]) == 2
    out, error = capsys.readouterr()
    assert "which would be saved with the run" in error
    assert "given in:  the command line" in error
    _no_secret_in(tmp_path, out, error)


@pytest.mark.parametrize(
    "recipe",
    [
        {"data": {"root": f"https://host/places?{SECRET}"}},
        {"trainer": {"logger": [{"class_path": "Gone", "init_args": {"api_key": SECRET}}]}},
        {"ckpt_path": f"https://host/last.ckpt?sig={SECRET}"},
    ],
)
def test_secrets_in_a_recipe_are_refused_by_its_name(
    recipe: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(recipe))
    for command in (["fit", "--config", "mine.yaml"], ["config", "show", "mine.yaml"]):
        assert main(command) == 2
        out, error = capsys.readouterr()
        assert "given in:  mine.yaml" in error
        assert SECRET not in out + error


# Loggers beside W&B, as far as they are installed.
OTHERS = [
    name
    for name, package in (("TensorBoardLogger", "tensorboard"), ("MLFlowLogger", "mlflow"))
    if find_spec(package) is not None
]


@pytest.fixture
def served(mixed_sample: Path, tmp_path: Path) -> Path:
    """A checkpoint of one step, in a folder that a server may show."""
    words = [
        "--data.root",
        mixed_sample,
        "--trainer.max_steps",
        1,
        "--trainer.limit_val_batches",
        1,
    ]
    assert run("fit", *words, "--trainer.default_root_dir", tmp_path / "served") == 0
    return tmp_path / "served" / "fit" / "0" / "checkpoints"


@pytest.mark.parametrize("form", ["http://me:{0}@{1}/last.ckpt", "http://{1}/last.ckpt?sig={0}"])
def test_a_signed_checkpoint_leaves_no_trace(
    form: str,
    served: Path,
    mixed_sample: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wandb = pytest.importorskip("wandb")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with RawServer(_answers(served, LOGIN if "@" in form else f"sig={SECRET}")) as server:
        url = form.format(SECRET, f"127.0.0.1:{server.port}")
        # As from a shell: Lightning starts other processes with it, W&B saves it.
        words = ["test", "--ckpt_path", url, "--data.root", str(mixed_sample), *MACHINE]
        monkeypatch.setattr(sys, "argv", ["places", *words])
        assert main() == 0
        assert SECRET not in str(sys.argv)
        fit = ["fit", f"--ckpt_path={url}", "--trainer.max_steps", "2", *TINY_RECIPE, *MACHINE]
        with_wandb = ["--config", "overlays/wandb.yaml"] if "@" in form else []  # one of its a test
        with_wandb += [f"--trainer.logger+={name}" for name in OTHERS if "@" in form]
        monkeypatch.setattr(sys, "argv", ["places", *fit, *with_wandb])
        assert main() == 0
        shown = f"http://127.0.0.1:{server.port}/last.ckpt"
        folders = [path.parent for path in Path("runs").rglob("config.yaml")]
        assert {read_config(folder)["ckpt_path"] for folder in folders} == {shown}
        # Another process of the same run gets the address only, and the environment.
        assert run("validate", "--ckpt_path", shown, "--data.root", mixed_sample) == 0
        monkeypatch.setenv(WHOLE_URL, "")
        assert run("validate", "--ckpt_path", shown, "--data.root", mixed_sample) == 2
    if "@" in form:
        wandb.finish()
        (log,) = Path("runs").rglob("*.wandb")
        words_there = f"=http://127.0.0.1:{server.port}/last.ckpt".encode()
        wait_until(lambda: words_there in log.read_bytes())  # another process writes it
    _no_secret_in(tmp_path / "here", *capsys.readouterr())
    assert list(Path("runs").rglob("*.ckpt"))


FAILURES = {
    "missing": lambda server: f"127.0.0.1:{server.port}/gone.ckpt?sig={SECRET}",
    "refused": lambda server: f"127.0.0.1:{server.port}/last.ckpt?sig=X{SECRET}",
    "redirected": lambda server: f"127.0.0.1:{server.port}/elsewhere?sig={SECRET}",
    "damaged": lambda server: f"127.0.0.1:{server.port}/damaged.ckpt?sig={SECRET}",
    "no such host": lambda server: f"nowhere.invalid/last.ckpt?sig={SECRET}",
    "nobody listens": lambda server: f"127.0.0.1:9/last.ckpt?sig={SECRET}",
    "no port": lambda server: f"127.0.0.1:port/last.ckpt?sig={SECRET}",
    "no address": lambda server: f"[::1/last.ckpt?sig={SECRET}",
    "no name": lambda server: f"127.0.0.1:{server.port}?sig={SECRET}",
    "a slash in the password": lambda server: f"me:/{SECRET}@127.0.0.1/last.ckpt",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_signed_checkpoint_leaves_no_trace_when_it_fails(
    failure: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "NUM_TRIES", 2)
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "damaged.ckpt").write_bytes(b"no checkpoint")
    with RawServer(_answers(tmp_path / "served", f"sig={SECRET}")) as server:
        url = f"http://{FAILURES[failure](server)}"
        assert main(["test", "--ckpt_path", url, "--data.timeout_s", "1", "--debug"]) == 2
    out, error = capfd.readouterr()
    assert "places: error: " in error
    assert len(error[error.index("places: error: ") :].splitlines()) <= 4
    _no_secret_in(tmp_path, out, error)


def test_a_signed_checkpoint_on_a_server_that_hangs_leaves_no_trace(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with RawServer(lambda connection, _: server.trickle(connection, b"HTTP/1.1 2")) as server:
        url = f"{server.url}/last.ckpt?sig={SECRET}"
        assert main(["test", "--ckpt_path", url, "--data.timeout_s", "1", "--debug"]) == 2
    _no_secret_in(tmp_path, *capfd.readouterr())


def test_secrets_in_an_old_checkpoint_are_neither_shown_nor_used_again(
    served: Path, mixed_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Older versions saved them with the config."""
    checkpoint = torch.load(served / "last.ckpt", weights_only=True)
    config = checkpoint[CHECKPOINT_KEY]["config"]
    config["data"]["init_args"]["root"] = f"http://me:{SECRET}@127.0.0.1:9/places?sig={SECRET}"
    torch.save(checkpoint, tmp_path / "old.ckpt")
    (tmp_path / "here").mkdir()
    words = ["--ckpt_path", tmp_path / "old.ckpt", "--trainer.default_root_dir", tmp_path / "here"]
    assert run("fit", *words, "--data.root", mixed_sample, "--trainer.max_steps", 2) == 0
    out, error = capsys.readouterr()
    assert "data.root: http://127.0.0.1:9/places in the checkpoint" in error
    _no_secret_in(tmp_path / "here", out, error)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "NUM_TRIES", 1)
        assert run("test", *words) == 2
    out, error = capsys.readouterr()
    assert "cannot read http://127.0.0.1:9/places/val.json" in error
    _no_secret_in(tmp_path / "here", out, error)


def test_only_the_url_of_the_checkpoint_is_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"https://host/a.ckpt?sig={SECRET}"
    assert without_signature(["fit", "--ckpt_path", url]) == [
        *("fit", "--ckpt_path", "https://host/a.ckpt")
    ]
    assert os.environ[WHOLE_URL] == url
    for words in (["--ckpt_path", "last"], ["--ckpt_path", "runs/a?b"], ["--data.root", url], []):
        assert without_signature(words) == words


@pytest.fixture
def netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "netrc"
    path.write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    path.chmod(0o600)
    monkeypatch.setenv("NETRC", str(path))
    return path


@pytest.mark.usefixtures("netrc")
def test_netrc_opens_the_door_of_its_host(
    mixed_sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    with RawServer(_answers(mixed_sample, LOGIN)) as server:
        batches = places.data.open(server.url, "val", 18, image_size=32, cache_folder=cache)
        assert len([batch["key"] for batch in batches]) == 2
        words = [*TINY_RECIPE, *MACHINE, "--random_weights", "true", "--data.root", server.url]
        assert main(["validate", *words]) == 0
    (tmp_path / "netrc").unlink()
    _no_secret_in(tmp_path, *capsys.readouterr())


@pytest.mark.usefixtures("netrc")
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_redirection_takes_a_password_to_its_own_host_only(host: str) -> None:
    def redirect(connection: object, _: str) -> None:
        place = f"http://{host}:{other.port}/b"
        head = f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())  # type: ignore[attr-defined]  # a socket

    def give(connection: object, _: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")  # type: ignore[attr-defined]  # a socket

    with RawServer(redirect) as server, RawServer(give) as other:
        for url in (server.url, f"http://me:{SECRET}@127.0.0.1:{server.port}"):
            assert read_file(open_url(url).file("a")) == b"b"
    assert all(f"Authorization: {LOGIN}" in request for request in server.requests)
    assert len(other.requests) == 2
    if host == "localhost":
        assert "authorization" not in "".join(other.requests).lower()


def test_without_the_right_password_nothing_secret_is_shown(netrc: Path, tmp_path: Path) -> None:
    netrc.write_text(f"machine 127.0.0.1 login me password X{SECRET}\n")
    with (
        RawServer(_answers(tmp_path, LOGIN)) as server,
        pytest.raises(RefusedError) as caught,
    ):
        read_file(open_url(server.url).file("a"))
    assert "401" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_password_of_a_proxy_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.setattr(download, "NUM_TRIES", 2)
    refuse = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with RawServer(lambda connection, _: connection.sendall(refuse)) as server:
        for port in (server.port, 9):
            for scheme in ("http", "https"):
                monkeypatch.setenv(f"{scheme}_proxy", f"http://me:{SECRET}@127.0.0.1:{port}")
                url = f"{scheme}://host.invalid/last.ckpt"
                assert main(["test", "--ckpt_path", url, "--debug"]) == 2
        assert all(LOGIN in request for request in server.requests)
    out, error = capfd.readouterr()
    assert SECRET not in out + error
