"""The classes of `places` in anybody's Lightning script or notebook, without our command line."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image
from tests.data.drawn import drawn_picture
from tests.integration.stages import fit_in, load_weights
from tests.networks import Tiny
from torch.optim import AdamW

from places.classifier import SceneClassifier
from places.data.image_files import ImageFiles
from places.data.places365 import Places365
from places.errors import CheckpointError
from places.training.augment import Augment


def trainer(**options: Any) -> Trainer:  # noqa: ANN401  # passed on
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 2}
    return Trainer(accelerator="cpu", **{"logger": False, **quiet, **options})


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    words = [
        *(
            "--model.average_decay",
            "0.5",
            "--model.augment.mixup",
            "0.2",
            "--model.mean",
            "[0,0,0]",
        ),
        *("--model.optimizer", "AdamW", "--model.optimizer.lr", "0.01"),
        *("--data.root", sample, "--trainer.max_epochs", 1),
    ]
    folder = fit_in(tmp_path_factory.mktemp("run"), *words)
    return folder / "checkpoints" / "best.ckpt"


def test_a_checkpoint_is_loaded_as_lightning_does(checkpoint: Path) -> None:
    model = SceneClassifier.load_from_checkpoint(checkpoint, trust=["tests"])
    assert isinstance(model.net, Tiny)
    weights = load_weights(checkpoint)
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert model.average_decay == 0.5
    assert model.augment == Augment(mixup=0.2)
    assert model.mean_255.flatten().tolist() == [0, 0, 0]
    optimizer = model._optimizer(model.net.parameters())
    assert isinstance(optimizer, AdamW)
    assert optimizer.defaults["lr"] == 0.01
    with torch.inference_mode():
        assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 365)


def test_arguments_win_over_those_in_the_checkpoint(checkpoint: Path) -> None:
    model = SceneClassifier.load_from_checkpoint(
        str(checkpoint), net=Tiny, average_decay=None, map_location="cpu", use_average=False
    )
    assert isinstance(model.net, Tiny)
    assert model.average is None
    assert model.augment.mixup == 0.2


def test_a_checkpoint_names_nothing_that_is_not_trusted(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match=r"names tests\.networks\.Tiny as model\.net"):
        SceneClassifier.load_from_checkpoint(checkpoint)
    content = torch.load(checkpoint, weights_only=True)
    content["places"]["config"]["model"]["init_args"]["optimizer"] = {"class_path": "os.system"}
    torch.save(content, "x.ckpt")
    with pytest.raises(CheckpointError, match=r"names os\.system as model\.optimizer"):
        SceneClassifier.load_from_checkpoint("x.ckpt", trust=["tests"])


def test_the_weights_are_read_by_a_bare_script(checkpoint: Path) -> None:
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    own = {name[4:]: value for name, value in state.items() if name.startswith("net.")}
    Tiny(365).load_state_dict(own)


# Lightning says so of each folder to which a resumed run adds checkpoints.
@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
def test_a_notebook_trains_resumes_tests_and_predicts(sample: Path) -> None:
    def data(**options: Any) -> Places365:  # noqa: ANN401  # passed on
        return Places365(str(sample), batch_size=16, image_size=32, resize_size=36, **options)

    def model() -> SceneClassifier:
        torch.manual_seed(1)
        return SceneClassifier(net=Tiny, schedule="constant")

    whole, first, rest = model(), model(), model()
    trainer(max_epochs=2, default_root_dir="whole").fit(whole, datamodule=data())
    trainer(max_epochs=1, default_root_dir="first").fit(first, data())
    (saved,) = Path("first").rglob("*.ckpt")
    again = trainer(max_epochs=2, default_root_dir="first")
    again.fit(rest, datamodule=data(), ckpt_path=saved)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, rest.state_dict()[name])
    loaded = SceneClassifier.load_from_checkpoint(saved, net=Tiny)
    assert torch.equal(loaded.net.get_parameter("0.weight"), first.net.get_parameter("0.weight"))
    (scores,) = trainer().test(rest, datamodule=data(), verbose=False)
    assert 0 <= scores["test/top1"] <= 1
    for name in ("a.png", "b.png"):
        Image.Image.save(drawn_picture(50, 60), name)
    files = ImageFiles(["a.png", "b.png"], image_size=32, resize_size=36)
    (answers,) = trainer().predict(rest, files) or []
    assert isinstance(answers, dict)
    assert answers["label"].shape == (2, 5)
    assert torch.equal(answers["probability"][0], answers["probability"][1])
