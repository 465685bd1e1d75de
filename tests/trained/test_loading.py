"""Everything that `places.load` takes, and what it says of what it does not take."""

import copy
import json
import sys
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from tests.data.drawn import drawn_picture
from tests.integration.stages import fit_in, run
from tests.networks import Tiny
from tests.started import started
from tests.trained.reference import net_in
from torch import nn

import places
from places.categories import load_categories
from places.cli.main import main
from places.errors import CheckpointError, ConfigError

PICTURE = drawn_picture(80, 70)
_NORM = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.fixture(scope="module")
def content(run_folder: Path) -> dict[str, Any]:
    """What is in a checkpoint."""
    best = run_folder / "checkpoints" / "best.ckpt"
    loaded: dict[str, Any] = torch.load(best, weights_only=True)
    return loaded


def changed(content: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> Path:
    content = copy.deepcopy(content)
    change(content)
    torch.save(content, "x.ckpt")
    return Path("x.ckpt")


def model_of(content: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = content["places"]["config"]["model"]["init_args"]
    return arguments


def load(*args: Any, **kwargs: Any) -> places.TrainedModel:  # noqa: ANN401  # passed on
    return places.load(*args, device="cpu", **kwargs)


def logits_of(model: places.TrainedModel) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model.net(torch.linspace(-2, 2, 3 * 32 * 32).reshape(1, 3, 32, 32))
    return logits


def logits_in(checkpoint: Path, prefix: str = "net.") -> torch.Tensor:
    with torch.inference_mode():
        net = net_in(checkpoint, prefix)
        logits: torch.Tensor = net(torch.linspace(-2, 2, 3 * 32 * 32).reshape(1, 3, 32, 32))
    return logits


def close(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, atol=2e-5, rtol=1e-4)


def test_a_run_and_its_checkpoints_are_loaded_as_the_config_says(run_folder: Path) -> None:
    best = run_folder / "checkpoints" / "best.ckpt"
    expected = logits_in(best)
    for path in (run_folder, str(run_folder), best, str(best)):
        model = load(path)
        assert close(logits_of(model), expected)
        assert (model.crop.image_size, model.crop.resize_size) == (32, 40)
        assert model.categories == load_categories()
        assert repr(model) == "TrainedModel(ResNet, 365 categories, 32 pixels, cpu)"
    last = run_folder / "checkpoints" / "last.ckpt"
    assert close(logits_of(load(last)), logits_in(last))


def test_the_average_is_used_as_the_checkpoint_says_or_as_asked(
    content: dict[str, Any], run_folder: Path
) -> None:
    best = run_folder / "checkpoints" / "best.ckpt"
    plain, average = logits_in(best), logits_in(best, "average.")
    assert not close(plain, average)
    assert close(logits_of(load(best, use_average=True)), average)
    path = changed(content, lambda c: model_of(c).update(use_average=True))
    assert close(logits_of(load(path)), average)
    assert close(logits_of(load(path, use_average=False)), plain)
    Image.Image.save(PICTURE, "a.png")
    assert run("predict", "a.png", "--ckpt_path", path) == 0
    (table,) = Path("runs").rglob("predictions.csv")
    assert f'"{load(path).predict("a.png")[0].categories[0].name}",' in table.read_text()

    def forget(content: dict[str, Any]) -> None:
        model_of(content).update(average_decay=None, use_average=True)
        for name in [n for n in content["state_dict"] if n.startswith("average.")]:
            del content["state_dict"][name]

    with pytest.raises(CheckpointError, match=r"has no average .*\n.*:  use_average=False"):
        load(changed(content, forget))


def test_an_argument_wins_over_the_checkpoint(run_folder: Path) -> None:
    model = load(
        run_folder,
        image_size=48,
        resize_size=50,
        resize_mode="squash",
        mean=(0, 0, 0),
        std=(1, 1, 1),
    )
    squashed = PICTURE.resize((50, 50), Image.Resampling.BILINEAR).crop((1, 1, 49, 49))
    tensor = torch.from_numpy(np.asarray(squashed).copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        chances = net_in(run_folder / "checkpoints" / "best.ckpt")(tensor).softmax(1)[0]
    best = model.predict(PICTURE)[0].categories[0]
    assert best.label == int(chances.argmax())
    assert best.probability == pytest.approx(float(chances.max()), abs=1e-5)
    for wrong in ({"image_size": 41}, {"image_size": 0}, {"resize_mode": "x"}, {"std": (0, 1, 1)}):
        with pytest.raises(ConfigError, match=f"`{next(iter(wrong))}`"):
            load(run_folder, **wrong)
    with pytest.raises(ConfigError, match="`mean` must be three numbers, not 2"):
        load(run_folder, mean=(1, 2))
    with pytest.raises(ConfigError, match="`device` 'nowhere' cannot be used"):
        places.load(run_folder, device="nowhere")


@pytest.mark.parametrize("is_new", [True, False], ids=["as saved now", "as saved in 2017"])
def test_an_official_file_tells_its_network(is_new: bool) -> None:
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=365).eval()
    weights = {f"module.{name}": value for name, value in net.state_dict().items()}
    file = Path("resnet18_places365.pth.tar")
    official = {"epoch": 90, "arch": "resnet18", "state_dict": weights, "best_prec1": 54.7}
    torch.save(official, file, _use_new_zipfile_serialization=is_new)
    model = load(file)
    with torch.inference_mode():
        images = torch.randn(2, 3, 64, 64)
        assert close(model.net(images), net(images))
    assert (model.crop.image_size, model.crop.resize_size) == (224, 256)
    torch.save({**official, "arch": "googlenet"}, file)
    with pytest.raises(CheckpointError, match=r"a network 'googlenet'.*\n.*:  net=YOUR_NETWORK"):
        load(file)


def test_a_file_behind_a_url_is_fetched(
    content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("served")
    torch.save(content, folder / "best.ckpt")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        assert close(
            logits_of(load(f"{url}/best.ckpt?key=secret")), logits_in(folder / "best.ckpt")
        )
        with pytest.raises(CheckpointError, match="cannot fetch checkpoint") as caught:
            load(f"{url}/none.ckpt?key=secret")
    finally:
        server.shutdown()
        server.server_close()
    assert "secret" not in str(caught.value)
    assert not [path for path in Path().rglob("*") if "secret" in path.name]


DESCRIPTION = {
    "version": 1,
    "net": {"class_path": "places.models.ResNet", "init_args": {"depth": 18}},
    "num_classes": 3,
    "mean": [0, 0, 0],
    "std": [1, 1, 1],
    "image_size": 32,
    "resize_size": 40,
    "resize_mode": "squash",
    "channels_last": False,
    "categories": ["street", "forest", "=sky"],
}


def exported(path: str, description: object, net: nn.Module) -> Path:
    """Write a network as `places export` will."""
    text = description if isinstance(description, str) else json.dumps(description)
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path, {"places": text})
    return Path(path)


def test_an_exported_network_brings_all_it_needs() -> None:
    net = torchvision.models.resnet18(num_classes=3).eval()
    model = load(exported("net.safetensors", DESCRIPTION, net))
    assert model.categories == ("street", "forest", "=sky")
    squashed = PICTURE.resize((40, 40), Image.Resampling.BILINEAR).crop((4, 4, 36, 36))
    tensor = torch.from_numpy(np.asarray(squashed).copy()).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        chances = net(tensor).softmax(1)[0]
    answer = model.predict(PICTURE, top_k=3)[0]
    by_label = {category.label: category for category in answer.categories}
    for label, name in enumerate(model.categories):
        assert by_label[label].name == name
        assert by_label[label].probability == pytest.approx(float(chances[label]), abs=1e-5)
    assert answer.indoor is None  # nobody knows
    told = {**DESCRIPTION, "num_classes": 365, "categories": list(load_categories())}
    official = load(exported("net.safetensors", told, places.models.ResNet(365, depth=18)))
    assert official.predict(PICTURE)[0].indoor is not None
    shortest = {"version": 1, "net": "places.models.ResNet"}
    model = load(exported("net.safetensors", shortest, places.models.ResNet(365)))
    assert (model.crop.image_size, model.categories) == (224, load_categories())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2, this program reads 1"),
        ({"net": {"class_path": "os.system"}}, "names os.system as model.net"),
        ({"net": {"class_path": "tests.networks.Tiny"}}, r"trust=\[\"tests\"\]"),
        ({"net": {"class_path": "places.models.ResNet", "init_args": {"x": 1}}}, "'x'"),
        ({"net": {"class_path": "places.models.ResNet", "init_args": {"depth": "18"}}}, "'18' is"),
        ({"net": {"class_path": "torch.optim.SGD", "init_args": {"lr": 1}}}, "cannot be built"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"num_classes": True}, "num_classes is True"),
        ({"std": [1, 1, 0]}, r"std is \[1, 1, 0\]"),
        ({"mean": [1, 1]}, r"mean is \[1, 1\]"),
        ({"mean": ["a", 1, 1]}, "mean is"),
        ({"image_size": 41}, "larger than"),
        ({"image_size": "32"}, "image_size is '32'"),
        ({"resize_mode": "x"}, "must be one of"),
        ({"channels_last": 1}, "channels_last is 1"),
        ({"categories": ["a"]}, "categories must be 3 names"),
        ({"surprise": 1}, "unknown: surprise"),
        ("{", "no JSON"),
        ("[]", "version None"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_a_description_that_is_wrong_is_refused(change: Any, said: str) -> None:  # noqa: ANN401  # any
    wrong = change if isinstance(change, str) else {**DESCRIPTION, **change}
    path = exported("net.safetensors", wrong, nn.Linear(1, 1))
    with started() as calls, pytest.raises(CheckpointError, match=said) as caught:
        load(path)
    assert "net.safetensors" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4
    assert not calls


def test_files_of_weights_are_answered_with_the_network_to_name() -> None:
    for file, net, call in (
        ("a.pt", torchvision.models.resnet18(num_classes=365), "ResNet(365, depth=18)"),
        ("a.pth", torchvision.models.resnet34(num_classes=7), "ResNet(7, depth=34)"),
        ("a.safetensors", torchvision.models.resnet18(num_classes=365), "ResNet(365, depth=18)"),
        ("b.ckpt", Tiny(365), None),
    ):
        weights = {f"module.{k}": v.contiguous() for k, v in net.state_dict().items()}
        save = save_file if file.endswith("safetensors") else torch.save
        save(weights, file)
        with pytest.raises(
            CheckpointError, match="does not say how its network is built"
        ) as caught:
            load(file)
        named = f"places.models.{call}" if call else "YOUR_NETWORK"
        assert f'places.load("{file}", net={named})' in str(caught.value)
        own = eval(named, {"places": places}) if call else Tiny(365)
        model = load(file, net=own)
        with torch.inference_mode():
            images = torch.randn(2, 3, 64, 64)
            assert close(model.net(images), net.eval()(images))
        assert model.crop.image_size == 224
    with pytest.raises(CheckpointError, match="does not fit the network ResNet"):
        load("a.pt", net=places.models.ResNet(365, depth=34))
    with pytest.raises(CheckpointError, match="has no average of the weights"):
        load("a.pt", net=places.models.ResNet(365, depth=18), use_average=True)


def test_a_network_that_is_given_takes_the_place_of_the_one_that_is_named(
    content: dict[str, Any], run_folder: Path
) -> None:
    best = run_folder / "checkpoints" / "best.ckpt"
    net = torchvision.models.resnet18(num_classes=365)
    model = load(changed(content, lambda c: model_of(c).update(net="gone.Net")), net=net)
    assert close(logits_of(model), logits_in(best))
    assert model.crop.image_size == 32
    average = load(best, net=torchvision.models.resnet18(num_classes=365), use_average=True)
    assert close(logits_of(average), logits_in(best, "average."))
    with pytest.raises(
        CheckpointError, match="does not fit the network: the code may have changed"
    ):
        load(best, net=torchvision.models.resnet34(num_classes=365))


def test_what_is_wrong_is_said_in_the_words_of_the_command(
    capsys: pytest.CaptureFixture[str], content: dict[str, Any]
) -> None:
    Image.Image.save(PICTURE, "a.png")
    files: list[Path] = [Path("nowhere.ckpt"), Path("runs/none")]
    whole = changed(content, lambda c: None).read_bytes()
    for name, data in (("cut", whole[:50_000]), ("bit", _with_a_bit_changed(whole))):
        files.append(Path(f"{name}.ckpt"))
        files[-1].write_bytes(data)
    for number, change in enumerate(CHANGES):
        files.append(changed(content, change).rename(f"{number}.ckpt"))
    for file in files:
        assert run("predict", "a.png", "--ckpt_path", file) == 2
        said = capsys.readouterr().err.splitlines()
        (first,) = (line for line in said if line.startswith("places: error: "))
        with pytest.raises(CheckpointError) as caught:
            load(file)
        assert caught.value.message == first.removeprefix("places: error: ")
        assert "--model" not in str(caught.value)


def _with_a_bit_changed(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda c: model_of(c).update(net={"class_path": "os.system", "init_args": {"command": "x"}}),
    lambda c: model_of(c).update(net={"class_path": "gone.Net"}),
    lambda c: model_of(c)["net"]["init_args"].update(depth=34),
    lambda c: c["state_dict"].pop("net.fc.weight"),
    lambda c: c["state_dict"].update({"net.fc.weight": torch.ones(2, 2)}),
    lambda c: c["places"].update(version=99),
    lambda c: c["places"].pop("config"),
    lambda c: c.update(hyper_parameters={}),
]


@pytest.mark.parametrize(
    "name", ["os.system", "subprocess.getoutput", "tests.networks.sys.exit", "torch.hub.load", "x"]
)
def test_nothing_that_a_checkpoint_names_runs(
    content: dict[str, Any], name: str, tmp_path: Path
) -> None:
    spec = {"class_path": name, "init_args": {"command": "touch ran", "code": 0}}
    nested = {"class_path": "torch.nn.Sequential", "init_args": {"a": spec}}
    for net in (spec, name, nested, {"class_path": "torch.nn.Sequential", "init_args": spec}):
        path = changed(content, lambda c, net=net: model_of(c).update(net=net))  # type: ignore[misc]  # mypy cannot tell
        before = set(sys.modules)
        with started() as calls, pytest.raises(CheckpointError):
            load(path)
        assert not calls
        assert not {module for module in set(sys.modules) - before if "antigravity" in module}
    assert [file.name for file in tmp_path.iterdir()] == ["x.ckpt"]


def test_a_network_of_ones_own_is_trusted_by_its_package(sample: Path, tmp_path: Path) -> None:
    folder = fit_in(tmp_path / "own", "--data.root", sample, "--trainer.max_epochs", 1)
    with pytest.raises(CheckpointError) as caught:
        load(folder)
    file = folder / "checkpoints" / "best.ckpt"
    assert str(caught.value).splitlines() == [
        f"{file} names tests.networks.Tiny as model.net: it would be imported, and so run",
        '  if you trust tests:  trust=["tests"]',
    ]
    for trust in ("tests", ["tests.networks"], {"tests.networks.Tiny"}):
        assert type(load(folder, trust=trust).net).__name__ == "Tiny"
    for wrong in ("os", ["pip"], "no package"):
        with pytest.raises(ConfigError, match="trust"):
            load(folder, trust=wrong)


def test_loading_leaves_random_numbers_alone(run_folder: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load(run_folder)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("stage", ["predict", "test"])
def test_the_command_takes_an_exported_network_too(
    capsys: pytest.CaptureFixture[str], sample: Path, stage: str
) -> None:
    torch.manual_seed(0)
    net = places.models.ResNet(365, depth=18)
    told = {**DESCRIPTION, "num_classes": 365, "categories": list(load_categories())}
    file = exported("net.safetensors", told, net)
    Image.Image.save(PICTURE, "a.png")
    words = ["a.png"] if stage == "predict" else ["--data.root", sample]
    assert run(stage, *words, "--ckpt_path", file) == 0
    (config,) = Path("runs").rglob("config.yaml")
    settings = config.read_text()
    for line in ("image_size: 32", "resize_size: 40", "resize_mode: squash", "depth: 18"):
        assert f" {line}\n" in settings
    if stage == "predict":
        assert f"{load(file).predict('a.png')[0]}\n" in capsys.readouterr().out
    assert run(stage, *words, "--ckpt_path", exported("net.safetensors", DESCRIPTION, net)) == 2
    assert "has 3 categories of its own" in capsys.readouterr().err
    save_file({"a": torch.ones(1)}, "net.safetensors")
    assert run(stage, *words, "--ckpt_path", "net.safetensors") == 2
    assert "does not say how its network is built" in capsys.readouterr().err
    exported("net.safetensors", {**told, "net": {"class_path": "tests.networks.Tiny"}}, Tiny(365))
    bare = [stage, *map(str, words), "--ckpt_path", "net.safetensors"]
    assert main(bare) == 2
    assert "if you trust tests:  --trust tests" in capsys.readouterr().err
    assert main([*bare, "--trust", "tests", "--trainer.accelerator", "cpu"]) == 0
