"""The bare name of one of our classes means ours, wherever a class path may stand."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torchvision
from tests.networks import Tiny

from places import models
from places.cli.main import main
from places.cli.resolve import resolve
from places.models import VGG, ResNet

STAGES = ("fit", "validate", "test", "predict")


def _net(*words: str, stage: str = "fit") -> dict[str, Any]:
    net: dict[str, Any] = resolve([stage, *words])["model"]["init_args"]["net"]
    return net


def test_torchvision_has_classes_of_these_names() -> None:
    assert VGG.__name__ == torchvision.models.VGG.__name__
    assert ResNet.__name__ == torchvision.models.ResNet.__name__


@pytest.mark.first_covers
@pytest.mark.parametrize("name", ["VGG", "ResNet"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_bare_name_in_a_flag_is_ours_in_all_stages(stage: str, name: str) -> None:
    path = f"places.models.{name.lower()}.{name}"
    words = [f"--model.net={name}", "--model.net.depth=16"][: 2 if name == "VGG" else 1]
    assert _net(*words, stage=stage)["class_path"] in (path, f"places.models.{name}")


@pytest.mark.parametrize(
    "words",
    [
        ["--model.net", "VGG", "--model.net.dropout", "0.1"],
        ["--model.net.class_path", "VGG", "--model.net.dropout", "0.1"],
        ["--model.init_args.net", "VGG", "--model.net.dropout", "0.1"],
        ["--model.net", '{"class_path": "VGG", "init_args": {"dropout": 0.1}}'],
    ],
)
def test_a_bare_name_is_understood_in_every_form_of_a_flag(words: list[str]) -> None:
    net = _net(*words)
    assert net["class_path"].rpartition(".")[2] == "VGG"
    assert net["class_path"].startswith("places.models.")
    assert net["init_args"]["dropout"] == 0.1


@pytest.mark.parametrize(
    "text",
    [
        "model: {net: VGG}",
        "model: {net: {class_path: VGG, init_args: {dropout: 0.1}}}",
        "model: {class_path: SceneClassifier, init_args: {net: {class_path: VGG}}}",
    ],
)
def test_a_bare_name_in_a_recipe_is_ours(text: str) -> None:
    Path("my.yaml").write_text(text)
    assert _net("--config", "my.yaml")["class_path"].startswith("places.models.")


def test_a_bare_name_in_help_is_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "--model.net.help", "VGG"]) == 0
    assert "--net.dropout" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("VGGG", "places.models.VGG"),
        ("Resnet", "places.models.ResNet"),
        ("vgg", "places.models.VGG"),
    ],
)
def test_an_unknown_bare_name_is_refused_with_the_nearest(
    capsys: pytest.CaptureFixture[str], name: str, nearest: str
) -> None:
    assert main(["fit", f"--model.net={name}"]) == 2
    error = capsys.readouterr().err
    assert f"wrong value for model.net: {name}" in error
    assert f"nearest:      {nearest}" in error


def test_a_name_that_strangers_share_is_still_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tests.networks", __name__):
        twin = type("Twin", (Tiny,), {"__module__": module})
        monkeypatch.setattr(sys.modules[module], "Twin", twin, raising=False)
    assert main(["fit", "--model.net=Twin"]) == 2
    assert "wrong value for model.net: Twin" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["os.system", "VGG.os.system", "subprocess.Popen", "system"])
def test_nothing_else_can_be_named_by_that(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", f"--model.net={name}"]) == 2
    assert "wrong value for model.net" in capsys.readouterr().err


def test_image_files_is_understood_as_well() -> None:
    config = resolve(["predict", "--data", "ImageFiles", "--data.images", "photos"])
    assert config["data"]["class_path"] == "places.data.image_files.ImageFiles"


@pytest.mark.slow
@pytest.mark.parametrize("name", models.__all__)
def test_every_network_of_ours_is_known_by_its_bare_name(name: str) -> None:
    path = _net("--model.net", name)["class_path"]
    assert path.startswith("places.models.")
    assert path.endswith(f".{name}")
