"""Files of weights and checkpoints that are damaged or forged, each way that a zip file offers."""

import io
import pickle
import resource
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from places.checkpoints.whole import check_whole
from places.cli.main import main
from places.errors import CheckpointError
from places.models.archives import what_is_damaged
from places.models.weights import load_weights

Members = dict[str, bytes]


def _saved(path: Path, content: object) -> Members:
    torch.save(content, path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _write(path: Path, members: list[tuple[str, bytes]], compression: int = 0) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of two members of one name
        for name, content in members:
            archive.writestr(name, content)


def _refused(path: Path, net: nn.Module | None = None) -> str:
    """Return what is said of a file of weights, which must be short, quick and without effect."""
    net = nn.Linear(3, 2) if net is None else net
    before = {key: value.clone() for key, value in net.state_dict().items()}
    start_s, start_kb = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError) as caught:
        load_weights(net, path)
    assert time.monotonic() - start_s < 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start_kb < 300_000
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    message = str(caught.value)
    assert len(message.splitlines()) <= 4
    assert len(message) < 1000
    assert message.replace("\n", "").isprintable()
    return message


def test_a_flipped_bit_anywhere_in_the_numbers_is_found(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(nn.Linear(3, 2).state_dict(), path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        places = [
            content.index(archive.read(member)) + offset
            for member in archive.infolist()
            if "data" in member.filename and member.file_size > 6
            for offset in range(0, member.file_size, 5)
        ]
    assert len(places) > 30
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        assert "cannot be read as weights" in _refused(path)
        with pytest.raises(CheckpointError, match="cannot read checkpoint"):
            check_whole(path)


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(nn.Linear(3, 2).state_dict(), path)
    content = path.read_bytes()
    for size in range(0, len(content), 97):
        path.write_bytes(content[:size])
        assert f"cannot be read as weights ({size:,} bytes)" in _refused(path)


def test_the_command_line_refuses_it_too(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.pth"
    torch.save({"x": torch.zeros(5000)}, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    words = ["--data.root", str(sample), "--model.net", "tests.networks.Tiny"]
    assert main(["validate", *words, "--model.weights", str(path)]) == 2
    error = capsys.readouterr().err
    assert f"places: error: {path} cannot be read as weights" in error
    assert "damaged at net/data/0" in error


@pytest.fixture
def members(tmp_path: Path) -> Members:
    return _saved(tmp_path / "net.pth", nn.Linear(3, 2).state_dict())


def test_a_member_that_is_there_twice(tmp_path: Path, members: Members) -> None:
    _write(tmp_path / "net.pth", [*members.items(), ("net/data/0", b"\1" * 24)])
    assert "2 members are called net/data/0" in _refused(tmp_path / "net.pth")


def test_a_member_that_is_encrypted(tmp_path: Path, members: Members) -> None:
    path = tmp_path / "net.pth"
    _write(path, list(members.items()))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    content[start + 8] |= 1
    path.write_bytes(content)
    assert "is encrypted" in _refused(path)


def test_a_bomb(tmp_path: Path, members: Members) -> None:
    path = tmp_path / "net.pth"
    bomb = [*members.items(), ("net/data/9", bytes(10**8))]
    _write(path, bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 10**6
    assert "is compressed" in _refused(path)


def test_a_member_that_says_to_have_a_terabyte(tmp_path: Path, members: Members) -> None:
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.infolist()[-1].file_size = archive.infolist()[-1].compress_size = 10**12
    assert "larger than the file" in _refused(path)


def test_members_that_lie_over_each_other(tmp_path: Path, members: Members) -> None:
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in [*members.items(), ("net/data/big", bytes(10**5))]:
            archive.writestr(name, content)
        for number in range(50):
            twin = zipfile.ZipInfo(f"net/data/twin{number}")
            big = archive.getinfo("net/data/big")
            twin.file_size = twin.compress_size = big.file_size
            twin.header_offset, twin.CRC = big.header_offset, big.CRC
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
    assert "larger than the file" in _refused(path)


def _described(path: Path, change: Callable[[bytes], bytes], content: object) -> Path:
    """Write a file whose description of the tensors is changed, with right checksums."""
    members = _saved(path, content)
    (name,) = (name for name in members if name.endswith("data.pkl"))
    changed = change(members[name])
    assert changed != members[name]
    _write(path, list({**members, name: changed}.items()))
    return path


def _replaced(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda content: content.replace(old, new)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (b"M\x00\xf0", "is said to have 245,760 bytes, but 24 are there"),
        (b"\x8a\x08" + (10**15).to_bytes(8, "little"), "4,000,000,000,000,000 bytes, but 24"),
        (b"J\xff\xff\xff\xff", "is of an unknown kind: -1 of FloatStorage"),
        (b"N", "is of an unknown kind: None of FloatStorage"),
    ],
)
def test_a_tensor_said_to_be_larger_than_what_is_stored(
    tmp_path: Path, new: bytes, reason: str
) -> None:
    # PyTorch itself would read what lies behind it in memory.
    content = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}
    path = tmp_path / "net.pth"
    old = b"cpuq\x06K\x06t"
    _described(path, _replaced(old, b"cpuq\x06" + new + b"t"), content)
    assert reason in _refused(path)
    with pytest.raises(CheckpointError, match="cannot read checkpoint"):
        check_whole(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"FloatStorage", b"DoubleStorage"),
        (b"FloatStorage", b"PuzzleStorage"),
        (b"X\x01\x00\x00\x000q", b"X\x01\x00\x00\x007q"),  # a member that is not there
        (b"X\x07\x00\x00\x00storage", b"X\x07\x00\x00\x00lottery"),
        (b"K\x02K\x03\x86", b"K\x02K\x09\x86"),  # a shape of which nothing is stored
        (b".", b""),
        (b"\x80\x02", b"\x80\x63"),
        (b"\x80\x02", b"\x80\x02\x96" + (10**13).to_bytes(8, "little")),
    ],
)
def test_a_description_that_is_forged(tmp_path: Path, old: bytes, new: bytes) -> None:
    content = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.zeros(2)}
    path = tmp_path / "net.pth"
    _refused(_described(path, lambda text: text.replace(old, new, 1), content))


def test_a_description_that_is_too_long(tmp_path: Path, members: Members) -> None:
    _write(tmp_path / "net.pth", list({**members, "net/data.pkl": b"}" * 10**8}.items()))
    assert "net/data.pkl is no description: 100,000,000 bytes" in _refused(tmp_path / "net.pth")


def test_nothing_that_a_description_names_is_imported_or_called(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "touched",)

    path = tmp_path / "net.pth"
    members = _saved(path, {"weight": torch.zeros(2)})
    _write(path, [*members.items(), ("evil/data.pkl", pickle.dumps(Evil(), protocol=2))])
    what_is_damaged(path)
    assert not (tmp_path / "touched").exists()


def _odd(kind: str) -> Tensor:
    weight = torch.arange(6.0).reshape(2, 3)
    return {
        "sparse": lambda: weight.to_sparse(),
        "compressed rows": lambda: weight.to_sparse_csr(),
        "quantised": lambda: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8),
        "meta": lambda: weight.to("meta"),
        "complex": lambda: weight.to(torch.complex64),
        "nested": lambda: torch.nested.nested_tensor([weight[0], weight[1]]),
    }[kind]()


@pytest.mark.filterwarnings("ignore")  # of tensors that hardly anybody uses
@pytest.mark.parametrize(
    "kind", ["sparse", "compressed rows", "quantised", "meta", "complex", "nested"]
)
def test_tensors_whose_numbers_are_not_simply_there(tmp_path: Path, kind: str) -> None:
    torch.save({"weight": _odd(kind), "bias": torch.zeros(2)}, tmp_path / "net.pth")
    _refused(tmp_path / "net.pth")


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.uint8])
def test_whole_numbers_are_no_weights(tmp_path: Path, kind: torch.dtype) -> None:
    torch.save({"weight": torch.ones(2, 3).to(kind), "bias": torch.zeros(2)}, tmp_path / "net.pth")
    message = f"1 of another type: weight {kind} instead of torch.float32"
    assert message in _refused(tmp_path / "net.pth")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_weights(tmp_path: Path, kind: torch.dtype) -> None:
    torch.save({"weight": torch.ones(2, 3).to(kind), "bias": torch.zeros(2)}, tmp_path / "net.pth")
    net = nn.Linear(3, 2)
    load_weights(net, tmp_path / "net.pth")
    assert net.weight.eq(1).all()


def test_views_of_a_few_numbers_take_no_memory(tmp_path: Path) -> None:
    huge = torch.zeros(1).expand(10**6, 10**6)
    torch.save({"weight": huge, "bias": torch.zeros(2)}, tmp_path / "net.pth")
    assert "of another shape: weight (1000000, 1000000)" in _refused(tmp_path / "net.pth")
    net = nn.Linear(3, 2)
    torch.save({"weight": torch.ones(1).expand(2, 3), "bias": torch.zeros(2)}, tmp_path / "net.pth")
    load_weights(net, tmp_path / "net.pth")
    with torch.no_grad():
        net.weight[0, 0] = 7
    assert net.weight.sum() == 12


@pytest.mark.parametrize("lightning", [False, True])
@pytest.mark.parametrize("key", [7, ("a", "b"), None, 1.5, b"weight", True])
def test_keys_that_are_no_text(tmp_path: Path, key: object, lightning: bool) -> None:
    weights: dict[object, Tensor] = {key: torch.zeros(2), "weight": torch.zeros(2, 3)}
    content: dict[str, object] = {"state_dict": weights}
    if lightning:
        content["pytorch-lightning_version"] = "2.6.6"
    torch.save(content, tmp_path / "net.pth")
    _refused(tmp_path / "net.pth")


@pytest.mark.parametrize("key", ["a\nb\nc\nd\ne", "\x1b[2J", "x" * 100_000])
def test_keys_that_cannot_be_shown(tmp_path: Path, key: str) -> None:
    weights = {key: torch.zeros(2), "weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
    torch.save(weights, tmp_path / "net.pth")
    assert "1 unexpected: " in _refused(tmp_path / "net.pth")


def test_two_names_for_one_tensor(tmp_path: Path) -> None:
    weights = {"weight": torch.zeros(2, 3), "module.weight": torch.ones(2, 3)}
    torch.save(weights | {"bias": torch.zeros(2)}, tmp_path / "net.pth")
    assert "two tensors for one name" in _refused(tmp_path / "net.pth")


def test_of_a_file_without_checksums_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(
        nn.Linear(3, 2).state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False
    )
    load_weights(nn.Linear(3, 2), tmp_path / "old.pth")
    assert capsys.readouterr().err == (
        f"places: {tmp_path / 'old.pth'} has no checksums: damage in its numbers would not be "
        "noticed\n"
    )
    torch.save(nn.Linear(3, 2).state_dict(), tmp_path / "new.pth")
    load_weights(nn.Linear(3, 2), tmp_path / "new.pth")
    assert capsys.readouterr().err == ""


def test_an_old_file_that_says_to_have_a_terabyte(tmp_path: Path) -> None:
    file = io.BytesIO()
    weights = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)}
    torch.save(weights, file, _use_new_zipfile_serialization=False)
    old, new = b"cpuq\x06K\x06", b"cpuq\x06\x8a\x06" + (10**12).to_bytes(6, "little")
    assert file.getvalue().count(old) == 1
    (tmp_path / "net.pth").write_bytes(file.getvalue().replace(old, new))
    _refused(tmp_path / "net.pth")
