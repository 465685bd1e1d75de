"""Layouts of folders that people have, as folders and as tars of these."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.data.packing.official import jpeg, read_back, write_tar
from tests.data.packing.unusual import Run

PICTURES = {"airfield/1": jpeg(1), "church/outdoor/2": jpeg(2), "church/outdoor/3": jpeg(3)}
EXPECTED = {"airfield/1": b"0", "church/outdoor/2": b"91", "church/outdoor/3": b"91"}


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


def tar_of(path: Path, files: dict[str, bytes]) -> Path:
    return write_tar(path.with_name("mine.tar"), {f"./{name}": files[name] for name in files})


KINDS = pytest.mark.parametrize("make", [folder_of, tar_of])
Make = Callable[[Path, dict[str, bytes]], Path]


def under(*tops: str) -> dict[str, bytes]:
    return {f"{top}{key}.jpg": data for top in tops for key, data in PICTURES.items()}


@KINDS
@pytest.mark.parametrize(
    "top",
    [
        "", "train/", "places365/", "data_256/", "data_256/data_256/", "x/data_256/",
        "places365_standard/train/", "places365_standard/Training/", "my/own/copy/", "v1.0/scenes/",
    ],
)  # fmt: skip
def test_what_stands_above_all_categories_is_no_part_of_the_keys(
    tmp_path: Path, run: Run, make: Make, top: str
) -> None:
    source = make(tmp_path / "mine", under(top))
    assert run("pack", source, "--root", tmp_path / "root", "--split", "train")[0] == 0
    found = read_back(tmp_path / "root", "train")
    assert {key: label for key, (_, label) in found.items()} == EXPECTED
    assert {key: data for key, (data, _) in found.items()} == PICTURES


@KINDS
def test_of_several_splits_the_one_that_is_asked_for_is_packed(
    tmp_path: Path, run: Run, make: Make
) -> None:
    """As the official easy format has them."""
    val = {"places365_standard/val/airfield/9.jpg": jpeg(9)}
    other = {"places365_standard/train.txt": b"x", "places365_standard/test/7.jpg": jpeg(7)}
    source = make(tmp_path / "mine", under("places365_standard/train/") | val | other)
    root = tmp_path / "root"
    status, lines = run("pack", source, "--root", root, "--split", "train")
    assert status == 0
    assert lines[0].endswith("6 members = 3 packed + 3 left out")
    assert any(line.startswith("  left out (other splits): ") for line in lines)
    assert run("pack", source, "--root", root, "--split", "val")[0] == 0
    assert run("pack", source, "--root", root, "--split", "test")[0] == 0
    assert {key: label for key, (_, label) in read_back(root, "train").items()} == EXPECTED
    assert read_back(root, "val") == {"airfield/9": (jpeg(9), b"0")}
    assert read_back(root, "test") == {"7": (jpeg(7), None)}


def test_without_a_split_the_folders_of_splits_are_named(tmp_path: Path, run: Run) -> None:
    source = folder_of(tmp_path / "mine", under("train/", "val/"))
    status, lines = run("pack", source, "--root", tmp_path / "root")
    assert status == 2
    assert lines[1] == "  it has folders of:  train, val; name one for each call"


@KINDS
@pytest.mark.parametrize(
    ("tops", "found"),
    [
        (("small/", "full/"), "full, small"),
        (("", "old/"), "(the top), old"),
        (("a/train/", "b/train/", "a/val/"), "a/train, a/val, b/train"),
        (("train/", "other/"), "other, train"),
    ],
)
def test_categories_in_several_folders_are_refused_with_what_to_give(
    tmp_path: Path, run: Run, make: Make, tops: tuple[str, ...], found: str
) -> None:
    source = make(tmp_path / "mine", under(*tops))
    status, lines = run("pack", source, "--root", tmp_path / "root", "--split", "train")
    assert (status, lines[0]) == (
        2, f"places: error: {source} holds categories in several folders",
    )  # fmt: skip
    assert lines[1] == f"  found:  {found}"
    first = min(top for top in tops if top and "val" not in top).rstrip("/")
    wanted = f"places pack {source}/{first} --split train" if make is folder_of else first
    assert lines[2].endswith(wanted)


def test_a_folder_of_another_split_is_refused(tmp_path: Path, run: Run) -> None:
    source = folder_of(tmp_path / "mine", under("train/"))
    status, lines = run("pack", source, "--root", tmp_path / "root", "--split", "val")
    assert (status, lines[0]) == (
        2, f"places: error: {source} holds no folder of split 'val', but of train",
    )  # fmt: skip
    words = ("--root", tmp_path / "root", "--split", "val")
    assert run("pack", source / "train", *words)[0] == 0


@KINDS
def test_what_macos_adds_is_left_out(tmp_path: Path, run: Run, make: Make) -> None:
    added = {f"__MACOSX/places/{name}/._1.jpg": b"x" for name in ("airfield", "church/outdoor")}
    added |= {"__MACOSX/places/airfield/1.jpg": b"x", "places/.DS_Store": b"x"}
    added |= {"places/airfield/._1.jpg": b"x"}
    source = make(tmp_path / "mine", under("places/") | added)
    status, lines = run("pack", source, "--root", tmp_path / "root", "--split", "train")
    assert status == 0
    assert lines[0].endswith("8 members = 3 packed + 5 left out")
    found = read_back(tmp_path / "root", "train")
    assert {key: label for key, (_, label) in found.items()} == EXPECTED


def test_a_mistyped_category_below_a_split_is_named_with_the_nearest(
    tmp_path: Path, run: Run
) -> None:
    source = folder_of(tmp_path / "mine", {"x/train/airfeild/1.jpg": jpeg(1)})
    status, lines = run("pack", source, "--root", tmp_path / "root", "--split", "train")
    assert (status, lines[0]) == (2, "places: error: unknown category 'airfeild'")
    assert lines[1].startswith("  nearest:  airfield, ")


def test_a_shard_of_webdataset_is_told_from_a_tar_of_folders(tmp_path: Path, run: Run) -> None:
    source = write_tar(tmp_path / "shard-0.tar", {"0001.jpg": jpeg(1), "0001.cls": b"3"})
    status, lines = run("pack", source, "--root", tmp_path / "root", "--split", "train")
    assert (status, lines[-1]) == (
        2, "  shards of WebDataset, with .cls or .json:  "
        f"places index {source} --split train",
    )  # fmt: skip
