import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from tests.networks import Tiny
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from places.bench.study.choice import find_network
from places.bench.study.energy import energy_meter
from places.bench.study.layers import BETWEEN, Times, kind_rows
from places.bench.study.operations import Amount, Amounts, count_inference, count_step, kind_of
from places.bench.study.roofline import Roofline, measure_roofline
from places.bench.study.turns import Turn, percentiles_ms, quartiles, time_turn
from places.bench.study.ways import training_step, way_of
from places.cli.main import main
from places.errors import ConfigError, DataError
from places.models import VGG, ResNet
from places.reports.networks_file import SCHEMA, read_networks
from places.reports.networks_layers import layers_figure, roofline_figure
from places.reports.networks_section import networks_section

CPU = torch.device("cpu")
WAYS = ["eager", "folded", "bf16+channels_last"]
SMALL = ["--image_size", "32", "--num_classes", "5", "--runs", "3", "--turn_s", "0.01"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one run of the command wrote; `terminal.txt` is what it printed."""
    folder = tmp_path_factory.mktemp("study")
    nets = ["tests.networks.Tiny", "tests.networks.Tiny(width=4)", "tests.failing_networks.Broken"]
    words = ["--batch_sizes", "1,3", "--train_batch_size", "2", "--ways", ",".join(WAYS)]
    files = ["--file", str(folder / "networks.json"), "--traces", str(folder / "traces")]
    patch = pytest.MonkeyPatch()
    put: list[str] = []
    patch.setattr("places.console._write", lambda content, file: put.append(_text(content)))
    assert main(["bench", "networks", *nets, *words, *SMALL, *files]) == 0
    patch.undo()
    (folder / "terminal.txt").write_text("\n".join(put))
    return folder


def _text(content: object) -> str:
    from rich.console import Console

    console = Console(width=400)
    with console.capture() as captured:
        console.print(content, markup=False)
    return captured.get()


@pytest.fixture(scope="module")
def content(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "networks.json").read_text())
    return loaded


def test_the_file_has_the_form_that_its_schema_says(content: dict[str, Any]) -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema, cls=jsonschema.Draft202012Validator)
    assert content["hardware"]["num_threads"] == torch.get_num_threads()


def test_each_network_is_measured_in_each_way_at_each_size(content: dict[str, Any]) -> None:
    measured = {
        (row["network"], row["way"], row["work"], row["batch_size"])
        for row in content["rows"]
        if row["images_per_s"]
    }
    nets = ["tests.networks.Tiny", "tests.networks.Tiny(width=4)"]
    expected = {(net, way, "inference", n) for net in nets for way in WAYS for n in (1, 3)}
    expected |= {
        (net, way, "training", 2) for net in nets for way in ("eager", "bf16+channels_last")
    }
    assert measured == expected


def test_the_numbers_of_a_row_agree_with_each_other(content: dict[str, Any]) -> None:
    for row in content["rows"]:
        if row["images_per_s"] is None:
            continue
        speed, latency = row["images_per_s"], row["latency_ms"]
        assert len(speed["turns"]) == row["runs"] == 3
        lower, median, upper = np.percentile(speed["turns"], [25, 50, 75])
        assert (speed["lower"], speed["median"], speed["upper"]) == pytest.approx(
            (lower, median, upper)
        )
        assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"]
        assert row["batches"] >= row["runs"]
        assert row["peak_memory_bytes"] > 0
        if row["way"] == "eager":
            assert set(row["against_eager"].values()) == {1.0}


def test_the_ratio_is_that_of_the_speeds_in_the_same_turn(content: dict[str, Any]) -> None:
    rows = {(r["network"], r["way"], r["work"], r["batch_size"]): r for r in content["rows"]}
    row = rows["tests.networks.Tiny", "folded", "inference", 3]
    eager = rows["tests.networks.Tiny", "eager", "inference", 3]
    ratios = np.divide(row["images_per_s"]["turns"], eager["images_per_s"]["turns"])
    assert row["against_eager"]["median"] == pytest.approx(np.median(ratios))


def test_a_way_gives_the_answers_of_the_plain_network(content: dict[str, Any]) -> None:
    for row in content["rows"]:
        if row["work"] == "inference" and row["images_per_s"]:
            assert row["logit_difference"] <= (0.05 if "bf16" in row["way"] else 1e-5)


def test_what_fails_is_a_row_with_the_reason(content: dict[str, Any], folder: Path) -> None:
    rows = [row for row in content["rows"] if row["network"] == "tests.failing_networks.Broken"]
    assert len(rows) == 3 * 2 + 2
    for row in rows:
        assert row["images_per_s"] is None
        assert row["reason"] == "this network cannot run"
    (network,) = (x for x in content["networks"] if x["name"] == "tests.failing_networks.Broken")
    reason = {"rows": [], "reason": "this network cannot run"}
    assert network["layers"]["inference"] == {"batch_size": 3, **reason}
    assert "this network cannot run" in (folder / "terminal.txt").read_text()


def test_the_kinds_of_layers_are_the_whole_step(content: dict[str, Any]) -> None:
    for network in content["networks"][:2]:
        for work, layers in network["layers"].items():
            rows = {row["kind"]: row for row in layers["rows"]}
            assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
            assert {"conv", "norm", "activation", "linear", "pooling", BETWEEN} <= set(rows)
            assert ("optimizer" in rows) == ("loss" in rows) == (work == "training")
            assert min(row["time_ms"] for row in rows.values()) >= 0
            assert rows["norm"]["bound"] == rows["activation"]["bound"] == "memory"


def test_multiply_adds_and_parameters_are_counted(content: dict[str, Any]) -> None:
    tiny = content["networks"][0]
    net = Tiny(5)
    assert tiny["parameters"] == sum(weights.numel() for weights in net.parameters())
    by_hand = 15 * 15 * 8 * (3 * 9) + 7 * 7 * 16 * (8 * 9) + 16 * 5
    assert tiny["multiply_adds"] == by_hand


def test_traces_are_for_a_browser(folder: Path) -> None:
    names = {path.name for path in (folder / "traces").iterdir()}
    assert "tests.networks.Tiny-inference.json" in names
    assert "tests.networks.Tiny_width_4_-training.json" in names
    trace = json.loads((folder / "traces" / "tests.networks.Tiny-training.json").read_text())
    assert any(event.get("name") == "aten::convolution" for event in trace["traceEvents"])


def test_the_picture_is_beside_the_file(folder: Path) -> None:
    assert (folder / "networks.png").read_bytes().startswith(b"\x89PNG")


def test_layers_and_the_roof_are_drawn(content: dict[str, Any]) -> None:
    figure = layers_figure(content, "training")
    assert figure is not None
    (axes,) = figure.axes
    bars: dict[float, float] = {}
    for patch in axes.patches:
        assert isinstance(patch, Rectangle)
        row = round(patch.get_y() + patch.get_height() / 2)
        bars[row] = bars.get(row, 0) + patch.get_width()
    rows = content["networks"][0]["layers"]["training"]["rows"]
    assert bars[0] == pytest.approx(sum(row["time_ms"] for row in rows) / 2)  # for a picture
    roof = roofline_figure(content, "inference")
    assert roof is not None
    line = roof.axes[0].lines[0]
    measured = content["roofline"]
    highest = measured["flops_per_s"]["float32"] / 1e9
    assert float(np.max(line.get_ydata())) == pytest.approx(highest)
    slope = np.divide(line.get_ydata(), line.get_xdata())
    assert float(np.max(slope)) == pytest.approx(measured["bytes_per_s"] / 1e9)
    nothing = content | {"networks": [], "rows": []}
    assert layers_figure(nothing, "inference") is roofline_figure(nothing, "training") is None
    assert networks_section(nothing).figure is None


def test_the_section_shows_what_the_file_holds(content: dict[str, Any], folder: Path) -> None:
    section = networks_section(read_networks(folder / "networks.json"))
    assert section.figure is not None
    assert len(section.figure.axes) == 2
    titles = [table.title for table in section.tables]
    assert "inference, batches of 3" in titles
    assert "training, batches of 2" in titles
    terminal = (folder / "terminal.txt").read_text()
    for table in section.tables:
        assert table.title in terminal
        assert all(len(row) == len(table.columns) for row in table.rows)
    table = section.tables[titles.index("inference, batches of 3")]
    cells = dict(zip(table.columns, table.rows[0], strict=True))
    speed = content["rows"][1]["images_per_s"]["median"]
    assert float(cells["pictures/s"].replace(",", "")) == pytest.approx(speed, rel=0.01)
    facts = "\n".join(section.facts)
    assert "energy: " in facts
    assert "GFLOP/s in float32" in facts


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"format": "places.result"}, "was not written by places bench networks"),
        ({"version": 99}, "has version 99, this program reads 1"),
        ({"rows": 3}, "damaged: ValueError: no list of rows"),
        ({"roofline": {}}, "damaged: KeyError"),
        ({"networks": [{"name": 3}]}, "damaged: ValueError: 3 is no text"),
        ({"hardware": []}, "damaged: TypeError"),
    ],
)
def test_a_file_of_somebody_else_is_looked_at(
    content: dict[str, Any], tmp_path: Path, damage: dict[str, Any], reason: str
) -> None:
    file = tmp_path / "n.json"
    file.write_text(json.dumps(content | damage))
    with pytest.raises(DataError, match=re.escape(reason)):
        read_networks(file)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("rows", 0, "images_per_s", "median"), -1),
        (("rows", 0, "images_per_s", "median"), "fast"),
        (("rows", 0, "way"), None),
        (("networks", 0, "layers", "inference", "rows", 0, "share"), True),
        (("roofline", "bytes_per_s"), 0),
        (("hardware", "num_threads"), None),
        (("versions",), {"torch": 3}),
    ],
)
def test_numbers_that_cannot_be_are_refused(
    content: dict[str, Any], tmp_path: Path, path: tuple[Any, ...], value: object
) -> None:
    changed = json.loads(json.dumps(content))
    part = changed
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    (tmp_path / "n.json").write_text(json.dumps(changed))
    with pytest.raises(DataError, match="is damaged"):
        read_networks(tmp_path / "n.json")


def test_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no measurements at"):
        read_networks(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(DataError, match="is no JSON"):
        read_networks(tmp_path / "broken.json")


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["resnet51"], ["no network is called 'resnet51'", "nearest:  resnet50", "places models"]),
        (["ResNet50x!"], ["'ResNet50x!' is no network", "places.models.ResNet(depth=18"]),
        (["places.models.ResNett"], ["cannot import the network", "has no ResNett"]),
        (["nowhere.Net"], ["cannot import the network", "No module named 'nowhere'"]),
        (["os.system"], ["os.system belongs to the standard library"]),
        (["torch.os.system"], ["torch.os.system belongs to the standard library"]),
        (["torch.optim.SGD"], ["torch.optim.SGD is no class of networks"]),
        (["places.__version__"], ["is no class or function"]),
        (["places.models.ResNet(18)"], ["is no network"]),
        (["places.models.ResNet(depth=print())"], ["is no network"]),
        (["resnet18", "resnet18"], ["names resnet18 twice"]),
        (["--ways", "foldet"], ["ways takes no 'foldet'", "nearest:  folded"]),
        (["--ways", "eager+folded"], ["'eager+folded': eager does not go with folded"]),
        (["--ways", "onnxruntime+bf16"], ["onnxruntime does not go with bf16"]),
        (["--ways", "folded+folded"], ["says something twice"]),
        (["--ways", ","], ["ways names nothing"]),
        (["--ways", "folded", "--work", "training"], ["ways has none for training"]),
        (["--work", "train"], ["work takes no 'train'", "nearest:  training"]),
        (["--batch_sizes", "1,x"], ["whole numbers from 1 to 65536, not 'x'"]),
        (["--batch_sizes", "0"], ["not '0'"]),
        (["--batch_sizes", "8,8"], ["names 8 twice"]),
        (["--runs", "0"], ["runs must be 1 to 10000, not 0"]),
        (["--turn_s", "-1"], ["turn_s must be 0 to 3600, not -1"]),
        (["--batchsizes", "8"], ["no option --batchsizes", "--batch_sizes"]),
    ],
)
def test_a_mistake_is_an_instruction(
    words: list[str], texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "networks", *words]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) <= 4
    for text in texts:
        assert text in error


def test_a_file_that_cannot_be_written_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for option in ("--file", "--figure"):
        for path, text in ((tmp_path / "file" / "n", "cannot write"), (tmp_path, "is a folder")):
            assert main(["bench", "networks", "resnet152", option, str(path)]) == 2
            assert text in capsys.readouterr().err  # at once, before anything is measured


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--file", "n.png"], "name it .json"),
        (["--file", "."], "is a folder"),
        (["--file", "n.json", "--figure", "n.json"], "both n.json"),
    ],
)
def test_a_picture_does_not_take_the_place_of_the_numbers(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "networks", "resnet152", *words]) == 2
    assert text in capsys.readouterr().err
    assert not Path("n.json").exists()


def test_nothing_measured_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--ways", "eager", "--work", "training", "--no-memory", *SMALL]
    assert main(["bench", "networks", "tests.failing_networks.Broken", *words]) == 1
    assert "this network cannot run" in capsys.readouterr().out


def test_a_process_that_dies_is_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--ways", "eager", "--work", "inference", "--batch_sizes", "1", *SMALL]
    assert main(["bench", "networks", "tests.failing_networks.Deadly", *words]) == 1
    assert "its process was killed, mostly for want of memory" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(900)  # compilers, on a machine that may be busy
def test_compilers_and_other_libraries_run_the_same_network(tmp_path: Path) -> None:
    ways = "eager,compiled,onnxruntime,folded+openvino,cuda_graph"
    words = ["--ways", ways, "--batch_sizes", "2", "--train_batch_size", "2", "--no-memory", *SMALL]
    file = tmp_path / "n.json"
    assert main(["bench", "networks", "tests.networks.Tiny", *words, "--file", str(file)]) == 0
    rows = {(row["work"], row["way"]): row for row in read_networks(file)["rows"]}
    assert rows["inference", "cuda_graph"]["reason"] == "CUDA graphs need a GPU"
    assert ("training", "onnxruntime") not in rows
    for (work, way), row in rows.items():
        if way != "cuda_graph":
            assert row["reason"] is None, way
            assert row["images_per_s"]["median"] > 0
        if work == "inference" and way != "cuda_graph":
            assert row["logit_difference"] < 1e-4


def test_a_library_that_is_missing_is_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    words = ["--ways", "onnxruntime,openvino", "--work", "inference", "--batch_sizes", "1"]
    assert main(["bench", "networks", "tests.networks.Tiny", *words, *SMALL, "--no-memory"]) == 1
    text = capsys.readouterr().out
    assert "openvino is not installed: pip install" in text
    assert "onnxruntime is not installed: pip install" in text


@pytest.mark.parametrize(
    "net", [ResNet(10, depth=18), VGG(10, depth=11), Tiny(10)], ids=["resnet", "vgg", "tiny"]
)
def test_multiply_adds_are_those_of_an_independent_count(net: nn.Module) -> None:
    images = torch.zeros(1, 3, 64, 64)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        net.eval()(images)
    by_hand = 0

    def add(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        nonlocal by_hand
        if isinstance(layer, nn.Conv2d):
            height, width = layer.kernel_size
            by_hand += output.numel() * height * width * layer.in_channels // layer.groups
        elif isinstance(layer, nn.Linear):
            by_hand += output.numel() * layer.in_features

    hooks = [layer.register_forward_hook(add) for layer in net.modules()]
    with torch.no_grad():
        net(images)
    for hook in hooks:
        hook.remove()
    counted = count_inference(net, images).multiply_adds
    assert counted == by_hand == counter.get_total_flops() // 2


def test_a_training_step_has_three_times_the_products_of_inference() -> None:
    net, images = Tiny(5), torch.zeros(4, 3, 32, 32)
    once = count_inference(net.eval(), images).multiply_adds
    step = training_step(net, way_of("eager"), images, torch.arange(4))
    amounts = count_step(step)
    first = 4 * 15 * 15 * 8 * (3 * 9)  # needs no gradient of the pictures
    assert amounts.multiply_adds == 3 * once - first
    weights = sum(x.numel() for x in net.parameters())
    assert amounts.kinds["optimizer"].num_bytes >= 4 * 3 * weights  # gradient, momentum, weight


def test_what_a_layer_moves_is_what_it_reads_and_writes() -> None:
    relu = count_inference(nn.ReLU(), torch.zeros(2, 3, 8, 8)).kinds["activation"]
    assert (relu.num_bytes, relu.flops) == (2 * 4 * 384, 384)
    assert relu.intensity == pytest.approx(1 / 8)
    linear = count_inference(nn.Linear(10, 20), torch.zeros(4, 10)).kinds["linear"]
    assert linear.flops == 2 * 4 * 10 * 20
    assert linear.num_bytes == 4 * (4 * 10 + 10 * 20 + 20 + 4 * 20)


def test_operations_belong_to_kinds() -> None:
    kinds = {
        "aten::conv2d": "conv",
        "aten::_convolution": "conv",
        "aten::mkldnn_convolution": "conv",
        "aten::cudnn_convolution": "conv",
        "convolution_backward": "conv",
        "autograd::engine::evaluate_function: ConvolutionBackward0": "conv",
        "aten::contiguous": None,
        "aten::cudnn_batch_norm": "norm",
        "NativeBatchNormBackward0": "norm",
        "native_layer_norm": "norm",
        "aten::relu_": "activation",
        "aten::threshold_backward": "activation",
        "GeluBackward0": "activation",
        "aten::max_pool2d_with_indices": "pooling",
        "_adaptive_avg_pool2d": "pooling",
        "MeanBackward1": "pooling",
        "aten::addmm": "linear",
        "AddmmBackward0": "linear",
        "aten::mm": "linear",
        "aten::scaled_dot_product_attention": "linear",
        "aten::add_": "addition",
        "aten::cross_entropy_loss": "loss",
        "_log_softmax_backward_data": "loss",
        "Optimizer.step#SGD.step": "optimizer",
        "_foreach_add_": "optimizer",
        "aten::copy_": None,
        "aten::convert_element_type": None,
        "aten::t": None,
    }
    assert {name: kind_of(name) for name in kinds} == kinds


def test_a_kind_is_bound_by_what_the_machine_runs_out_of() -> None:
    roofline = Roofline({"float32": 100e9}, 10e9)
    assert roofline.ridge() == 10
    assert roofline.least_s(200e9, 5e9) == 2  # arithmetic
    assert roofline.least_s(1e9, 20e9) == 2  # memory
    amounts = Amounts({"conv": Amount(200e9, 5e9), "norm": Amount(1e9, 20e9)})
    rows = kind_rows(Times(8.0, {"conv": 4.0, "norm": 2.5, "between": 1.5}), amounts, roofline)
    assert [row["bound"] for row in rows] == ["arithmetic", "memory", None]
    assert [row["share_of_roof"] for row in rows] == [0.5, 0.8, None]
    assert [row["share"] for row in rows] == [0.5, 0.3125, 0.1875]
    assert rows[0]["flops_per_byte"] == 40


def test_the_roof_of_this_machine_is_measured() -> None:
    roofline = measure_roofline(CPU, size=64, copy_bytes=1 << 20)
    assert roofline.bytes_per_s > 1e6
    assert min(roofline.flops_per_s.values()) > 1e6
    assert roofline.ridge() == roofline.flops_per_s["float32"] / roofline.bytes_per_s


def test_the_roof_is_operations_over_the_best_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("places.bench.study.roofline._best_s", lambda run, device: 0.5)
    roofline = measure_roofline(CPU, size=100, copy_bytes=4000)
    assert roofline.flops_per_s == {"float32": 2 * 100**3 / 0.5, "bfloat16": 2 * 100**3 / 0.5}
    assert roofline.bytes_per_s == 2 * 4000 / 0.5


def test_percentiles_are_times_that_were_measured() -> None:
    turns = [Turn(1.0, tuple(n / 1000 for n in range(1, 51)), None)]
    turns += [Turn(1.0, tuple(n / 1000 for n in range(51, 101)), None)]
    assert percentiles_ms(turns) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert percentiles_ms([Turn(1.0, (0.2, 0.1), None)]) == {"p50": 100, "p95": 200, "p99": 200}
    assert quartiles([4.0, 1.0, 2.0, 3.0, 5.0]) == {"median": 3.0, "lower": 2.0, "upper": 4.0}


def test_a_turn_counts_energy_for_each_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    joules = iter([0.0, 0.0, 10.0, 40.0])
    clock = iter([0.0, 0.1, 1.0, 1.5, 2.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    turn = time_turn(lambda: None, 1.2, CPU, lambda: next(joules))
    assert turn.latencies_s == (0.5, 1.0)
    assert turn.batches_per_s == pytest.approx(2 / 1.5)
    assert turn.joules_per_batch == 15.0


def test_a_first_batch_that_is_long_is_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 3.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert time_turn(lambda: None, 1.0, CPU, None) == Turn(1 / 3.0, (3.0,), None)


def test_energy_is_read_from_the_counters_of_linux(tmp_path: Path) -> None:
    assert energy_meter(CPU, tmp_path) == (None, "unknown: this machine has no RAPL counters")
    for number, start in enumerate((100, 900)):
        (tmp_path / f"intel-rapl:{number}").mkdir()
        (tmp_path / f"intel-rapl:{number}" / "energy_uj").write_text(f"{start}\n")
        (tmp_path / f"intel-rapl:{number}" / "max_energy_range_uj").write_text("1000\n")
        (tmp_path / f"intel-rapl:{number}:0").mkdir()  # a part of it, which would count twice
        (tmp_path / f"intel-rapl:{number}:0" / "energy_uj").write_text("0\n")
    meter, source = energy_meter(CPU, tmp_path)
    assert meter is not None
    assert source.startswith("RAPL")
    assert meter() == 0
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("350\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("50\n")  # began anew
    assert meter() == pytest.approx((250 + 150) / 1e6)
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("unreadable")
    assert energy_meter(CPU, tmp_path)[0] is None


def test_networks_are_found_by_name_and_by_class_path() -> None:
    named = find_network("resnet18").build(7, CPU)
    assert isinstance(named, ResNet)
    path = find_network("torchvision.models.resnet18").build(7, CPU)
    for here, there in zip(named.parameters(), path.parameters(), strict=True):
        assert torch.equal(here, there)  # the same weights for the same layers
    more = find_network("resnet18(zero_init_residual=True)").build(7, CPU)
    assert isinstance(more, ResNet)
    assert not more.layer1[0].bn2.weight.any()
    with pytest.raises(TypeError, match="makes a OrderedDict, no network"):
        find_network("tests.failing_networks.no_network").build(7, CPU)


def test_ways_say_what_they_fit() -> None:
    assert way_of("bf16+channels_last").fits("training")
    assert not way_of("folded").fits("training")
    with pytest.raises(ConfigError, match="takes no 'fast'"):
        way_of("folded+fast")
