"""Files of weights and exported networks with anything in them."""

import functools
import random
import tempfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tests.fuzz.mutations import damage_bytes
from tests.fuzz.tool import in_time
from tests.models.caffe.networks import torch_vgg, vgg
from tests.models.caffe.writer import caffemodel
from tests.networks import Tiny
from torch import nn

import places
from places.checkpoints.description import Description
from places.data.streaming.batches import EvalCrop
from places.errors import PlacesError
from places.exports.formats import write_onnx, write_program
from places.models.weights import load_weights

_CHECKED = (".pth", ".pt2")  # what has checksums


@functools.cache
def _base() -> dict[str, bytes]:
    """Return a whole file of each kind by its ending."""
    torch.manual_seed(1)
    net = Tiny(365).eval().requires_grad_(False)
    spec = {"class_path": "tests.networks.Tiny", "init_args": {}}
    told = Description(spec, crop=EvalCrop(32, 32, "squash"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(net.state_dict(), folder / "net.pth")
        torch.save(net.state_dict(), folder / "net.pt", _use_new_zipfile_serialization=False)
        save_file(net.state_dict(), folder / "net.safetensors")
        (folder / "net.caffemodel").write_bytes(caffemodel(vgg()))
        write_program(net, told, folder / "net.pt2")
        write_onnx(net, told, folder / "net.onnx")
        return {path.suffix: path.read_bytes() for path in folder.iterdir()}


def one(rng: random.Random, folder: Path) -> str:
    """Damage a file and use it; return the kind of damage."""
    suffix = rng.choice(list(_base()))
    whole = _base()[suffix]
    kind, damaged = damage_bytes(rng, whole)
    if rng.random() < 0.5:  # where it says what it holds
        kind, start = damage_bytes(rng, whole[:600])
        damaged = start + whole[600:]
    path = folder / f"stranger{suffix}"
    path.write_bytes(damaged)
    net: nn.Module = torch_vgg() if suffix == ".caffemodel" else Tiny(365)
    try:
        with in_time():
            if suffix == ".onnx" or rng.random() < 0.3:
                net = nn.Sequential(places.load(path, trust="tests").net)  # folded, so another
            else:
                load_weights(net, path)
    except PlacesError as error:
        told = str(error)
    else:
        told = ""
    assert len(told.splitlines()) <= 4, told
    assert "weights_only" not in told, told
    if told:
        return f"{suffix} {kind}, refused"
    if suffix in _CHECKED and damaged != whole:
        (folder / f"whole{suffix}").write_bytes(whole)
        sound = Tiny(365)
        load_weights(sound, folder / f"whole{suffix}")
        if isinstance(net, Tiny):
            pairs = zip(net.state_dict().values(), sound.state_dict().values(), strict=True)
            assert all(torch.equal(x, y) for x, y in pairs), f"a damaged file was used: {kind}"
    return f"{suffix} {kind}, read"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_damaged_weights(seed: int, tmp_path: Path) -> None:
    one(random.Random(seed), tmp_path)
