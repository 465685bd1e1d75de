import os
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from places.data.packing.listing import (
    MAX_SIZE_BYTES,
    Pictures,
    collect,
    files_of,
    listing_sha256,
    sort_by_key,
)
from places.data.packing.official import PackSource
from places.data.packing.writer import lay_out
from places.data.shards.tar_reader import Member
from places.errors import DataError
from places.hashing import shuffled


def gather(names: Iterable[str | bytes], split: str = "train", source: str = "a.tar") -> Pictures:
    members = [
        Member(name.encode() if isinstance(name, str) else name, 512 * i, i)
        for i, name in enumerate(names)
    ]
    return collect([PackSource(Path(source), split)], lambda _: members)


def keys(pictures: Pictures) -> list[str]:
    return [pictures.key_of(row) for row in pictures.rows.tolist()]


@pytest.mark.parametrize(
    ("name", "key", "label"),
    [
        ("data_256/a/airfield/00000001.jpg", "a/airfield/00000001", 0),
        ("data_large_challenge/z/zen_garden/1.jpg", "z/zen_garden/1", 364),
        ("./data_256/c/church/outdoor/1.jpg", "c/church/outdoor/1", 91),
        ("church/outdoor/1.JPEG", "church/outdoor/1", 91),
        ("church-outdoor/1.jpeg", "church-outdoor/1", 91),
        ("airfield/two.dots.jpg", "airfield/two%2Edots", 0),
        ("airfield/100%.jpg", "airfield/100%25", 0),
        ("airfield/new\nline.jpg", "airfield/new%0Aline", 0),
        ("airfield/größe.jpg", "airfield/größe", 0),
    ],
)
def test_key_and_label_come_from_the_path(name: str, key: str, label: int) -> None:
    pictures = gather([name])
    assert keys(pictures) == [key]
    assert pictures.rows["label"].tolist() == [label]
    assert "." not in key.rpartition("/")[2]


def test_the_file_of_a_key_with_dots_is_found_again(tmp_path: Path) -> None:
    names = ["airfield/a.b%2E.jpg", "airfield/a%2Eb.JPG", "church/outdoor/ü.jpeg"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    pictures = collect([PackSource(tmp_path, "train")], lambda source: files_of(source.path))
    assert len(set(keys(pictures))) == 3
    paths = [os.fsdecode(pictures.path_of(row)) for row in pictures.rows.tolist()]
    found = [Path(path).read_text() for path in paths]
    assert sorted(found) == sorted(names)


def test_flat_pictures_have_no_label_and_are_no_training_pictures() -> None:
    pictures = gather(["val_256/Places365_val_00000001.jpg"], "val")
    assert keys(pictures) == ["Places365_val_00000001"]
    assert pictures.rows["label"].tolist() == [-1]
    with pytest.raises(DataError, match=r"pictures in a\.tar lie in no category"):
        gather(["data_256/1.jpg"])


def test_an_unknown_category_is_named_with_its_neighbours() -> None:
    with pytest.raises(DataError) as error:
        gather(["church/inside/1.jpg"])
    lines = str(error.value).splitlines()
    assert lines[0] == "unknown category 'church/inside'"
    assert "church/indoor" in lines[1]
    assert lines[2] == "  found in:  a.tar"


def test_other_files_are_left_out_and_counted() -> None:
    names = ["airfield/1.jpg", "airfield/2.png", "airfield/3.PNG", "README", "airfield/._1.jpg"]
    names += ["airfield/.jpg", "x/notes.txt", "unknown/4.webp", "airfield/5.gif", "airfield/.a.png"]
    names += [".git/a.jpg", "airfield/.thumbnails/1.jpg", "./airfield/6.jpg", ".git/b.png"]
    pictures = gather(names)
    assert keys(pictures) == ["airfield/1", "airfield/6"]
    assert pictures.other_images.count == 4
    assert str(pictures.other_images) == (
        "airfield/2.png, airfield/3.PNG, unknown/4.webp and 1 more"
    )
    assert pictures.other_files.count == 8


def test_the_order_is_by_folder_then_name_whatever_the_order_of_the_source() -> None:
    names = ["b/bar/2.jpg", "a/airfield/10.jpg", "b/bar/1.jpg", "a/airfield/9.jpg", "a/alley/0.jpg"]
    expected = ["a/airfield/10", "a/airfield/9", "a/alley/0", "b/bar/1", "b/bar/2"]
    for order in (names, names[::-1]):
        pictures = gather(order)
        assert [keys(pictures)[row] for row in sort_by_key(pictures)] == expected


def test_the_same_key_twice_is_refused_with_both_files() -> None:
    with pytest.raises(DataError) as error:
        sort_by_key(gather(["airfield/1.jpg", "airfield/2.jpg", "airfield/1.JPG"]))
    assert "two pictures have the name 'airfield/1'" in str(error.value)
    assert "a.tar/airfield/1.jpg and a.tar/airfield/1.JPG" in str(error.value)
    sources = [PackSource(Path("a"), "train"), PackSource(Path("b"), "train")]
    twice = collect(sources, lambda _: [Member(b"airfield/1.jpg", 0, 1)])
    with pytest.raises(DataError, match=r"a/airfield/1\.jpg and b/airfield/1\.jpg"):
        sort_by_key(twice)


def test_names_that_no_tar_header_holds_are_refused() -> None:
    gather([f"airfield/{'n' * 96}.jpg"])
    with pytest.raises(DataError, match="is too long for a tar of pictures"):
        gather([f"airfield/{'n' * 97}.jpg"])
    with pytest.raises(DataError, match="is not UTF-8"):
        gather([b"airfield/\xff.jpg"])
    with pytest.raises(DataError, match=r"airfield/1\.jpg is too large for a picture"):
        collect(
            [PackSource(Path("a.tar"), "train")],
            lambda _: [Member(b"airfield/1.jpg", 0, MAX_SIZE_BYTES + 1)],
        )


def test_files_of_a_folder_are_found_through_links_in_the_order_of_their_names(
    tmp_path: Path,
) -> None:
    for name in ("b/c/1.jpg", "b/2.jpg", "a.jpg"):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "x" / name).write_bytes(b"abc")
    (tmp_path / "x" / "link").symlink_to(tmp_path / "x" / "b")
    assert [member.name for member in files_of(tmp_path / "x")] == [
        b"a.jpg",
        b"b/2.jpg",
        b"b/c/1.jpg",
        b"link/2.jpg",
        b"link/c/1.jpg",
    ]
    assert {member.size_bytes for member in files_of(tmp_path / "x")} == {3}


def test_the_listing_tells_different_pictures_apart() -> None:
    names = ["airfield/1.jpg", "bar/2.jpg"]
    digest = listing_sha256(gather(names))
    assert digest == listing_sha256(gather(names, source="b.tar"))
    for other in (names[::-1], ["airfield/1.jpg", "bar/3.jpg"], ["alley/1.jpg", "bar/2.jpg"]):
        assert digest != listing_sha256(gather(other))
    larger = gather(names)
    larger.rows["size_bytes"] += 1
    assert digest != listing_sha256(larger)


def test_names_of_millions_of_pictures_fit_into_the_promised_memory() -> None:
    num = 100_000
    members = (Member(b"data_256/a/alley/%08d.jpg" % i, i << 14, 14_000) for i in range(num))
    tracemalloc.start()
    try:
        pictures = collect([PackSource(Path("a.tar"), "train")], lambda _: members)
        order = sort_by_key(pictures)
        pictures.rows = pictures.rows[order[shuffled(num, 0)]]
        del order
        layout = lay_out(pictures, 256 << 20)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.array_equal(np.sort(layout.index["size_bytes"]), np.full(num, 14_000))
    assert peak_bytes < num * (90 + 2 * len("00000000.jpg")) + (20 << 20)
