from pathlib import Path

import pytest
from PIL import Image

from places.data.image_files import ImageFiles, find_images
from places.errors import DataError


def _picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)
    return path


def test_pictures_are_found_in_all_folders_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["b.png", "a/z.JPG", "a/b/c.bmp"]
    expected = sorted(_picture(tmp_path / name) for name in names)
    _picture(tmp_path / ".hidden.png")
    _picture(tmp_path / ".thumbnails" / "b.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    assert find_images(tmp_path) == expected
    assert find_images(expected[0]) == [expected[0]]


def test_nothing_to_classify_is_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures in"):
        find_images(tmp_path)
    with pytest.raises(DataError, match=r"no such file or folder: .*nowhere\n.*--data\.images"):
        find_images(tmp_path / "nowhere")


def test_unlabelled_pictures_cannot_be_trained_on() -> None:
    with pytest.raises(DataError, match="ImageFiles has no labels, so it cannot fit"):
        ImageFiles(Path()).setup("fit")
