"""`places export` of files that are no checkpoint of ours, and networks that cannot be written."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.networks import Tiny
from torch import Tensor

from places.checkpoints.description import Description
from places.cli.main import main
from places.data.streaming.batches import EvalCrop
from places.exports.formats import write_onnx, write_safetensors


class Deciding(Tiny):
    """Takes a way that depends on what it sees, which no program can."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]  # torch's
        return logits if float(images.mean()) > -1000 else -logits


def _description(kind: str) -> Description:
    spec = {"class_path": f"tests.{kind}", "init_args": {}}
    return Description(spec, num_classes=7, crop=EvalCrop(32, 32, "squash"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A network with 7 classes, of which nothing but the file tells."""
    torch.manual_seed(1)
    path = tmp_path / "net.safetensors"
    write_safetensors(Tiny(7).eval(), _description("networks.Tiny"), path)
    return path


def export(source: Path, *words: object) -> int:
    options = ("--trust", "tests", "--file", "new.safetensors", *words)
    return main(["export", "--ckpt_path", str(source), *map(str, options)])


def test_without_pictures_some_are_drawn(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(source, "--num_pictures", 5) == 0
    out = capsys.readouterr().out
    assert "compared on 5 drawn pictures, as no real ones are given (--images FOLDER)" in out
    assert "same best category: 5 of 5 (100.0 %)" in out
    before, after = load_file(source), load_file("new.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_of_shards_no_more_are_read_than_asked(
    source: Path, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(source, "--root", sample, "--num_pictures", 10) == 0
    assert f"compared on 10 pictures of the split val in {sample}" in capsys.readouterr().out


def test_a_folder_without_readable_pictures_is_refused(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "photos"
    assert export(source, "--images", folder) == 2
    assert f"images must be a folder of pictures, not {folder}" in capsys.readouterr().err
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    assert export(source, "--images", folder) == 2
    assert f"no pictures in {folder}" in capsys.readouterr().err
    (folder / "a.jpg").write_bytes(b"no picture")
    assert export(source, "--images", folder) == 2
    assert f"no picture in {folder} can be read" in capsys.readouterr().err
    assert not Path("new.safetensors").exists()


def test_an_onnx_file_is_no_network_to_export(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    file = tmp_path / "net.onnx"
    write_onnx(Tiny(7).eval(), _description("networks.Tiny"), file)
    assert export(file) == 2
    assert f"{file} is an ONNX file, which is a form to export to" in capsys.readouterr().err


@pytest.mark.parametrize(("form", "name"), [("torch", "new.pt2"), ("onnx", "new.onnx")])
def test_a_network_that_is_no_program_is_told_with_what_it_can_be(
    form: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "deciding.safetensors"
    kind = _description("exports.test_export_sources.Deciding")
    write_safetensors(Deciding(7).eval(), kind, source)
    assert export(source, "--format", form, "--file", name, "--num_pictures", 2) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-3] == "places: error: the network Deciding cannot be written as a program"
    assert lines[-1].strip() == "its weights can be:  --format safetensors"
    assert not list(tmp_path.glob("*new*"))


def test_a_package_that_a_form_needs_is_named(
    source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert export(source, "--format", "onnx", "--file", "new.onnx") == 2
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "places: error: this format needs the package onnx",
        "  install it:  pip install 'places[onnx]'",
    ]
