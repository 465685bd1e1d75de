"""What `places index` says of labels that are none, of shards behind URLs, and of other data."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.data.foreign import expected_of, picture
from tests.data.packing.official import write_tar
from tests.data.remote.servers import run_hanging_server

from places.cli.main import main
from places.data.shards.manifest import load_manifest

Lines = list[str]
Index = Callable[..., tuple[int, Lines]]


@pytest.fixture
def index(capsys: pytest.CaptureFixture[str]) -> Index:
    """Runs `places index` and returns its exit status and all lines that were printed."""

    def index_(*words: object) -> tuple[int, Lines]:
        status = main(["index", *map(str, words)])
        printed = capsys.readouterr()
        assert len(printed.err.splitlines()) <= 4
        return status, [*printed.out.splitlines(), *printed.err.splitlines()]

    return index_


def _shard(path: Path, first: int = 0, others: Mapping[str, bytes] = MappingProxyType({})) -> Path:
    """Two labelled pictures; further members by their endings belong to the second."""
    files = {f"{first}.jpg": picture(first), f"{first}.cls": b"3"}
    second = {"jpg": picture(first + 1), "cls": b"4", **others}
    files |= {f"{first + 1}.{ending}": data for ending, data in second.items() if data}
    return write_tar(path, files)


@pytest.mark.parametrize(
    ("members", "message", "hint"),
    [
        (
            {"json": b'{"scene": 5}'},
            "the labels of sample '1' differ: 4 in its .cls, 5 under 'scene' in its .json",
            "leave out --label_key to take those of the .cls",
        ),
        ({"json": b"[5]"}, "the .json of sample '1' cannot be read: no JSON of an object", ""),
        ({"json": b'{"scene": '}, "the .json of sample '1' cannot be read", ""),
        ({"json": b"\xff\xfe{}"}, "the .json of sample '1' cannot be read", ""),
        ({"json": b"[" * 100_000}, "the .json of sample '1' cannot be read", ""),
        (
            {"json": json.dumps({"scene": 4, "text": "x" * (1 << 20)}).encode()},
            "the .json of sample '1' cannot be read",
            "",
        ),
        ({"json": b'{"scene": true}'}, "the label of sample '1' is True, not 0 to 364", ""),
        ({"json": b'{"scene": 4.5}'}, "the label of sample '1' is 4.5, not 0 to 364", ""),
        (
            {"json": b"{}"},
            "the .json of sample '1' has no key 'scene'",
            "its keys:  none",
        ),
        ({"cls": b"365"}, "the label of sample '1' is '365', not 0 to 364", ""),
    ],
)
def test_a_label_that_is_none_is_named_with_its_sample(
    tmp_path: Path, index: Index, members: dict[str, bytes], message: str, hint: str
) -> None:
    path = _shard(tmp_path / "train-0.tar", others=members)
    status, lines = index(path, "--label_key", "scene")
    assert (status, sorted(tmp_path.iterdir())) == (2, [path])
    start, _, end = message.partition("sample '1'")
    assert all(part in lines[0] for part in (start, end)), lines
    assert any(hint in line for line in lines[1:]) or not hint, lines


def test_a_sample_whose_json_is_missing_keeps_the_label_of_its_cls(
    tmp_path: Path, index: Index
) -> None:
    path = _shard(tmp_path / "train-0.tar", others={"json": b'{"scene": 4}'})
    status, lines = index(path, "--label_key", "scene")
    assert (status, lines) == (
        0, [f"train: indexed, 2 pictures in 1 shard, labelled, in {tmp_path}"],
    )  # fmt: skip
    assert [row[2] for row in expected_of([path])] == [3, 4]  # as webdataset reads .cls


def test_a_bad_shard_behind_a_url_is_named_by_it(
    tmp_path: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    others, root = tmp_path / "others", tmp_path / "root"
    data = _shard(others / "a.tar").read_bytes()
    (others / "b.tar").write_bytes(data[:700])
    options = ("--root", root, "--split", "train")
    with run_hanging_server(others, "a.tar", "b.tar") as (url, _):
        status, lines = index(f"{url}/b.tar", *options)
        assert (status, root.exists()) == (2, False)
        assert lines[0].startswith(f"places: error: {url}/b.tar is cut short")
        status, lines = index(f"{url}/{{a,b}}.tar", *options)
        assert (status, root.exists()) == (2, False)
        assert lines[0].startswith(f"{url}/b.tar is cut short")
        status, lines = index(f"{url}/{{a,b}}.tar", *options, "--skip_shards")
    assert (status, lines[-1].startswith("train: indexed, 2 pictures in 1 shard, ")) == (1, True)
    assert sorted(path.name for path in root.iterdir()) == [
        *("train.index.npy", "train.json", "train.urls.json"),
    ]


def test_a_manifest_that_is_damaged_is_replaced_only_by_force(tmp_path: Path, index: Index) -> None:
    path = _shard(tmp_path / "train-0.tar")
    assert index(path)[0] == 0
    whole = (tmp_path / "train.json").read_bytes()
    (tmp_path / "train.json").write_bytes(whole[:100])
    status, lines = index(path)
    assert (status, f"{tmp_path} holds other data for split 'train'" in lines[0]) == (2, True)
    assert f"damaged manifest {tmp_path}/train.json" in lines[1]
    assert "replace it:  add --force" in lines[2]
    assert (tmp_path / "train.json").read_bytes() == whole[:100]
    assert index(path, "--force")[0] == 0
    assert json.loads((tmp_path / "train.json").read_bytes()) == json.loads(whole)


def test_shards_that_readers_of_the_pattern_take_besides_are_told(
    tmp_path: Path, index: Index
) -> None:
    paths = [_shard(tmp_path / f"train-{number}.tar", 2 * number) for number in range(3)]
    assert index(tmp_path)[0] == 0
    status, lines = index(paths[0], "--force")
    assert (status, lines[0]) == (
        0,
        "train: not in the index, but readers of train-*.tar take them: train-1.tar, train-2.tar",
    )
    # They are the user's own files, and no links of an earlier index.
    assert all(path.is_file() for path in paths)
    assert [shard.name for shard in load_manifest(tmp_path, "train").shards] == ["train-0.tar"]
