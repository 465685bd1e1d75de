"""Files of weights as users have them: loaded, or refused by what they are."""

import argparse
import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from tests.data.drawn import drawn_picture, jpeg_of
from tests.integration.stages import MACHINE, run
from tests.networks import Tiny
from torch import Tensor, nn

import places
from places.cli.main import main
from places.errors import CheckpointError
from places.models.listing import NETWORKS
from places.models.weights import load_weights

SMALL = ["--data.image_size", "32", "--data.resize_size", "36"]


def state() -> dict[str, Tensor]:
    """The weights of a small network, the same each time."""
    torch.manual_seed(3)
    return dict(Tiny(365).state_dict())


def torch_bytes(content: object, **options: bool) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state().items()}


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo("net.pth")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def scripted() -> bytes:
    names = ("data.pkl", "constants.pkl", "code/__torch__.py")
    return zipped({f"net/{name}": b"" for name in names})


def arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.ones(2))
    return file.getvalue()


class Evil:
    """Would run code when a careless reader opens it."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (Path.touch, (Path("ran"),))  # type: ignore[return-value]  # of a function


def scaled(factor: float) -> dict[str, Tensor]:
    return {k: v * factor if v.is_floating_point() else v for k, v in state().items()}


def as_kind(kind: torch.dtype) -> dict[str, Tensor]:
    return {k: v.to(kind) if v.is_floating_point() else v for k, v in state().items()}


HUGE = torch.full((8, 3, 3, 3), 1e300, dtype=torch.float64)  # infinite in 32 bits
WHOLE = torch_bytes(state())
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 46827520\n"
TORCH7 = struct.pack("<iii", 4, 1, 3) + b"V 1" + struct.pack("<i", 17) + b"nn.Sequential\0\0"
REFUSED: dict[str, tuple[bytes, str]] = {
    "a Git LFS pointer": (LFS, "a pointer of Git LFS.*\n.*git lfs pull"),
    "a web page": (b"<!DOCTYPE html>\n<html><title>404</title>", "a web page"),
    "a page of XML": (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "a web page"),
    "JSON": (b'{"message": "Not Found"}', "JSON that begins with"),
    "a text": ("Quota exceeded, próxima vez".encode(), "a text that begins with 'Quota exceeded"),
    "Torch7": (TORCH7, "a Torch7 file"),
    "Torch7 in ASCII": (b"4\n1\n3\nV 1\n13\nnn.Sequential\n", "a Torch7 file"),
    "nothing": (b"", "it is empty"),
    "a cut archive": (WHOLE[: len(WHOLE) // 2], "cut off or damaged"),
    "a tar": (tarred(WHOLE), "a tar archive"),
    "gzip": (gzip.compress(WHOLE), "compressed with gzip.*\n.*gunzip"),
    "a zip of others": (zipped({"a.txt": b"1", "b.txt": b"2"}), "zip archive of something else: a"),
    "arrays of NumPy": (arrays(), "zip archive of something else: a.npy"),
    "an empty zip": (zipped({}), "an empty zip archive"),
    "TorchScript": (scripted(), "a TorchScript program"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
    "a JPEG": (jpeg_of(drawn_picture(30, 30)), "a picture"),
    "a plain pickle": (pickle.dumps({"a": 1}), "a pickle that torch.save did not write"),
    "a pickled network": (torch_bytes(Tiny(365)), r"it holds a pickled tests\.networks\.Tiny"),
    "code": (torch_bytes({"state_dict": state(), "x": Evil()}), "it holds a pickled|it holds more"),
    "code, old form": (
        torch_bytes(Evil(), _use_new_zipfile_serialization=False),
        "it holds a pickled|it holds more",
    ),
    "noise": (bytes(range(1, 256)) * 9, "it is of an unknown kind"),
    "NaN": (torch_bytes(scaled(float("nan"))), "NaN or infinite"),
    "infinite numbers": (torch_bytes(state() | {"0.weight": HUGE}), "NaN or infinite.*\n.*in 1 tensor of"),
    "no tensors": (torch_bytes({"epoch": 3}), "other things than tensors: epoch"),
    "a list": (torch_bytes([1, 2]), "no weights by name, but a list"),
    "complex numbers": (torch_bytes({"a": torch.ones(2) * 1j}), "than tensors: a"),
    "two networks": (torch_bytes(prefixed("a.") | prefixed("b.")), "holds the network 2 times: a."),
    "another network": (
        torch_bytes(torchvision.models.squeezenet1_0(num_classes=3).state_dict()),
        r"does not fit the network Tiny.*\n  \d+ missing: .* more\n  \d+ unexpected: .* more",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_file_of_weights_is_refused_by_what_it_is(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = REFUSED[name]
    file = Path("net.pth")
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_weights(Tiny(365), file)
    with pytest.raises(CheckpointError) as of_load:
        places.load(file)
    for told in map(str, (caught.value, of_load.value)):
        assert "net.pth" in told
        assert len(told.splitlines()) <= 4
        assert "weights_only" not in told
        assert "trust the source" not in told
        assert "add_safe_globals" not in told
    assert not Path("ran").exists()


LOADED: dict[str, Callable[[], object]] = {
    "plain": state,
    "module.": lambda: prefixed("module."),
    "model.": lambda: prefixed("model."),
    "backbone.": lambda: prefixed("backbone."),
    "encoder.": lambda: prefixed("encoder."),
    "module.backbone.": lambda: prefixed("module.backbone."),
    "model of three parts": lambda: prefixed("model.net.") | {"loss.weight": torch.ones(2)},
    "{model}": lambda: {"model": state(), "epoch": 3, "best": torch.ones(())},
    "{state_dict}": lambda: {"state_dict": prefixed("module."), "arch": "mine", "epoch": 9},
    "{model_ema} alone": lambda: {"model_ema": state() | {"n_averaged": torch.ones(())}},
    "{model, model_ema}": lambda: {"model": scaled(2.0), "model_ema": prefixed("module.")},
    "{state_dict_ema}": lambda: {"state_dict": scaled(2.0), "state_dict_ema": state()},
    "options of a script": lambda: {"model": state(), "args": argparse.Namespace(lr=0.1)},
    "a score of NumPy": lambda: {"state_dict": state(), "best": np.float64(54.0)},
    "nested": lambda: {"model": {"state_dict": state()}},
    "half": lambda: as_kind(torch.float16),
    "bfloat16": lambda: as_kind(torch.bfloat16),
    "double": lambda: as_kind(torch.float64),
    "parameters": lambda: {k: nn.Parameter(v, requires_grad=False) for k, v in state().items()},
    "another module of Lightning": lambda: {
        "pytorch-lightning_version": "2.0",
        "state_dict": prefixed("classifier."),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", LOADED)
def test_what_holds_the_weights_is_loaded(name: str) -> None:
    torch.save(LOADED[name](), "net.pth")
    net = Tiny(365)
    load_weights(net, Path("net.pth"))
    tolerance = {"half": 1e-3, "bfloat16": 1e-2}.get(name, 0.0)
    for key, value in net.state_dict().items():
        torch.testing.assert_close(value, state()[key], rtol=tolerance, atol=tolerance)


def test_a_folder_is_refused_with_the_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    save_file(state(), tmp_path / "hub" / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"is a folder.*\n.*hub/model\.safetensors"):
        load_weights(Tiny(365), tmp_path / "hub")


def test_what_is_none_is_refused_by_the_commands_too(capsys: pytest.CaptureFixture[str]) -> None:
    Image.Image.save(drawn_picture(40, 40), "a.png")
    for name, said in (("a Git LFS pointer", "a pointer of Git LFS"), ("code", "it holds")):
        Path("net.pth").write_bytes(REFUSED[name][0])
        for words in (
            ["--model.net", "tests.networks.Tiny", "--model.weights", "net.pth"],
            ["--ckpt_path", "net.pth"],
        ):
            assert run("predict", "a.png", *words) == 2
            told = capsys.readouterr().err
            assert said in told
            assert len(told.splitlines()) <= 4
            assert "weights_only" not in told
    assert not Path("ran").exists()


def official(arch: str, net: nn.Module, wrapped: str = "module.") -> dict[str, object]:
    """A file as CSAIL's script writes it with PyTorch 0.2, whose batch norms count nothing."""
    weights = {
        f"{wrapped}{key}": value
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    return {"epoch": 90, "arch": arch, "state_dict": weights, "best_prec1": torch.ones(())}


def test_a_wrong_network_is_answered_with_the_right_words(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = torchvision.models.resnet18(num_classes=365)
    torch.save(official("resnet18", net), "resnet18_best.pth.tar")
    weights = ["--model.weights", "resnet18_best.pth.tar"]
    data = ["--data.root", sample, "--trainer.fast_dev_run", 1, *SMALL]
    assert main([*map(str, ["fit", *weights, *data, *MACHINE])]) == 2
    told = capsys.readouterr().err
    assert "it fits:  --model.net ResNet --model.net.depth 18" in told
    assert len(told.splitlines()) <= 4


def test_networks_with_the_same_weights_are_told_apart_by_arch() -> None:
    net = places.models.WideResNet18(365)
    torch.save(official("wideresnet18", net), "x.pth.tar")
    with pytest.raises(
        CheckpointError, match=r"of a WideResNet18, not of the network ResNet\n"
    ) as e:
        load_weights(places.models.ResNet(365, depth=18), Path("x.pth.tar"))
    assert "name it:  --model.net WideResNet18" in str(e.value)
    assert isinstance(places.load("x.pth.tar").net, nn.Module)


def test_another_number_of_classes_is_answered_with_what_to_type(
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save(torchvision.models.resnet18().state_dict(), "imagenet.pth")
    with pytest.raises(CheckpointError, match="1,000 classes, the network 365") as caught:
        load_weights(places.models.ResNet(365, depth=18), Path("imagenet.pth"))
    assert "--model.replace_head true" in str(caught.value)
    with pytest.raises(CheckpointError) as caught:
        load_weights(places.models.ResNet(365, depth=50), Path("imagenet.pth"))
    assert "--model.net.depth 18 --model.replace_head true" in str(caught.value)
    load_weights(places.models.ResNet(365, depth=18), Path("imagenet.pth"), replace_head=True)


def test_old_keys_of_densenet_are_mapped() -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.DenseNet(4, (2, 2), 8, num_classes=365).eval()
    weights = {}
    for key, value in theirs.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            for name in ("norm", "conv"):
                for number in "12":
                    if "denselayer" in key:
                        key = key.replace(f"{name}{number}.", f"{name}.{number}.")
            weights[f"module.{key}"] = value
    assert "module.features.denseblock1.denselayer1.norm.1.weight" in weights
    torch.save({"arch": "densenet161", "state_dict": weights}, "densenet.pth.tar")
    ours = torchvision.models.DenseNet(4, (2, 2), 8, num_classes=365).eval()
    load_weights(ours, Path("densenet.pth.tar"))
    pictures = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours(pictures), theirs(pictures))


@pytest.mark.parametrize("name", ["resnet18", "resnet50d", "repvgg_a0"])
def test_weights_of_timm_give_its_logits(name: str) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model(name, num_classes=365).eval()
    torch.save(theirs.state_dict(), "timm.pth")
    ours = NETWORKS[name].build(365).eval()
    load_weights(ours, Path("timm.pth"))
    pictures = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(ours(pictures), theirs(pictures), rtol=1e-4, atol=1e-4)


def test_the_other_names_of_timms_vgg_are_mapped() -> None:
    torch.manual_seed(0)
    theirs = timm.models.vgg.VGG([8, "M"], num_classes=9).eval()
    assert "pre_logits.fc1.weight" in theirs.state_dict()
    torch.save(theirs.state_dict(), "timm.pth")
    features = torchvision.models.vgg.make_layers([8, "M"])
    ours = torchvision.models.VGG(features, num_classes=9, init_weights=False).eval()
    ours.classifier[0] = nn.Linear(8 * 7 * 7, 4096)
    load_weights(ours, Path("timm.pth"))
    pictures = torch.randn(1, 3, 14, 14)
    with torch.inference_mode():
        torch.testing.assert_close(ours(pictures), theirs(pictures), rtol=1e-4, atol=1e-4)


def test_a_file_that_says_nothing_of_its_network_is_answered_with_its_words(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.Image.save(drawn_picture(40, 40), "a.png")
    torch.save(torchvision.models.resnet18(num_classes=365).state_dict(), "plain.pth")
    assert run("predict", "a.png", "--ckpt_path", "plain.pth") == 2
    told = capsys.readouterr().err
    words = "--model.net ResNet --model.net.depth 18 --model.weights plain.pth"
    assert f"name it:  {words}" in told
    assert run("predict", "a.png", *words.split(), *SMALL) == 0


def test_a_checkpoint_of_ours_is_used_as_weights(tmp_path: Path) -> None:
    net = {"class_path": "places.models.VGG", "init_args": {"depth": 11}}
    config = {"model": {"class_path": "x", "init_args": {"net": net}}}
    weights = prefixed("net.") | {"evaluation.sums": torch.zeros(3)}
    content = {"pytorch-lightning_version": "2.6.6", "state_dict": weights}
    torch.save(content | {"places": {"config": config}}, "best.ckpt")
    ours = Tiny(365)
    load_weights(ours, Path("best.ckpt"))
    for key, value in ours.state_dict().items():
        assert torch.equal(value, state()[key])
    with pytest.raises(CheckpointError, match=r"of a VGG, not .*ResNet\n.*--model\.net\.depth 11"):
        load_weights(places.models.ResNet(365, depth=18), Path("best.ckpt"))
