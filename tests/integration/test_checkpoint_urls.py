"""Checkpoints behind a URL, from a real HTTP server on this machine."""

import json
import threading
from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from tests.integration.stages import MACHINE, load_weights, read_config, run

from places.checkpoints.download import fetch_checkpoint
from places.cli.main import main


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the server shows."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    """The address of the server, with credentials that it does not ask for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://user:secret@127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_all_stages_take_a_checkpoint_behind_a_url(
    folder: Path, url: str, sample: Path, tmp_path: Path
) -> None:
    words = ["--data.root", sample, "--trainer.max_epochs", 2, "--resume.every_n_steps", 4]
    served = ["--resume.keep_all", "true", "--trainer.default_root_dir", folder]
    assert run("fit", *words, *served) == 0
    checkpoints = "fit/0/checkpoints"
    step_4 = f"{url}/{checkpoints}/step-4.ckpt?signature=secret"
    assert main(["fit", "--ckpt_path", step_4, *MACHINE]) == 0
    whole = load_weights(folder / checkpoints / "last.ckpt")
    resumed = load_weights(tmp_path / "runs" / "fit" / "0" / "checkpoints" / "last.ckpt")
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    shown = f"{url.replace('user:secret@', '')}/{checkpoints}/step-4.ckpt"
    assert read_config(tmp_path / "runs" / "fit" / "0")["ckpt_path"] == shown
    for stage in ("validate", "test", "predict"):
        assert run(stage, "--ckpt_path", f"{url}/{checkpoints}/last.ckpt") == 0
    (result,) = tmp_path.rglob("result.json")
    assert json.loads(result.read_text())["num_images"] == 36
    assert "secret" not in " ".join(path.read_text() for path in tmp_path.rglob("*.yaml"))


def test_a_file_behind_a_url_runs_no_code(
    folder: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"places": {}, "global_step": Fraction(1, 2)}, folder / "code.ckpt")
    assert run("test", "--ckpt_path", f"{url}/code.ckpt") == 2
    assert "places: error: cannot read checkpoint runs/downloads/" in capsys.readouterr().err


def test_what_is_not_there_is_named_without_its_credentials(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("test", "--ckpt_path", f"{url}/none.ckpt?key=secret") == 2
    error = capsys.readouterr().err
    assert error.startswith("places: error: cannot fetch checkpoint http://127.0.0.1:")
    assert "secret" not in error
    assert len(error.splitlines()) <= 4
    assert run("test", "--ckpt_path", "nothing://host/none.ckpt") == 2
    assert "places: error: ckpt_path nothing://host/none.ckpt cannot be read" in (
        capsys.readouterr().err
    )


def test_a_file_is_fetched_anew_under_a_name_of_its_own(
    folder: Path, url: str, tmp_path: Path
) -> None:
    paths: list[Path] = []
    for name in ("a", "b", "a"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "last.ckpt").write_text(f"{name} {len(paths)}")
        paths.append(fetch_checkpoint(f"{url}/{name}/last.ckpt", tmp_path))
    assert paths[0] == paths[2] != paths[1]
    assert [path.read_text() for path in paths] == ["a 2", "b 1", "a 2"]
    assert len(list(tmp_path.iterdir())) == 2
