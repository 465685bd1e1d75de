"""Programs of torch.export are read as data: what is odd in one is refused, and nothing is run."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.networks import Tiny

import places
from places.checkpoints.description import Description
from places.data.streaming.batches import EvalCrop
from places.errors import CheckpointError
from places.exports.formats import write_program
from places.models.programs import read_program
from places.models.weights import load_weights


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    net = Tiny(365).eval().requires_grad_(False)
    net = net.to(memory_format=torch.channels_last)  # strides that are not those of the shape
    told = Description(
        {"class_path": "tests.networks.Tiny", "init_args": {}}, crop=EvalCrop(32, 32, "squash")
    )
    path = tmp_path_factory.mktemp("program") / "net.pt2"
    write_program(net, told, path)
    return path


def changed(path: Path, change: Callable[[str, bytes], bytes | None], method: int = 0) -> Path:
    """A copy of which members are changed or left out."""
    target = Path("net.pt2")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(target, "w", method) as after:
        for name in before.namelist():
            content = change(name, before.read(name))
            if content is not None:
                after.writestr(name, content)
    return target


def test_weights_in_any_order_of_memory_are_read(program: Path) -> None:
    torch.manual_seed(1)
    expected, net = Tiny(365).state_dict(), Tiny(365)
    load_weights(net, program)
    assert all(torch.equal(value, expected[key]) for key, value in net.state_dict().items())


def _with_table(change: Callable[[dict[str, Any]], object]) -> Callable[[str, bytes], bytes]:
    def changing(name: str, content: bytes) -> bytes:
        if not name.endswith("weights_config.json"):
            return content
        table = json.loads(content)
        change(table["config"]["0.weight"])
        return json.dumps(table).encode()

    return changing


def _sizes(told: dict[str, Any], size: int) -> None:
    told["tensor_meta"]["sizes"][0]["as_int"] = size


ODD: dict[str, tuple[Callable[[str, bytes], bytes | None], str]] = {
    "a pickle": (_with_table(lambda x: x.update(use_pickle=True)), "not stored as plain numbers"),
    "too large": (_with_table(lambda x: _sizes(x, 10**15)), "damaged program"),
    "negative": (_with_table(lambda x: _sizes(x, -1)), "a tensor of shape"),
    "elsewhere": (_with_table(lambda x: x.update(path_name="../../x")), "is not there"),
    "no table": (lambda n, c: None if n.endswith("weights_config.json") else c, "0 tables"),
    "no JSON": (lambda n, c: b"{" if n.endswith("weights_config.json") else c, "damaged program"),
    "gaps": (_with_table(lambda x: x["tensor_meta"]["strides"][0].update(as_int=100)), "with gaps"),
    "half a tensor": (lambda n, c: c[:-4] if n.endswith("weight_0") else c, "bytes of"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_in_a_program_is_refused(name: str, program: Path) -> None:
    change, message = ODD[name]
    path = changed(program, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_weights(Tiny(365), path)
    assert len(str(caught.value).splitlines()) <= 4


def test_a_compressed_program_is_refused(program: Path) -> None:
    path = changed(program, lambda name, content: content, zipfile.ZIP_DEFLATED)
    with pytest.raises(CheckpointError, match="compressed"):
        load_weights(Tiny(365), path)
    with pytest.raises(CheckpointError, match="extra/places is compressed"):
        places.load(path, trust="tests")


def test_what_a_program_says_of_its_network_is_bounded(program: Path) -> None:
    path = changed(program, lambda n, c: c + b" " * 2**20 if n.endswith("/extra/places") else c)
    with pytest.raises(CheckpointError, match=r"extra/places has 1,\d\d\d,\d\d\d bytes"):
        places.load(path, trust="tests")


def test_an_empty_tensor_is_one(program: Path) -> None:
    def empty(told: dict[str, Any]) -> None:
        _sizes(told, 0)

    path = changed(program, _with_table(empty))
    assert read_program(path)["0.weight"].shape == (0, 3, 3, 3)


def test_code_in_a_program_is_not_run(program: Path) -> None:
    code = '__import__("pathlib").Path("ran").touch()'

    def change(name: str, content: bytes) -> bytes:
        # An expression of a size, which torch.export.load evaluates.
        return content.replace(b'"expr_str": "', f'"expr_str": "{code!s} or '.encode())

    path = changed(program, lambda n, c: change(n, c) if n.endswith("model.json") else c)
    assert isinstance(places.load(path, trust="tests").net, Tiny)
    assert not Path("ran").exists()


def test_a_program_that_others_wrote_is_named(program: Path) -> None:
    path = changed(program, lambda n, c: None if "/extra/" in n else c)
    with pytest.raises(CheckpointError, match=r"a program of torch\.export that places did not"):
        load_weights(Tiny(365), path)
    with pytest.raises(CheckpointError, match=r"a program of torch\.export that places did not"):
        places.load(path)
