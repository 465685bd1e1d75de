"""Each command of docs/weights.md and docs/export.md, on files of the published layout."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from tests.data.drawn import drawn_picture
from tests.models.caffe.test_caffe_weights import layer_names
from tests.models.caffe.writer import Caffe, caffemodel
from torch import nn

from places.classifier import SceneClassifier
from places.cli.main import main
from places.models import VGG, CaffeResNet
from places.models.csail import AlexNet, DenseNet161, WideResNet18
from places.models.resnet import ResNet

pytestmark = pytest.mark.slow  # a run of a ResNet-18, and files of up to 540 MB

ROOT = Path(__file__).parents[2]
SMALL = ["--data.image_size", "64", "--data.resize_size", "64"]
QUIET = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
LOGGING = ["--trainer.log_every_n_steps", "1"]
SHORT = ["--trainer.fast_dev_run", "1", "--data.batch_size", "2", *LOGGING]


def commands(page: str) -> list[str]:
    """The commands of a page."""
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.S)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def _csail(net: nn.Module, arch: str) -> dict[str, object]:
    """As CSAIL's script wrote it with PyTorch 0.2: AlexNet has only its convolutions wrapped."""
    weights = {}
    for key, value in net.state_dict().items():
        name = f"module.{key}"
        if arch == "alexnet":
            name = key.replace("features.", "features.module.")
        if arch == "densenet161" and "denselayer" in key:
            name = re.sub(r"(norm|conv)([12])\.", r"\1.\2.", name)
        if not key.endswith("num_batches_tracked"):
            weights[name] = value
    return {"epoch": 90, "arch": arch, "state_dict": weights, "best_prec1": 54.0}


def _caffe_vgg() -> bytes:
    with torch.device("meta"):
        net, layers = VGG(365, 16, batch_norm=False), []
    stages = enumerate((2, 2, 3, 3, 3), 1)
    counts = iter([f"conv{stage}_{n}" for stage, num in stages for n in range(1, num + 1)])
    linear = iter(["fc6", "fc7", "fc8a"])
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            is_conv = isinstance(layer, nn.Conv2d)
            blobs = [
                np.zeros(x.shape, np.float32) for x in (layer.weight, layer.bias) if x is not None
            ]
            kind = "Convolution" if is_conv else "InnerProduct"
            layers.append(Caffe(next(counts if is_conv else linear), kind, blobs, pad=1))
    return caffemodel(layers)


def _caffe_resnet() -> bytes:
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in CaffeResNet(365, 152).state_dict().items()}
    generator, layers = np.random.default_rng(0), []
    for name in layer_names(152):
        known = re.fullmatch(r"res(\d)([a-z])(\d*)_branch(\w+)", name)
        key, norms = "conv1", ["bn_conv1", "scale_conv1"]
        if known:
            block = int(known[3]) if known[3] else ord(known[2]) - ord("a")
            part = {"1": "downsample.0", "2a": "conv1", "2b": "conv2", "2c": "conv3"}[known[4]]
            key = f"layer{int(known[1]) - 1}.{block}.{part}"
            norms = [name.replace("res", "bn", 1), name.replace("res", "scale", 1)]
        shape = shapes[f"{key}.weight"]
        weight = generator.standard_normal(shape, np.float32) * np.sqrt(1 / np.prod(shape[1:]))
        stride = 2 if key == "conv1" or re.fullmatch(r"res[345]a_branch(1|2a)", name) else 1
        layers.append(Caffe(name, "Convolution", [weight.astype(np.float32)], stride))
        zeros, ones = np.zeros(shape[0], np.float32), np.ones(shape[0], np.float32)
        layers.append(Caffe(norms[0], "BatchNorm", [zeros, ones, np.ones(1, np.float32)]))
        layers.append(Caffe(norms[1], "Scale", [ones, zeros]))
    head = [np.zeros((365, 2048), np.float32), np.zeros(365, np.float32)]
    return caffemodel([*layers, Caffe("fc365", "InnerProduct", head)])


def _saved(make: Callable[[], object]) -> Callable[[Path], None]:
    return lambda path: torch.save(make(), path)


FILES: dict[str, Callable[[Path], object]] = {
    "resnet18_places365.pth.tar": _saved(lambda: _csail(ResNet(365, 18), "resnet18")),
    "resnet50_places365.pth.tar": _saved(lambda: _csail(ResNet(365, 50), "resnet50")),
    "wideresnet18_places365.pth.tar": _saved(lambda: _csail(WideResNet18(365), "wideresnet18")),
    "alexnet_places365.pth.tar": _saved(lambda: _csail(AlexNet(365), "alexnet")),
    "densenet161_places365.pth.tar": _saved(lambda: _csail(DenseNet161(365), "densenet161")),
    "vgg16_places365.caffemodel": lambda path: path.write_bytes(_caffe_vgg()),
    "resnet152_places365.caffemodel": lambda path: path.write_bytes(_caffe_resnet()),
    "resnet50-11ad3fa6.pth": _saved(lambda: torchvision.models.resnet50().state_dict()),
    "timm-resnet18.safetensors": lambda path: save_file(
        timm.create_model("resnet18").state_dict(), path
    ),
    "weights.pth": _saved(lambda: torchvision.models.resnet18(num_classes=365).state_dict()),
    "checkpoint.pth": _saved(
        lambda: {"model": torchvision.models.resnet18(num_classes=365).state_dict(), "epoch": 3}
    ),
}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """A run of a ResNet-18 of one step."""
    root = tmp_path_factory.mktemp("runs")
    words = ["fit", "--model.net", "ResNet", "--model.net.depth", "18", "--data.root", str(sample)]
    short = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "1"]
    short += ["--trainer.limit_val_batches", "1", "--data.batch_size", "4", *LOGGING]
    words += [*short, "--trainer.default_root_dir", str(root), *SMALL, *QUIET]
    assert main(words) == 0
    return root / "fit" / "0"


@pytest.fixture
def folder(tmp_path: Path, run_folder: Path, sample: Path) -> Path:
    """What the pages take for granted."""
    for link, target in (("runs/demo/0", run_folder), ("data/sample", sample)):
        (tmp_path / link).parent.mkdir(parents=True)
        (tmp_path / link).symlink_to(target)
    (tmp_path / "photos").mkdir()
    Image.Image.save(drawn_picture(90, 80), tmp_path / "photos" / "a.png")
    return tmp_path


@pytest.mark.parametrize("command", commands("weights.md"))
def test_each_command_of_the_page_of_weights(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command)[1:]
    for name in {*words} & FILES.keys():
        torch.manual_seed(1)
        FILES[name](folder / name)
    if words[0] == "fit":
        words += [*SHORT, *SMALL, "--data.root", "data/sample"]
    elif words[0] == "test":
        words += SMALL
    elif "caffemodel" in command:
        words += ["--data.image_size", "224"]
    assert main([*words, *QUIET]) == 0, capsys.readouterr().err
    if words[0] == "predict":
        assert "photos/a.png\n" in capsys.readouterr().out


def test_each_command_of_the_page_of_exports(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in commands("export.md"):
        words = shlex.split(command)[1:]
        assert main([*words, *(QUIET if words[0] == "predict" else [])]) == 0
        told = capsys.readouterr()
        assert ("same best category" if words[0] == "export" else "photos/a.png") in told.out
    for name in ("demo.safetensors", "demo.onnx", "demo.pt2", "demo-int8.onnx"):
        assert (folder / name).stat().st_size > 10_000_000


def test_a_checkpoint_is_loaded_by_lightnings_idiom_and_by_a_bare_script(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_folder / "checkpoints")
    model = SceneClassifier.load_from_checkpoint("best.ckpt")
    state = torch.load("best.ckpt", weights_only=True)["state_dict"]
    theirs = torchvision.models.resnet18(num_classes=365)
    theirs.load_state_dict({k[4:]: v for k, v in state.items() if k.startswith("net.")})
    pictures = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (pictures / 255 - mean[:, None, None]) / std[:, None, None]
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(pictures), theirs.eval()(normalised))
