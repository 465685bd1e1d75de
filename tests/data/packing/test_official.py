import hashlib
import json
import os
from pathlib import Path

import pytest
from tests.data.packing.official import LISTS as LIST_TAR
from tests.data.packing.official import STANDARD_TRAIN, write_drawn
from torchvision.datasets.places365 import Places365 as TorchvisionPlaces365

from places.data.packing.official import (
    ARCHIVES,
    LISTS,
    PackSource,
    check_md5,
    md5_check,
    sources_of,
    synthetic_md5,
)
from places.errors import DataError


def test_names_and_checksums_are_those_of_torchvision() -> None:
    theirs = dict(TorchvisionPlaces365._IMAGES_META.values())
    assert {name: md5 for name, md5 in theirs.items() if not name.startswith("test")} == {
        name: md5 for name, md5 in ARCHIVES.items() if not name.startswith("test")
    }
    tars = {name: md5 for name, md5 in LISTS.items() if name.endswith(".tar")}
    assert dict(TorchvisionPlaces365._DEVKIT_META.values()) == tars
    lists = dict(TorchvisionPlaces365._FILE_LIST_META.values())
    assert {name: LISTS[name] for name in lists} == lists


@pytest.mark.parametrize(
    ("name", "split", "variant", "size", "num_images"),
    [
        (STANDARD_TRAIN, "train", "standard", "256", 1_803_460),
        ("train_large_places365challenge.tar", "train", "challenge", "large", 8_026_628),
        ("val_large.tar", "val", "standard", "large", 36_500),
        ("test_256.tar", "test", "standard", "256", 328_500),
    ],
)
def test_official_archives_are_known_by_name(
    tmp_path: Path, name: str, split: str, variant: str, size: str, num_images: int
) -> None:
    path = tmp_path / name
    path.touch()
    by_split, lists = sources_of([path])
    expected = PackSource(path, split, variant, size, ARCHIVES[name], num_images)
    assert (by_split, lists) == ({split: [expected]}, [])


def test_a_drawn_archive_has_its_own_checksum_and_no_published_count(tmp_path: Path) -> None:
    path = write_drawn(tmp_path / "val_256.tar", {})
    source = sources_of([path])[0]["val"][0]
    assert source.synthetic
    assert source.num_images is None
    assert source.md5 == hashlib.md5(path.read_bytes()).hexdigest()


def test_archives_are_sorted_by_split_and_lists_set_aside(tmp_path: Path) -> None:
    names = [STANDARD_TRAIN, LIST_TAR, "test_256.tar", "val_256.tar"]
    for name in names:
        (tmp_path / name).touch()
    by_split, lists = sources_of([tmp_path / name for name in names])
    assert list(by_split) == ["train", "test", "val"]
    assert lists == [tmp_path / LIST_TAR]


def test_folders_of_unpacked_archives_are_known_by_name(tmp_path: Path) -> None:
    for name, split, size in (
        ("data_256", "train", "256"),
        ("data_large_challenge", "train", "large"),
        ("val_large", "val", "large"),
    ):
        (tmp_path / name).mkdir()
        path = tmp_path / name
        assert sources_of([path])[0] == {split: [PackSource(path, split, size=size)]}
    assert list(sources_of([tmp_path / "data_256"], "val")[0]) == ["val"]


def test_other_folders_and_tars_need_a_split(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine.tar").touch()
    for name in ("mine", "mine.tar"):
        with pytest.raises(DataError, match=rf"the split of .*{name} is not known\n  add `split`"):
            sources_of([tmp_path / name])
    by_split, _ = sources_of([tmp_path / "mine", tmp_path / "mine.tar"], "train")
    assert [source.variant for source in by_split["train"]] == ["folder", "folder"]


def test_mistakes_among_the_sources_are_named(tmp_path: Path) -> None:
    for name in ("val_256.tar", "val_large.tar", "pictures.zip", LIST_TAR):
        (tmp_path / name).touch()
    cases = {
        "no such file or folder": ["absent.tar"],
        "pictures.zip is nothing that can be packed": ["pictures.zip"],
        "2 sources for 'val', but an official archive is a whole split": [
            "val_256.tar",
            "val_large.tar",
        ],
        "there are only lists among the sources": [LIST_TAR],
    }
    for message, names in cases.items():
        with pytest.raises(DataError, match=message):
            sources_of([tmp_path / name for name in names])
    with pytest.raises(DataError, match="holds the split 'val', but `split` is 'train'"):
        sources_of([tmp_path / "val_256.tar"], "train")


def test_a_damaged_sidecar_is_named(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"synthetic": true}'):
        (tmp_path / "val_256.tar.json").write_text(text)
        with pytest.raises(DataError, match=r"damaged .*val_256\.tar\.json"):
            synthetic_md5(tmp_path / "val_256.tar")
    (tmp_path / "val_256.tar.json").write_text(json.dumps({"synthetic": False, "md5": "0"}))
    assert synthetic_md5(tmp_path / "val_256.tar") is None


def test_a_wrong_checksum_names_both(tmp_path: Path) -> None:
    path = tmp_path / "val_256.tar"
    path.write_bytes(b"pictures")
    md5 = hashlib.md5(b"pictures").hexdigest()
    check_md5(path, md5)
    with pytest.raises(DataError) as error:
        check_md5(path, "bb")
    assert f"found:      {md5}\n  published:  bb\n" in str(error.value)
    assert "`no_md5`" in str(error.value)


def test_checksums_of_files_are_compared_beside_the_block(tmp_path: Path) -> None:
    expected = {}
    for number in range(3):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(os.urandom(3 << 20))
        expected[path] = hashlib.md5(path.read_bytes()).hexdigest()
    for right in ({}, expected):
        with md5_check(right) as checked:
            checked.result()
    (tmp_path / "1.tar").write_bytes(b"")
    with (
        md5_check(expected) as checked,
        pytest.raises(DataError, match=r"1\.tar is not the file of that name: its MD5 is wrong"),
    ):
        checked.result()
