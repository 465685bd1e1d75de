import sys
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from places.errors import CheckpointError
from places.models.weights import load_weights


def small_net(num_classes: int = 3, width: int = 4) -> nn.Sequential:
    """A network with the parts that matter: convolution, normalisation, head."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3),
        nn.BatchNorm2d(width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, num_classes),
    )


class Vgglike(nn.Module):
    """Names as in VGG, whose official files wrap `features` alone."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))


def same(ours: nn.Module, theirs: nn.Module) -> bool:
    pairs = zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def renamed(net: nn.Module, old: str, new: str) -> dict[str, Tensor]:
    return {key.replace(old, new, 1): value for key, value in net.state_dict().items()}


def test_a_state_dict_of_torchvision_loads(tmp_path: Path) -> None:
    theirs = torchvision.models.resnet18(num_classes=3)
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    ours = torchvision.models.resnet18(num_classes=3)
    load_weights(ours, tmp_path / "resnet18.pth")
    assert same(ours, theirs)


@pytest.mark.parametrize("new_format", [True, False])
def test_an_official_file_loads_though_the_whole_network_was_wrapped(
    tmp_path: Path, new_format: bool
) -> None:
    theirs, ours = small_net(), small_net()
    # As written by PyTorch 0.2: no counts of batches.
    weights = {
        f"module.{key}": value
        for key, value in theirs.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    official = {"epoch": 90, "arch": "resnet18", "state_dict": weights, "best_prec1": 54.0}
    path = tmp_path / "resnet18_places365.pth.tar"
    torch.save(official, path, _use_new_zipfile_serialization=new_format)
    load_weights(ours, path)
    assert same(ours, theirs)


def test_an_official_file_loads_though_a_part_was_wrapped(tmp_path: Path) -> None:
    theirs, ours = Vgglike(), Vgglike()
    weights = renamed(theirs, "features.", "features.module.")
    assert "features.module.0.weight" in weights
    torch.save({"state_dict": weights}, tmp_path / "vgg16.pth.tar")
    load_weights(ours, tmp_path / "vgg16.pth.tar")
    assert same(ours, theirs)


def test_a_name_that_only_contains_the_word_module_is_kept(tmp_path: Path) -> None:
    theirs, ours = nn.ModuleDict({"submodule": small_net()}), nn.ModuleDict()
    ours["submodule"] = small_net()
    torch.save(renamed(theirs, "submodule.", "module.submodule."), tmp_path / "net.pth")
    load_weights(ours, tmp_path / "net.pth")
    assert same(ours, theirs)


def test_a_file_of_python_2_with_text_that_is_not_utf_8_loads(tmp_path: Path) -> None:
    theirs, ours = small_net(), small_net()
    path = tmp_path / "python2.pth.tar"
    torch.save(
        {"arch": "resnet~", "state_dict": theirs.state_dict()},
        path,
        _use_new_zipfile_serialization=False,
    )
    # Python 2 wrote text as byte strings (opcode U), and \xe9 alone is no UTF-8.
    text, python_2_text = b"X\x07\x00\x00\x00resnet~", b"U\x07resnet\xe9"
    content = path.read_bytes()
    assert content.count(text) == 1
    path.write_bytes(content.replace(text, python_2_text))
    with pytest.raises(UnicodeDecodeError):
        torch.load(path, weights_only=True)
    load_weights(ours, path)
    assert same(ours, theirs)


@pytest.mark.parametrize("prefix", ["net.", "net._orig_mod."])
def test_a_checkpoint_of_a_training_gives_the_network_alone(tmp_path: Path, prefix: str) -> None:
    theirs, ours = small_net(), small_net()
    weights = {f"{prefix}{key}": value for key, value in theirs.state_dict().items()}
    weights["val_sums.count"] = torch.zeros(1)
    checkpoint = {"pytorch-lightning_version": "2.6.6", "epoch": 3, "state_dict": weights}
    torch.save(checkpoint, tmp_path / "best.ckpt")
    load_weights(ours, tmp_path / "best.ckpt")
    assert same(ours, theirs)


def test_a_checkpoint_of_another_lightning_module_gives_its_network(tmp_path: Path) -> None:
    theirs, ours = small_net(), small_net()
    weights = {f"model.{key}": value for key, value in theirs.state_dict().items()}
    checkpoint = {
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {**weights, "loss.weight": torch.zeros(3)},
    }
    torch.save(checkpoint, tmp_path / "other.ckpt")
    load_weights(ours, tmp_path / "other.ckpt")
    assert same(ours, theirs)


def test_another_number_of_classes_is_refused_with_both_numbers(tmp_path: Path) -> None:
    torch.save(small_net(1000).state_dict(), tmp_path / "imagenet.pth")
    ours = small_net(365)
    before = ours.state_dict()["0.weight"].clone()
    with pytest.raises(CheckpointError, match="1,000 classes, the network 365") as caught:
        load_weights(ours, tmp_path / "imagenet.pth")
    assert "--model.replace_head true" in str(caught.value)
    assert torch.equal(ours.state_dict()["0.weight"], before)


@pytest.mark.parametrize("num_classes", [1000, 365])
def test_replace_head_keeps_the_head_and_loads_the_rest(tmp_path: Path, num_classes: int) -> None:
    theirs, ours = small_net(num_classes), small_net(365)
    torch.save(theirs.state_dict(), tmp_path / "imagenet.pth")
    head = ours.state_dict()["4.weight"].clone()
    load_weights(ours, tmp_path / "imagenet.pth", replace_head=True)
    assert torch.equal(ours.state_dict()["4.weight"], head)
    assert same(ours[:4], theirs[:4])


def test_a_file_without_a_head_loads_only_if_the_head_is_kept(tmp_path: Path) -> None:
    torch.save(small_net()[:4].state_dict(), tmp_path / "backbone.pth")
    with pytest.raises(CheckpointError, match=r"2 missing: 4\.weight, 4\.bias"):
        load_weights(small_net(), tmp_path / "backbone.pth")
    load_weights(small_net(), tmp_path / "backbone.pth", replace_head=True)


def test_replace_head_needs_a_head(tmp_path: Path) -> None:
    net = nn.Conv2d(3, 4, 3)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    load_weights(net, tmp_path / "net.pth")
    with pytest.raises(ValueError, match=r"Conv2d has no nn\.Linear"):
        load_weights(net, tmp_path / "net.pth", replace_head=True)


def test_tensors_of_another_shape_are_named_and_counted(tmp_path: Path) -> None:
    torch.save(small_net(width=8).state_dict(), tmp_path / "wide.pth")
    with pytest.raises(CheckpointError) as caught:
        load_weights(small_net(), tmp_path / "wide.pth")
    message = str(caught.value)
    assert "does not fit the network Sequential" in message
    assert "7 of another shape: 0.weight (8, 3, 3, 3) instead of (4, 3, 3, 3), 0.bias" in message
    assert message.count("instead of") == 3


def test_missing_and_unexpected_tensors_are_named_and_counted(tmp_path: Path) -> None:
    weights = small_net().state_dict()
    del weights["0.bias"]
    weights["5.weight"] = torch.zeros(1)
    torch.save(weights, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"1 missing: 0\.bias\n  1 unexpected: 5\.weight"):
        load_weights(small_net(), tmp_path / "other.pth")


def test_a_pickled_network_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save(small_net(), tmp_path / "whole.pth.tar")
    with pytest.raises(CheckpointError, match="not a plain file of weights") as caught:
        load_weights(small_net(), tmp_path / "whole.pth.tar")
    assert "torch.nn.modules.container.Sequential" in str(caught.value)
    assert "torch.save(net.state_dict(), path)" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_file_of_weights_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "net.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"net\.pth cannot be read .*\({len(content)} bytes"):
        load_weights(small_net(), tmp_path / "net.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], r"no weights by name, but a list: \[1, 2\]"),
        ({}, "no weights by name, but a dict"),
        ({"epoch": 3, 4: 5}, "other things than tensors: epoch, 4"),
    ],
)
def test_a_file_of_other_things_is_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=message):
        load_weights(small_net(), tmp_path / "net.pth")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no file of weights at .*none\.pth"):
        load_weights(small_net(), tmp_path / "none.pth")


@pytest.mark.parametrize("name", ["net.safetensors", "net.bin"])
def test_safetensors_load_whatever_they_are_called(tmp_path: Path, name: str) -> None:
    theirs, ours = small_net(), small_net()
    save_file(theirs.state_dict(), tmp_path / name)
    load_weights(ours, tmp_path / name)
    assert same(ours, theirs)


def test_broken_safetensors_are_named(tmp_path: Path) -> None:
    save_file(small_net().state_dict(), tmp_path / "net.safetensors")
    content = (tmp_path / "net.safetensors").read_bytes()
    (tmp_path / "net.safetensors").write_bytes(content[:-8])
    with pytest.raises(CheckpointError, match=r"cannot be read as weights .*\n  .*ncomplete"):
        load_weights(small_net(), tmp_path / "net.safetensors")


def test_safetensors_without_the_package_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    save_file(small_net().state_dict(), tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match="pip install safetensors"):
        load_weights(small_net(), tmp_path / "net.safetensors")
