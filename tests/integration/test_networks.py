"""Networks of all kinds through the commands: trained, resumed, used, refused."""

import csv
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from tests.integration.stages import fit_in, load_weights, run, run_apart
from tests.networks import Thin
from torch import Tensor, nn
from torchvision.transforms import functional

import places
from places.cli.main import main
from places.models import RepVGG

SHORT = ["--trainer.max_epochs", 1, "--trainer.limit_train_batches", 2, "--data.batch_size", 4]
SHORT += ["--trainer.limit_val_batches", 1]
CONVNEXT = "torchvision.models.convnext_tiny"
TIMM = ["--model.net", "timm.models.ConvNeXt", "--model.net.depths", "[1,1,1,1]"]
TIMM += ["--model.net.dims", "[8,8,16,16]"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _timm() -> nn.Module:
    timm = pytest.importorskip("timm")
    net: nn.Module = timm.models.ConvNeXt(num_classes=365, depths=(1,) * 4, dims=(8, 8, 16, 16))
    return net


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    noise = torch.randint(0, 256, (40, 50, 3), dtype=torch.uint8)
    Image.fromarray(noise.numpy()).save(path)
    return path


@torch.no_grad()
def _logits(net: nn.Module, checkpoint: Path, photo: Path) -> Tensor:
    """Return what Pillow, torchvision and the network as it is make of a photo."""
    weights = load_weights(checkpoint)
    net.load_state_dict({key[4:]: x for key, x in weights.items() if key.startswith("net.")})
    image = functional.resize(Image.open(photo), 36)
    pixels = functional.to_tensor(functional.center_crop(image, 32))
    logits: Tensor = net.eval()(functional.normalize(pixels, MEAN, STD)[None])[0]
    return logits


@pytest.mark.first_covers
@pytest.mark.parametrize(
    ("words", "make", "trust"),
    [
        (["--model.net", "RepVGG", "--model.net.variant", "A0"], lambda: RepVGG(365), None),
        (
            ["--model.net", CONVNEXT],
            lambda: torchvision.models.convnext_tiny(num_classes=365),
            CONVNEXT,
        ),
        (TIMM, _timm, "timm"),
    ],
    ids=["repvgg", "torchvision", "timm"],
)
def test_a_network_is_trained_and_used(
    sample: Path,
    tmp_path: Path,
    photo: Path,
    words: list[object],
    make: Callable[[], nn.Module],
    trust: str | None,
) -> None:
    folder = fit_in(tmp_path / "fits", "--data.root", sample, *SHORT, *words)
    words = [photo, "--ckpt_path", folder, "--trainer.accelerator", "cpu"]
    words += ["--trust", trust] if trust else []
    assert main(["predict", *map(str, words)]) == 0
    (table,) = (tmp_path / "runs").rglob("predictions.csv")
    with table.open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    (checkpoint,) = folder.glob("checkpoints/best.ckpt")
    logits = _logits(make(), checkpoint, photo)
    best = logits.topk(5).indices  # most probabilities are too small for a float32, and equal
    assert [int(row[f"index_{rank}"]) for rank in range(1, 6)] == best.tolist()
    got = [float(row[f"probability_{rank}"]) for rank in range(1, 6)]
    assert got == pytest.approx(logits.softmax(dim=0)[best].tolist(), abs=2e-6)
    model = places.load(folder, trust=trust or ())
    (prediction,) = model.predict([photo])
    assert prediction.categories[0].label == int(row["index_1"])
    branches = [x for x in model.net.modules() if isinstance(x, nn.BatchNorm2d)]
    assert not branches


def test_a_function_of_a_checkpoint_is_trusted_by_its_full_name_only(
    sample: Path, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data.root", sample, *SHORT, "--model.net", "torchvision.models.squeezenet1_1"]
    folder = fit_in(tmp_path / "fits", *words)
    assert main(["predict", str(photo), "--ckpt_path", str(folder)]) == 2
    assert "--trust torchvision.models.squeezenet1_1" in capsys.readouterr().err


DROPPING: list[object] = ["--model.net", "tests.networks.Thin", "--trainer.max_epochs", 2]
DROPPING += ["--trainer.limit_val_batches", 0]
DROPPING += ["--resume.every_n_steps", 2, "--resume.keep_all", "true"]


@pytest.fixture(scope="module")
def dropping(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """The weights after a training with stochastic depth that nothing interrupted."""
    words = ["--data.root", sample, *DROPPING]
    folder = fit_in(tmp_path_factory.mktemp("whole"), *words)
    return load_weights(folder / "checkpoints" / "last.ckpt")


@pytest.mark.first_covers
@pytest.mark.parametrize("recompute", ["false", "true"])
def test_stochastic_depth_goes_on_after_a_kill_to_the_last_bit(
    sample: Path, tmp_path: Path, dropping: dict[str, Tensor], recompute: str
) -> None:
    words = ["--data.root", sample, *DROPPING, "--model.net.checkpoint_gradients", recompute]
    words += ["--trainer.default_root_dir", tmp_path]
    status = run_apart("fit", words, lambda: any(tmp_path.rglob("step-4.ckpt")))
    assert status == -signal.SIGKILL
    assert run("fit", *words, "--ckpt_path", "last") == 0
    got = load_weights(tmp_path / "fit" / "1" / "checkpoints" / "last.ckpt")
    assert set(dropping) >= {f"net.{name}" for name in Thin(365).state_dict()}
    assert all(torch.equal(got[key], dropping[key]) for key in dropping)


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["ResNet", "--model.net.depth", "18", "--model.net.groups", "32"], ["bottlenecks"]),
        (["ResNet", "--model.net.drop_path", "1"], ["drop_path must be in 0..1 without 1, not 1"]),
        (["ResNet", "--model.net.resnetd", "true"], ["resnetd", "resnet_d"]),
        (["RepVGG", "--model.net.variant", "A2"], ["model.net.variant", "A0", "A1", "B0"]),
        (["VGG", "--model.net.global_pool", "maybe"], ["global_pool", "maybe"]),
        (["RepVVG"], ["nearest:      RepVGG"]),
    ],
)
def test_mistakes_are_answered_with_words(
    sample: Path, capsys: pytest.CaptureFixture[str], words: list[str], messages: list[str]
) -> None:
    assert run("fit", "--data.root", sample, "--model.net", *words) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    lines = lines[next(n for n, line in enumerate(lines) if "places: error:" in line) :]
    assert len(lines) <= 4
    assert "Traceback" not in "".join(lines)
    assert all(message in "\n".join(lines) for message in messages)
