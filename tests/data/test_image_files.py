import errno
import os
from pathlib import Path

import pytest
from lightning.pytorch import Trainer
from PIL import Image

from places.console import FirstFew
from places.data.image_files import ImageFiles
from places.errors import DataError, StorageError


def find_images(images: Path) -> tuple[list[Path], FirstFew]:
    data = ImageFiles(str(images))
    data.setup("predict")
    return list(map(Path, data.paths)), data.left_out


def _picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)
    return path


def test_pictures_are_found_in_all_folders_in_the_order_of_their_paths(tmp_path: Path) -> None:
    names = ["b.png", "a/z.JPG", "a/b/c.bmp"]
    expected = sorted(_picture(tmp_path / name) for name in names)
    (tmp_path / "folder.png").mkdir()
    found, left_out = find_images(tmp_path)
    assert found == expected
    assert left_out.count == 0
    assert find_images(expected[0])[0] == [expected[0]]


def test_what_looks_like_a_picture_is_taken_and_the_rest_is_named(tmp_path: Path) -> None:
    for name in ("a.heic", "b.NEF", "c.jpeg"):
        (tmp_path / name).touch()
    (tmp_path / "d.jpg").symlink_to("nowhere")
    expected = sorted(tmp_path.iterdir())
    for name in ("data.h5", "film.mpg", "paper.pdf", ".hidden.png"):
        (tmp_path / name).touch()
    _picture(tmp_path / ".thumbnails" / "b.png")
    (tmp_path / "link").symlink_to(tmp_path)
    found, left_out = find_images(tmp_path)
    assert found == expected
    assert left_out.count == 6
    assert str(left_out) == ".thumbnails/, link/, .hidden.png and 3 more"


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = _picture(tmp_path / "a.png")
    (tmp_path / "private").mkdir()
    scan = os.scandir

    def refuse(path: str) -> object:
        if path.rstrip("/").endswith("private"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    found, left_out = find_images(tmp_path)
    assert found == [picture]
    assert str(left_out) == f"{tmp_path}/private/ (Permission denied)"


def test_nothing_to_classify_is_an_error_that_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures in"):
        find_images(tmp_path)
    (tmp_path / "paper.pdf").touch()
    with pytest.raises(DataError, match=r"no pictures in .*\n.*paper\.pdf"):
        find_images(tmp_path)
    with pytest.raises(DataError, match=r"no such file or folder: .*nowhere\n.*`images`"):
        find_images(tmp_path / "nowhere")


def test_unlabelled_pictures_cannot_be_trained_on() -> None:
    with pytest.raises(DataError, match="ImageFiles has no labels, so it cannot fit"):
        ImageFiles(".").setup("fit")


def test_a_limit_of_the_system_is_no_fault_of_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ImageFiles(str(_picture(tmp_path / "a.png")), image_size=8, resize_size=8)
    data.trainer = Trainer(accelerator="cpu", logger=False)
    data.setup("predict")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(StorageError, match="Too many open files") as raised:
        list(data.predict_dataloader())
    assert "ulimit -n" in str(raised.value)
