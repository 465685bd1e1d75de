import hashlib
import io
import json
import struct
import tarfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from places.categories import load_categories, load_settings
from places.errors import DataError
from places.synthetic import pictures as synthetic
from places.synthetic.archives import write_archives
from places.synthetic.scenes.draw import SCENES, draw_scene

TRAIN = "train_256_places365standard.tar"
LISTS = "filelist_places365-standard.tar"
COUNTS = {"train": 30, "val": 13, "test": 26}

write = partial(write_archives, num_train=30, num_val=13, num_test=26)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn")
    write(root, num_processes=1)
    return root


def read_tar(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        files = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read() for name, file in files.items() if file}


def read_list(root: Path, name: str) -> list[str]:
    return read_tar(root / "archives" / LISTS)[name].decode().splitlines()


def md5s(root: Path) -> dict[str, str]:
    paths = sorted((root / "archives").glob("*.tar"))
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in paths}


def pictures_of(root: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name in (TRAIN, "val_256.tar", "test_256.tar"):
        files |= read_tar(root / "archives" / name)
    return files


def segments(file: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk through the marker segments of a JPEG up to its compressed data."""
    position = 2
    while file[position + 1] != 0xDA:
        marker, size = struct.unpack(">xBH", file[position : position + 4])
        yield marker, file[position + 4 : position + 2 + size]
        position += 2 + size


def test_the_same_seed_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    write(tmp_path, num_processes=1)
    assert md5s(tmp_path) == md5s(root)
    assert len(md5s(root)) == 4


def test_another_seed_draws_other_pictures(root: Path, tmp_path: Path) -> None:
    write(tmp_path, seed=1, num_processes=1)
    assert not set(pictures_of(root).values()) & set(pictures_of(tmp_path).values())


def test_the_number_of_processes_changes_no_byte(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthetic, "_MIN_PER_PROCESS", 1)
    write(tmp_path, num_processes=2)
    assert md5s(tmp_path) == md5s(root)


def test_no_picture_is_drawn_twice(root: Path) -> None:
    assert len(set(pictures_of(root).values())) == sum(COUNTS.values())


def test_random_numbers_do_not_depend_on_defaults_of_numpy() -> None:
    drawn = synthetic._generator(7, 1, 2).integers(0, 2**32, 3)
    assert drawn.tolist() == [1419564371, 3613817750, 1951168505]


def test_train_lies_in_folders_of_letter_and_category(root: Path) -> None:
    names = list(read_tar(root / "archives" / TRAIN))
    expected = {name: f"data_256/{name[0]}/{name}/" for name in SCENES}
    assert [name[-12:] for name in names] == [
        f"{number:08d}.jpg"
        for name in SCENES
        for number in range(1, 1 + sum(n.startswith(expected[name]) for n in names))
    ]
    assert all(name.startswith(tuple(expected.values())) for name in names)
    assert "data_256/d/desert/sand/00000001.jpg" in names


@pytest.mark.parametrize("split", ["val", "test"])
def test_val_and_test_are_flat_and_numbered(root: Path, split: str) -> None:
    names = list(read_tar(root / "archives" / f"{split}_256.tar"))
    count = COUNTS[split]
    assert names == [
        f"{split}_256/Places365_{split}_{number:08d}.jpg" for number in range(1, count + 1)
    ]


def test_the_categories_are_those_of_the_official_file(root: Path) -> None:
    file = read_tar(root / "archives" / LISTS)["categories_places365.txt"]
    # Published by torchvision for the file of that name.
    assert hashlib.md5(file).hexdigest() == "06c963b85866bd0649f97cb43dd16673"


def test_the_train_list_has_a_line_for_each_picture(root: Path) -> None:
    lines = read_list(root, "places365_train_standard.txt")
    categories = load_categories()
    for name, line in zip(read_tar(root / "archives" / TRAIN), lines, strict=True):
        path, label = line.split(" ")
        assert path == name.removeprefix("data_256")
        category = categories[int(label)]
        assert path.startswith(f"/{category[0]}/{category}/")


def test_the_val_list_has_names_without_folders(root: Path) -> None:
    lines = read_list(root, "places365_val.txt")
    names = [Path(name).name for name in read_tar(root / "archives" / "val_256.tar")]
    assert [line.split(" ")[0] for line in lines] == names


def test_the_val_labels_tell_what_was_drawn(root: Path) -> None:
    line = read_list(root, "places365_val.txt")[4]
    category = load_categories()[int(line.split(" ")[1])]
    pixels = draw_scene(category, synthetic._generator(0, 1, 4))
    file = read_tar(root / "archives" / "val_256.tar")["val_256/Places365_val_00000005.jpg"]
    assert synthetic.encode(pixels) == file


def test_the_test_list_has_names_only(root: Path) -> None:
    names = [Path(name).name for name in read_tar(root / "archives" / "test_256.tar")]
    assert read_list(root, "places365_test.txt") == names


def test_lists_are_named_as_in_the_official_tar(root: Path) -> None:
    assert sorted(read_tar(root / "archives" / LISTS)) == [
        "categories_places365.txt",
        "places365_test.txt",
        "places365_train_standard.txt",
        "places365_val.txt",
    ]


def test_pictures_are_spread_evenly_in_no_order(root: Path) -> None:
    labels = [int(line.split(" ")[1]) for line in read_list(root, "places365_val.txt")]
    assert set(Counter(labels).values()) == {1, 2}
    assert len(set(labels)) == len(SCENES)
    assert labels != sorted(labels)


def test_pictures_are_baseline_jpegs_that_say_they_are_drawn(root: Path) -> None:
    for name, file in pictures_of(root).items():
        found = dict(segments(file))
        assert found[0xFE] == b"synthetic scene drawn by places", name
        # Start of frame 0 means baseline; its sampling factors say 4:2:0.
        depth, height, width, components = struct.unpack(">BHHB", found[0xC0][:6])
        assert (depth, height, width, components) == (8, 256, 256, 3)
        assert [found[0xC0][7 + 3 * index] for index in range(3)] == [0x22, 0x11, 0x11]
        image = Image.open(io.BytesIO(file))
        assert (image.mode, image.size) == ("RGB", (256, 256))


def test_pictures_are_as_large_as_most_official_ones(root: Path) -> None:
    sizes = [len(file) for file in pictures_of(root).values()]
    assert min(sizes) >= 10_000
    assert max(sizes) <= 20_480
    assert 12_000 < np.mean(sizes) < 17_000


def test_flat_pictures_get_a_higher_quality_and_full_ones_a_lower() -> None:
    rows = np.arange(256)[:, None, None]
    noise = np.random.default_rng(0).normal(size=(256, 256, 3))
    for strength, has_fine_steps in ((4, True), (70, False)):
        pixels = (40 + rows / 2 + strength * noise).clip(0, 255).astype(np.uint8)
        file = synthetic.encode(pixels)
        assert 10_000 <= len(file) <= 20_480
        table = dict(segments(file))[0xDB]
        assert (max(table[1:65]) < 40) == has_fine_steps


def test_every_archive_says_that_it_is_synthetic(root: Path) -> None:
    totals = {TRAIN: 30, "val_256.tar": 13, "test_256.tar": 26, LISTS: 69}
    for name, md5 in md5s(root).items():
        fields = json.loads((root / "archives" / f"{name}.json").read_text())
        version = fields.pop("made_by")
        assert fields == {"synthetic": True, "seed": 0, "num_images": totals[name], "md5": md5}
        assert version.startswith("places ")


def test_loose_pictures_are_the_first_of_the_test_split(root: Path) -> None:
    loose = {path.name: path.read_bytes() for path in (root / "pictures").iterdir()}
    test = read_tar(root / "archives" / "test_256.tar")
    assert loose == {Path(name).name: test[name] for name in list(test)[:24]}


def test_one_picture_for_each_split_is_enough(tmp_path: Path) -> None:
    told: list[int] = []
    paths = write_archives(tmp_path, num_train=1, num_val=1, num_test=1, progress=told.append)
    assert [len(read_tar(path)) for path in paths] == [1, 1, 1, 4]
    assert told == [1, 1, 1]
    assert len(list((tmp_path / "pictures").iterdir())) == 1


def test_a_count_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot draw 0 pictures for 'val'"):
        write_archives(tmp_path, num_train=1, num_val=0, num_test=1)


def test_an_official_archive_is_not_overwritten(tmp_path: Path) -> None:
    official = tmp_path / "archives" / "val_256.tar"
    official.parent.mkdir()
    official.write_bytes(b"official")
    with pytest.raises(DataError, match=r"val_256.tar is in the way: it is not a drawn archive"):
        write_archives(tmp_path, num_train=1, num_val=1, num_test=1)
    assert official.read_bytes() == b"official"


def test_an_interrupted_run_leaves_the_earlier_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    write_archives(tmp_path, num_train=2, num_val=1, num_test=1)
    before = md5s(tmp_path)
    monkeypatch.setattr(synthetic, "draw_scene", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_archives(tmp_path, num_train=3, num_val=1, num_test=1)
    assert md5s(tmp_path) == before


def test_scenes_have_official_names_indoors_and_outdoors() -> None:
    labels = [load_categories().index(name) for name in SCENES]
    assert labels == sorted(labels)
    assert len(set(labels)) >= 12
    assert any("/" in name for name in SCENES)
    assert {load_settings()[label] for label in labels} == {"indoor", "outdoor"}


@pytest.mark.parametrize("category", SCENES)
def test_every_scene_has_some_contrast_and_an_official_size(category: str) -> None:
    for seed in range(12):
        pixels = draw_scene(category, np.random.default_rng(seed))
        assert pixels.shape == (256, 256, 3)
        assert pixels.dtype == np.uint8
        assert pixels.std() > 4
        assert 10_000 <= len(synthetic.encode(pixels)) <= 20_480


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "archives" / ".val_256.tar.host.1.partial"
    left.parent.mkdir()
    left.touch()
    write_archives(tmp_path, num_train=1, num_val=1, num_test=1)
    assert not left.exists()


def test_an_unknown_scene_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot draw 'volcano'; only baseball_field, beach"):
        draw_scene("volcano", np.random.default_rng(0))
