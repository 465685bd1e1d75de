import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.data.packing.official import (
    LISTS,
    flat_files,
    list_files,
    train_files,
    val_label,
    write_tar,
)

from places.data.packing.labels import settle_labels
from places.data.packing.listing import Pictures, collect
from places.data.packing.official import PackSource
from places.data.shards.tar_reader import Member
from places.errors import DataError


def gather(source: PackSource, names: list[str]) -> Pictures:
    return collect([source], lambda _: [Member(name.encode(), 0, 9) for name in names])


@pytest.fixture
def val(tmp_path: Path) -> PackSource:
    return PackSource(tmp_path / "val_256.tar", "val", "standard", synthetic=True)


@pytest.fixture
def train(tmp_path: Path) -> PackSource:
    return PackSource(tmp_path / "train.tar", "train", "standard", synthetic=True)


VAL_NAMES = list(flat_files("val", 5))


def write_lists(folder: Path, num_val: int = 0, train: list[str] | None = None) -> Path:
    return write_tar(folder / LISTS, list_files(num_val, dict.fromkeys(train or [], b"")))


def test_val_labels_come_from_the_list_beside_the_archive(tmp_path: Path, val: PackSource) -> None:
    write_lists(tmp_path, 5)
    pictures = gather(val, VAL_NAMES[::-1])
    settle_labels(pictures, [], md5=True)
    assert pictures.rows["label"].tolist() == [val_label(number) for number in (5, 4, 3, 2, 1)]


def test_val_labels_come_from_a_plain_list_among_the_sources(
    tmp_path: Path, val: PackSource
) -> None:
    path = tmp_path / "lists" / "places365_val.txt"
    path.parent.mkdir()
    path.write_bytes(list_files(5)[path.name])
    pictures = gather(val, VAL_NAMES)
    settle_labels(pictures, [path], md5=True)
    assert pictures.rows["label"].tolist() == [val_label(number) for number in (1, 2, 3, 4, 5)]


def test_val_without_a_list_says_what_to_give(tmp_path: Path, val: PackSource) -> None:
    with pytest.raises(DataError) as error:
        settle_labels(gather(val, VAL_NAMES), [], md5=True)
    assert str(error.value).splitlines() == [
        f"no labels for {val.path}: the names of its pictures do not tell their category",
        f"  looked for:  {LISTS} or places365_val.txt, beside it and among the sources",
        f"  give it:     places pack {val.path} {LISTS} --root ...",
    ]


def test_val_pictures_in_folders_of_their_categories_need_no_list(val: PackSource) -> None:
    pictures = gather(val, ["airfield/Places365_val_00000001.jpg"])
    settle_labels(pictures, [], md5=True)
    assert pictures.rows["label"].tolist() == [0]


def test_a_val_list_must_fit_the_archive(tmp_path: Path, val: PackSource) -> None:
    write_lists(tmp_path, 4)
    with pytest.raises(DataError, match=r"1 picture of .* not in .*\n.*val_00000005"):
        settle_labels(gather(val, VAL_NAMES), [], md5=True)
    with pytest.raises(DataError, match=r"holds 3 pictures, but .* names 4\n.*val_00000004"):
        settle_labels(gather(val, VAL_NAMES[:3]), [], md5=True)
    pictures = gather(replace(val, variant="folder"), VAL_NAMES[:3])
    settle_labels(pictures, [], md5=True)
    assert (pictures.rows["label"] >= 0).all()


def test_a_label_beyond_the_categories_is_refused(tmp_path: Path, val: PackSource) -> None:
    (tmp_path / "places365_val.txt").write_text("Places365_val_00000001.jpg 365")
    with pytest.raises(DataError, match="gives Places365_val_00000001 the label 365"):
        settle_labels(gather(val, VAL_NAMES[:1]), [], md5=True)


def test_the_checksum_of_a_list_is_checked_unless_its_archive_is_drawn(
    tmp_path: Path, val: PackSource
) -> None:
    path = write_lists(tmp_path, 5)
    official = replace(val, synthetic=False)
    with pytest.raises(DataError, match="its MD5 is wrong"):
        settle_labels(gather(official, VAL_NAMES), [], md5=True)
    settle_labels(gather(official, VAL_NAMES), [], md5=False)
    sidecar = {"synthetic": True, "md5": hashlib.md5(path.read_bytes()).hexdigest()}
    path.with_name(f"{path.name}.json").write_text(json.dumps(sidecar))
    settle_labels(gather(official, VAL_NAMES), [], md5=True)
    path.with_name(f"{path.name}.json").write_text(json.dumps(sidecar | {"md5": "0"}))
    with pytest.raises(DataError, match="its MD5 is wrong"):
        settle_labels(gather(val, VAL_NAMES), [], md5=True)


def test_train_labels_are_compared_with_a_given_list(tmp_path: Path, train: PackSource) -> None:
    names = list(train_files(20))
    path = write_lists(tmp_path, train=names)
    settle_labels(gather(train, names[::-1]), [path], md5=True)
    settle_labels(gather(train, names[:3]), [], md5=True)
    with pytest.raises(DataError, match=r"holds 0 pictures of a/airfield, but .* names 1"):
        settle_labels(gather(train, names[1:]), [path], md5=True)
    more = [*names, "data_256/a/alley/1.jpg"]
    with pytest.raises(DataError, match=r"holds 1 picture of a/alley, but .* names 0"):
        settle_labels(gather(train, more), [path], md5=True)
    other = ["data_256/a/airfield/00009999.jpg", *names[1:]]
    with pytest.raises(DataError, match="do not name the same pictures"):
        settle_labels(gather(train, other), [path], md5=True)


def test_a_train_list_with_other_labels_is_refused(tmp_path: Path, train: PackSource) -> None:
    path = tmp_path / "places365_train_standard.txt"
    path.write_text("/a/airfield/00000001.jpg 1\n")
    with pytest.raises(DataError, match="gives a/airfield/00000001 the label 1"):
        settle_labels(gather(train, ["data_256/a/airfield/00000001.jpg"]), [path], md5=True)


def test_test_pictures_have_labels_all_or_none(tmp_path: Path) -> None:
    source = PackSource(tmp_path / "mine", "test")
    for names in (["1.jpg", "2.jpg"], ["airfield/1.jpg", "bar/2.jpg"]):
        settle_labels(gather(source, names), [], md5=True)
    with pytest.raises(DataError, match=r"no label for 1 of 2 pictures in .*mine"):
        settle_labels(gather(source, ["1.jpg", "bar/2.jpg"]), [], md5=True)


def test_the_number_of_pictures_is_the_published_one(val: PackSource) -> None:
    write_lists(val.path.parent, 5)
    settle_labels(gather(replace(val, num_images=5), VAL_NAMES), [], md5=True)
    with pytest.raises(DataError, match="holds 5 pictures, but 36,500 were published"):
        settle_labels(gather(replace(val, num_images=36_500), VAL_NAMES), [], md5=True)
    with pytest.raises(DataError, match=r"no JPEG pictures in .*val_256\.tar"):
        settle_labels(gather(val, ["README"]), [], md5=True)


def test_lists_are_found_among_the_sources_and_for_val_beside_the_archive(
    tmp_path: Path, val: PackSource, train: PackSource
) -> None:
    train_names = list(train_files(3))
    challenge = write_tar(tmp_path / "filelist_places365-challenge.tar", list_files(5))
    settle_labels(gather(val, VAL_NAMES), [], md5=True)
    settle_labels(gather(train, train_names), [challenge], md5=True)
    standard = write_tar(tmp_path / LISTS, {})
    settle_labels(gather(train, train_names), [], md5=True)
    with pytest.raises(DataError, match=rf"no places365_train_standard\.txt in {standard}"):
        settle_labels(gather(train, train_names), [challenge, standard], md5=True)
    with pytest.raises(DataError, match=rf"no places365_val\.txt in {standard}"):
        settle_labels(gather(val, VAL_NAMES), [], md5=True)
    (tmp_path / "places365_val.txt").write_bytes(list_files(5)["places365_val.txt"])
    settle_labels(gather(val, VAL_NAMES), [], md5=True)


def test_a_list_is_read_from_its_tar_and_on_its_own(tmp_path: Path, train: PackSource) -> None:
    text = b"/a/airfield/00000001.jpg 0\n\n/z/zen_garden/1.jpg 364\n"
    name = "places365_train_standard.txt"
    (tmp_path / name).write_bytes(text + b"\n")
    tar = write_tar(tmp_path / LISTS, {"other.txt": b"x", f"folder/{name}": text.rstrip()})
    names = ["data_256/a/airfield/00000001.jpg", "data_256/z/zen_garden/1.jpg"]
    for path in (tmp_path / name, tar):
        settle_labels(gather(train, names), [path], md5=True)
        with pytest.raises(DataError, match=r"holds 0 pictures of z/zen_garden, .* names 1"):
            settle_labels(gather(train, names[:1]), [path], md5=True)


@pytest.mark.parametrize("line", [b"only_a_name.jpg", b"a.jpg x", b"a.jpg -1", b" 5"])
def test_a_damaged_line_of_a_list_is_named(tmp_path: Path, val: PackSource, line: bytes) -> None:
    path = tmp_path / "places365_val.txt"
    path.write_bytes(list_files(1)[path.name] + b"\n" + line)
    with pytest.raises(DataError, match=r"damaged line 2 of places365_val\.txt"):
        settle_labels(gather(val, VAL_NAMES), [], md5=True)
