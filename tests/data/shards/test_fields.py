"""Every field of a manifest with values that it must not have."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.data.shards.splits import rows_of, write_split
from tests.data.shards.test_manifest import PACKED_FROM

from places.cli.main import main as places
from places.data.shards.fields import checked
from places.data.shards.manifest import load_manifest, manifest_path, read_fields, save_manifest
from places.errors import DataError

NO_NUMBERS: list[Any] = [
    "3",
    None,
    True,
    1.0,
    1e300,
    float("nan"),
    float("inf"),
    [],
    {},
    -1,
    1 << 64,
]
NO_TEXTS: list[Any] = [3, None, True, 0.5, ["train"], {}]
NO_NAMES: list[Any] = [
    *NO_TEXTS, "", "val.tar", "../val-0.tar", "/etc/val-0.tar", "val-a/0.tar", "val-0.tar/..",
    "val-\0.tar", "val-\x1b[2J.tar", "val-\n.tar", "val-\u202e.tar", "val-\ud800.tar",
    ".val-0.tar", "val-0.tar.gz", "train-0.tar", "val-0.json", "val-C:\\0.tar", "val-0.TAR",
    f"val-{'a' * 255}.tar",
]  # fmt: skip
NO_SUMS: list[Any] = [*NO_TEXTS, "", "a" * 63, "a" * 65, "g" * 64, "A" * 64, "a" * 63 + "\n"]
NO_CATEGORIES: list[Any] = [
    *NO_TEXTS[:-2], {}, [], "airfield", [1], [None], ["a", "a"], ["a", ""], [["a"]], ["a\0"],
    ["a\nb"], ["\ud800"], [str(number) for number in range((1 << 15) + 1)],
]  # fmt: skip
NO_OBJECTS: list[Any] = [3, None, True, "x", [], [[]]]
WRONG = {
    "version": [*NO_NUMBERS, 0, 2],
    "split": [*NO_TEXTS, "train", "VAL", "", "../val"],
    "variant": [*NO_TEXTS, "", "other", "../x"],
    "size": [*NO_TEXTS, 256, "512"],
    "synthetic": ["true", 1, 0, None, []],
    "labelled": ["true", 1, 0, None, []],
    "seed": [value for value in NO_NUMBERS if value != -1],
    "categories": NO_CATEGORIES,
    "shards": [*NO_OBJECTS, {}, [3], [None], ["val-000000.tar"]],
    "shards.0.name": [*NO_NAMES, "val-000001.tar"],
    "shards.0.num_samples": NO_NUMBERS,
    "shards.1.size_bytes": NO_NUMBERS,
    "shards.1.sha256": NO_SUMS,
    "index_sha256": NO_SUMS,
    "packed_from": [3, True, "x", [], {"sources": []}],
    "packed_from.sources": [3, None, "x", {}, [3], [None], [{}], [{"name": 3}]],
    "packed_from.sources.0.name": NO_TEXTS,
    "packed_from.sources.0.size_bytes": [value for value in NO_NUMBERS if value is not None],
    "packed_from.seed": [value for value in NO_NUMBERS if value != -1],
    "packed_from.limit": [value for value in NO_NUMBERS if value is not None],
}
CASES = [(key, position) for key, values in WRONG.items() for position in range(len(values))]


@pytest.fixture
def fields(tmp_path: Path) -> dict[str, Any]:
    """The JSON of a sound manifest of two shards, which is also in the file."""
    save_manifest(write_split(tmp_path, rows_of(2)), PACKED_FROM)
    load_manifest(tmp_path, "val")
    found: dict[str, Any] = json.loads(manifest_path(tmp_path, "val").read_text())
    return found


def put(fields: dict[str, Any], key: str, value: object) -> None:
    *outer, last = (int(part) if part.isdigit() else part for part in key.split("."))
    inside: Any = fields
    for part in outer:
        inside = inside[part]
    inside[last] = value


def refusal(root: Path, fields: object) -> str:
    manifest_path(root, "val").write_text(json.dumps(fields))
    messages = []
    for read in (load_manifest, read_fields):
        with pytest.raises(DataError) as error:
            read(root, "val")
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert len(messages[0].splitlines()) <= 4
    assert all(line.isprintable() for line in messages[0].splitlines())
    assert messages[0].startswith(f"damaged manifest {root}/val.json: ")
    return messages[0]


@pytest.mark.parametrize(("key", "position"), CASES)
def test_a_value_that_cannot_be_is_named(
    tmp_path: Path, fields: dict[str, Any], key: str, position: int
) -> None:
    put(fields, key, WRONG[key][position])
    message = refusal(tmp_path, fields)
    if "is no number" not in message:  # NaN and Infinity, of which JSON knows no place
        assert key.rpartition(".")[2] in message or "have the name" in message


@pytest.mark.parametrize("key", [key for key in WRONG if key != "packed_from"])
def test_a_missing_field_is_named(tmp_path: Path, fields: dict[str, Any], key: str) -> None:
    *outer, last = key.split(".")
    inside: Any = fields
    for part in outer:
        inside = inside[int(part) if part.isdigit() else part]
    if isinstance(inside, dict) and key != "packed_from.sources.0.name":
        del inside[last]
        message = refusal(tmp_path, fields)
        assert f"{last} is missing" in message or "has version None" in message


@pytest.mark.parametrize("where", ["", "shards.0", "packed_from", "packed_from.sources.0"])
def test_an_unknown_field_is_named(tmp_path: Path, fields: dict[str, Any], where: str) -> None:
    put(fields, f"{where}.colour".lstrip("."), "red")
    assert "'colour' is no field of a manifest" in refusal(tmp_path, fields)


def test_a_field_that_is_there_twice_is_named(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = manifest_path(tmp_path, "val")
    path.write_text(json.dumps(fields).replace('"seed"', '"seed": 5, "seed"', 1))
    with pytest.raises(DataError, match="'seed' is there twice"):
        load_manifest(tmp_path, "val")


def test_shards_without_a_picture_are_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    for shard in fields["shards"]:
        shard["num_samples"] = 0
    assert "no pictures" in refusal(tmp_path, fields)


@pytest.mark.timeout(60)
def test_more_shards_than_an_index_can_number_are_refused(
    tmp_path: Path, fields: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    shard = fields["shards"][0]
    fields["shards"] = [shard | {"name": f"val-{number}.tar"} for number in range(70_000)]
    assert "shards is [" in refusal(tmp_path, fields)
    assert places(["verify", str(tmp_path)]) == 1
    assert "a list of 1 to 65,536 shards" in capsys.readouterr().out
    fields["shards"] = fields["shards"][:65_536]
    assert len(checked(fields, "val")["shards"]) == 65_536


@pytest.mark.parametrize("text", ["", "null", "[]", "3", '"x"', "{}", "\x00", "{} {}", "{'a': 1}"])
def test_what_is_no_object_is_refused(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "val.json").write_text(text)
    with pytest.raises(DataError, match="damaged manifest"):
        load_manifest(tmp_path, "val")
    assert places(["verify", str(tmp_path)]) == 1
    assert "damaged manifest" in capsys.readouterr().out
