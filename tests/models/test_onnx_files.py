"""ONNX files that others wrote: what is no program, or none of a classifier, is refused."""

import os
import sys
from pathlib import Path

import pytest
import torch
from tests.models.caffe.writer import data, number
from torch import nn

from places.errors import CheckpointError
from places.models.onnx_files import properties_of
from places.models.onnx_network import OnnxNetwork
from places.models.weights import load_weights

onnx = pytest.importorskip("onnx")
HEAD = number(1, 8) + data(2, b"somebody")


def _model(path: Path, num_inputs: int = 1, num_classes: int = 7, kind: str = "Flatten") -> Path:
    """A program that adds its inputs, if there are several, and flattens them."""
    make, float32 = onnx.helper, onnx.TensorProto.FLOAT
    names = [f"in{number}" for number in range(num_inputs)]
    inputs = [make.make_tensor_value_info(x, float32, ["n", num_classes]) for x in names]
    output = make.make_tensor_value_info("out", float32, ["n", num_classes])
    nodes = [make.make_node("Sum", names, ["all"]), make.make_node(kind, ["all"], ["out"])]
    graph = make.make_graph(nodes, "graph", inputs, [output])
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    make.set_model_props(model, {"a": "b", "places": "c"})
    path.write_bytes(model.SerializeToString())
    return path


def test_properties_are_read_as_data(tmp_path: Path) -> None:
    path = _model(tmp_path / "net.onnx")
    assert properties_of(path) == {"a": "b", "places": "c"}
    with pytest.raises(CheckpointError, match="a program of ONNX, whose weights have") as caught:
        load_weights(nn.Linear(2, 2), path)
    assert f"--ckpt_path {path}" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (HEAD, "it has no graph"),
        (HEAD + data(14, data(1, b"key") + data(2, b"x" * (2**20 + 1))), "a property of 1,048,577"),
        (HEAD + data(7, data(5, number(14, 1))), "its weights are in another file"),
        (HEAD + data(7, b"abc")[:-1], "field 7 is said to have 3 bytes, but 2 are left"),
    ],
)
def test_what_is_no_program_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="no program of ONNX") as caught:
        properties_of(path)
    assert reason in str(caught.value)
    os.truncate(path, 2**31 + 1)  # takes no room
    with pytest.raises(CheckpointError, match="no program of ONNX") as caught:
        properties_of(path)
    assert "larger than ONNX allows" in str(caught.value)


def test_a_program_is_run_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    net = OnnxNetwork(7)
    images = torch.arange(14.0).reshape(2, 7)
    with pytest.raises(CheckpointError, match="no ONNX file is open") as caught:
        net(images)
    assert "--ckpt_path FILE.onnx" in str(caught.value)
    net.open(_model(tmp_path / "net.onnx"))
    assert torch.equal(net(images), images)


def test_a_program_of_something_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "net.onnx"
    for options, words in (
        ({"num_inputs": 2}, "is no classifier of 7 classes: 2 inputs, outputs [['n', 7]]"),
        ({"num_classes": 5}, "is no classifier of 7 classes: 1 inputs, outputs [['n', 5]]"),
        ({"kind": "NoSuchLayer"}, "no program that ONNX Runtime can run"),
    ):
        _model(path, **options)
        with pytest.raises(CheckpointError) as caught:
            OnnxNetwork(7).open(path)
        assert words in str(caught.value)
        assert len(str(caught.value).splitlines()) <= 4
    _model(path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CheckpointError, match="needs the package onnxruntime") as caught:
        OnnxNetwork(7).open(path)
    assert "pip install 'places[onnx]'" in str(caught.value)
