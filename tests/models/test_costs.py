"""What networks cost, and `places models`: against published numbers and counts by hand."""

import csv
import json
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from places.cli.main import main
from places.models.cost import Cost, cost_of
from places.models.listing import NETWORKS

DOCS = Path(__file__).parents[2] / "docs" / "networks.md"
COSTS = Path(__file__).parents[2] / "src" / "places" / "models" / "costs.csv"
OF_TORCHVISION = [name for name, net in NETWORKS.items() if "torchvision" in net.weights]


def _published(name: str) -> torchvision.models.WeightsEnum:
    weights: torchvision.models.WeightsEnum = torchvision.models.get_model_weights(name)
    return weights.IMAGENET1K_V1


@torch.no_grad()
def _multiply_adds_by_hand(net: nn.Module, image_size: int) -> int:
    """Count with hooks: for each output as many products as a weight has of its inputs."""
    counted: list[int] = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        counted.append(output.numel() * weight[0].numel())

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    net.eval()(torch.empty(1, 3, image_size, image_size, device="meta"))
    return sum(counted)


def _read(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["models", *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["resnet18", "resnet50d", "seresnet50", "repvgg_a0", "vgg16_gap"])
def test_costs_are_those_counted_by_hand(name: str) -> None:
    with torch.device("meta"):
        net = NETWORKS[name].build(11)
    cost = cost_of(net, 96)
    plain = net.folded()  # type: ignore[operator]  # a method
    assert cost == Cost(
        sum(x.numel() for x in net.parameters()),
        sum(x.numel() for x in plain.parameters()),
        _multiply_adds_by_hand(net, 96),
        _multiply_adds_by_hand(plain, 96),
    )


def test_counting_leaves_a_network_as_it_is() -> None:
    net = torchvision.models.mobilenet_v3_small(num_classes=5)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    cost = cost_of(net)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert cost.parameters == sum(x.numel() for x in net.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_the_costs_that_are_looked_up_are_right(name: str) -> None:
    with COSTS.open(encoding="utf-8", newline="") as file:
        rows = {row.pop("name"): row for row in csv.DictReader(file)}
    assert list(rows) == list(NETWORKS)
    with torch.device("meta"):
        cost = cost_of(NETWORKS[name].build())
    assert {key: str(value) for key, value in cost._asdict().items()} == rows[name]


def test_the_list_agrees_with_what_torchvision_publishes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listed = {row["name"]: row for row in json.loads(_read(capsys, "--format", "json"))}
    for name in OF_TORCHVISION:
        meta = _published(name).meta
        width = {"vgg": 4096, "ale": 4096, "den": 2208}.get(name[:3], 2048)
        width = 512 if name in ("resnet18", "resnet34") else width
        fewer = (1000 - 365) * (width + 1)
        assert listed[name]["parameters"] == meta["num_params"] - fewer, name
        giga = (listed[name]["multiply_adds"] + (1000 - 365) * width) / 1e9
        assert giga == pytest.approx(meta["_ops"], abs=0.002), name
    assert list(listed) == list(NETWORKS)
    for name, network in NETWORKS.items():
        assert listed[name]["class_path"] == network.class_path
        assert listed[name]["init_args"] == network.init_args
        assert listed[name]["weights"] == list(network.weights)


def test_weights_are_published_where_the_list_says() -> None:
    timm = pytest.importorskip("timm")
    at_timm = {name.partition(".")[0] for name in timm.list_pretrained()}
    for name, network in NETWORKS.items():
        try:
            at_torchvision = len(torchvision.models.get_model_weights(name)) > 0
        except ValueError:  # it has no network of that name
            at_torchvision = False
        assert ("torchvision" in network.weights) == at_torchvision, name
        assert ("timm" in network.weights) == (name in at_timm), name
    of_csail = {name for name, network in NETWORKS.items() if "CSAIL" in network.weights}
    assert of_csail == {"vgg16", "alexnet", "resnet18", "resnet50", "densenet161", "wideresnet18"}


def test_the_table_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    lines = _read(capsys).splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = (line.split() for line in lines if line.startswith("repvgg_a0 "))
    assert row == ["repvgg_a0", "8.3", "M", "7.5", "M", "1.51", "G", "timm", "2101.03697"]
    assert {line.split()[0] for line in lines[2:]} >= set(NETWORKS)


def test_the_documentation_has_the_table_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    table = _read(capsys, "--format", "markdown")
    assert table in DOCS.read_text(encoding="utf-8")


def test_other_numbers_of_classes_and_sizes_are_counted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: NETWORKS[name] for name in ("resnet18", "alexnet")}
    monkeypatch.setattr("places.models.command.NETWORKS", few)
    words = ("--format", "json", "--num_classes", "10", "--image_size", "112")
    (first, second) = json.loads(_read(capsys, *words))
    with torch.device("meta"):
        net = torchvision.models.resnet18(num_classes=10)
    assert first["parameters"] == sum(x.numel() for x in net.parameters())
    assert first["multiply_adds"] == _multiply_adds_by_hand(net, 112)
    assert second["name"] == "alexnet"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--image_size", "32"], "places: error: image_size must be 63 to 100000, not 32"),
        (["--num_classes", "0"], "places: error: num_classes must be 1 to 100000, not 0"),
        (["--format", "xml"], "takes:        table, markdown, json"),
    ],
)
def test_mistakes_are_answered(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["models", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_builds_by_its_name(name: str) -> None:
    with torch.device("meta"):
        net = NETWORKS[name].build(5)
        logits = net.eval()(torch.empty(1, 3, 64, 64))
    assert logits.shape == (1, 5)
    assert callable(net.folded)
