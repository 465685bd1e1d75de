"""What `Gallery` writes, without a browser: the file that grows, the bounds, what is embedded."""

import base64
import errno
import io
import os
import re
import tracemalloc
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
import torch
from PIL import Image
from tests.failing_files import FailingFiles
from tests.reports.gallery.drawn import answer, colour_of, failure, page_of, rows
from tests.reports.gallery.embedded import HOSTILE, embedded, sheets_of

from places.console import printable
from places.reports.gallery import Gallery, thumbnails
from places.reports.gallery.sheets import NUM_COLUMNS, NUM_TILES
from places.reports.prediction_row import PredictionRow


def without_date(page: Path) -> str:
    return re.sub(r"<time.*?</time>", "", page.read_text(encoding="utf-8"))


def test_the_page_holds_each_row_in_the_order_of_the_table(tmp_path: Path) -> None:
    content = rows(60)
    data = embedded(page_of(tmp_path / "gallery.html", content))
    assert len(data["rows"]) == 60
    for row, packed in zip(content, data["rows"], strict=True):
        assert packed[0] == row.path
        if row.error:
            assert packed[4:] == [row.error]
            continue
        assert packed[2:4] == [row.width, row.height]
        indoor, labels, probabilities, _, grid = packed[4:]
        assert labels == list(row.labels)
        # As many digits as the table has.
        assert probabilities == [int(f"{p:.6f}".replace(".", "")) for p in row.probabilities]
        assert indoor == round(1e6 * (row.indoor or 0))
        assert row.activation is not None
        assert base64.b64decode(grid) == row.activation.tobytes()


def test_each_tile_of_the_sheets_is_the_thumbnail_of_its_row(tmp_path: Path) -> None:
    page = page_of(tmp_path / "gallery.html", rows(80))
    data, sheets = embedded(page), sheets_of(page)
    size = data["page"]["tile"]
    assert size == 64
    assert len(sheets) == -(-72 // NUM_TILES)
    tiles = [(number, row[7]) for number, row in enumerate(data["rows"]) if len(row) > 5]
    assert [tile for _, tile in tiles] == list(range(72))
    for number, tile in tiles:
        row, column = divmod(tile % NUM_TILES, NUM_COLUMNS)
        middle = size * column + size // 2, size * row + size // 2
        seen = sheets[tile // NUM_TILES].convert("RGB").getpixel(middle)
        assert np.abs(np.subtract(seen, colour_of(number))).max() < 12


def test_thumbnails_are_small_jpegs_of_the_same_picture() -> None:
    shape = (2, 3, 224, 224)
    smooth = torch.linspace(0, 255, 224).expand(shape).to(torch.uint8)
    for images in (smooth, smooth.contiguous(memory_format=torch.channels_last)):
        for jpeg in thumbnails(images):
            image = Image.open(io.BytesIO(jpeg))
            assert (image.format, image.size) == ("JPEG", (192, 192))
            array = smooth[0].permute(1, 2, 0).numpy()
            expected = Image.fromarray(array).resize((192, 192), Image.Resampling.BOX)
            assert np.abs(np.asarray(image, float) - np.asarray(expected, float)).mean() < 2


def test_thumbnails_of_small_and_of_oblong_pictures_keep_their_shape() -> None:
    sizes = [
        Image.open(io.BytesIO(thumbnails(torch.zeros(1, 3, height, width, dtype=torch.uint8))[0]))
        for height, width in [(32, 32), (400, 100), (1, 1000)]
    ]
    assert [image.size for image in sizes] == [(32, 32), (48, 192), (192, 1)]
    assert thumbnails(torch.zeros(0, 3, 32, 32, dtype=torch.uint8)) == []


@pytest.mark.parametrize("num_before", [0, 1, 31, 32, 50, 96])
@pytest.mark.parametrize("torn", [b"", b"row\n\x05", b"\x00" * 20, "half"])
def test_a_page_that_was_interrupted_is_the_same_in_the_end(
    tmp_path: Path, num_before: int, torn: bytes | str
) -> None:
    content = rows(110)
    expected = without_date(page_of(tmp_path / "whole" / "gallery.html", content))
    page = tmp_path / "again" / "gallery.html"
    killed = Gallery(page)
    killed.start(0)
    killed.add(content[: num_before + 7])  # more than the table, which comes after it
    unfinished = page.with_name("gallery.html.unfinished")
    data = unfinished.read_bytes()
    # A kill -9 within a write leaves a part of a record.
    unfinished.write_bytes(data[:-9] if isinstance(torn, str) else data + torn)
    assert not page.exists()

    again = Gallery(page)
    again.start(num_before)
    again.add(content[num_before:50])
    again.add(content[max(num_before, 50) :])
    again.finish()
    assert without_date(page) == expected
    assert not unfinished.exists()


def test_rows_that_were_lost_are_counted_and_said_on_the_page(tmp_path: Path) -> None:
    page = tmp_path / "gallery.html"
    killed = Gallery(page)
    killed.start(0)
    killed.add(rows(20))
    again = Gallery(page)
    again.start(1500)
    again.add(rows(30))
    again.finish()
    assert len(embedded(page)["rows"]) == 50
    assert "1,480 more, of the part of the run before it was interrupted" in page.read_text("utf-8")


def test_a_page_that_is_finished_stays_when_nothing_is_added(tmp_path: Path) -> None:
    page = page_of(tmp_path / "gallery.html", rows(20))
    before = page.read_bytes()
    again = Gallery(page)
    again.start(20)
    again.finish()
    assert page.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["gallery.html"]


def test_a_page_of_nothing_but_lost_rows_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = Gallery(tmp_path / "gallery.html")
    gallery.start(20)
    gallery.finish()
    assert list(tmp_path.iterdir()) == []
    assert "no gallery.html" in capsys.readouterr().err


def test_above_its_bound_it_shows_the_first_and_all_that_are_unreadable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "gallery.html"
    gallery = Gallery(page, max_pictures=30)
    gallery.start(0)
    content = rows(100)
    wanted = []
    for row in content:
        wanted.append(gallery.wants_pictures)
        gallery.add([row])
    gallery.finish()
    # 30 pictures with answers are the first 33 rows: three of them are unreadable.
    assert wanted == [number < 33 for number in range(100)]
    shown = [row[0] for row in embedded(page)["rows"]]
    expected = [
        row.path for number, row in enumerate(content) if row.error or number < wanted.index(False)
    ]
    assert shown == expected
    assert "gallery.html shows 40 of 100 pictures: the first and 10" in capsys.readouterr().err
    text = page.read_text("utf-8")
    assert "<h1>100 pictures</h1>" in text
    assert "This page shows 40 of them: the first and all that are unreadable." in text
    assert "10 unreadable" in text


def test_unreadable_pictures_are_bounded_too(tmp_path: Path) -> None:
    page = page_of(tmp_path / "gallery.html", [failure(n) for n in range(50)], max_pictures=20)
    assert len(embedded(page)["rows"]) == 20
    assert "<h1>50 pictures</h1>" in page.read_text("utf-8")


def test_names_from_outside_do_nothing_in_the_page(tmp_path: Path) -> None:
    content = [answer(number, path) for number, path in enumerate(HOSTILE)]
    content += [PredictionRow(path, error=f"cannot read {path}") for path in HOSTILE]
    page = page_of(
        tmp_path / "gallery.html",
        content,
        network="<b>Net</b> {{ 1 }}",
        checkpoint="a\u202eb\udcff</title>.ckpt",
        table=tmp_path / "a b&<c>\udcff.csv",
    )
    text = page.read_text(encoding="utf-8")
    packed = embedded(page)["rows"]
    assert [row[0] for row in packed] == [printable(path) for path in HOSTILE] * 2
    assert [row[4] for row in packed[len(HOSTILE) :]] == [
        printable(f"cannot read {path}") for path in HOSTILE
    ]
    assert "<b>Net" not in text
    assert "</title>.ckpt" not in text
    assert 'href="./a%20b%26%3Cc%3E%FF.csv"' in text
    data = text[text.index('id="data">') : text.index("</script>", text.index('id="data">'))]
    assert not set(data.partition(">")[2]) & set("<>&\u2028\u2029")
    assert all(ord(character) < 128 for character in data)


@pytest.mark.parametrize("name", ["a b#?%41.jpg", "javascript:x", "ü\udcff.jpg", "-<'\".jpg", "\n"])
def test_the_link_of_a_file_on_this_disk_leads_to_it_from_the_page(
    tmp_path: Path, name: str
) -> None:
    picture = tmp_path / "photos" / name
    picture.parent.mkdir()
    picture.touch()
    for path in (str(picture), os.path.relpath(picture)):
        page = page_of(tmp_path / "runs" / "0" / "gallery.html", [answer(0, path)])
        link = embedded(page)["rows"][0][1]
        assert link.startswith("./../../photos/")
        target = os.path.join(os.fsencode(page.parent), unquote_to_bytes(link))  # noqa: PTH118 - bytes
        assert os.stat(target).st_ino == picture.stat().st_ino  # noqa: PTH116 - bytes


def test_only_files_and_the_web_have_links(tmp_path: Path) -> None:
    paths = [
        *("Places365_test_00000001", str(tmp_path), "x\x00y", "javascript:alert(1)"),
        *("https://host/a b.jpg?x=1&y=\"'<\udcff", "http://host/%20.jpg", "ftp://host/a.jpg"),
    ]
    page = page_of(tmp_path / "gallery.html", [answer(n, path) for n, path in enumerate(paths)])
    links = [row[1] for row in embedded(page)["rows"]]
    assert links[:4] == [""] * 4
    assert links[4:] == ["https://host/a%20b.jpg?x=1&y=%22'%3C%FF", "http://host/%20.jpg", ""]


def test_rows_may_lack_thumbnails_activations_and_sides(tmp_path: Path) -> None:
    content = [
        answer(0, thumbnail=b""),
        answer(1, activation=None),
        answer(2, indoor=None),
        answer(3, activation=np.full((3, 5), 9, np.uint8)),  # not the shape of the others
        answer(4, width=None, height=None),
    ]
    data = embedded(page_of(tmp_path / "gallery.html", content))
    assert [row[7] for row in data["rows"]] == [-1, 0, 1, 2, 3]
    assert [bool(row[8]) for row in data["rows"]] == [True, False, True, False, True]
    assert data["rows"][2][4] is None
    assert data["rows"][4][2:4] == [None, None]
    assert data["page"]["grid"] == [7, 7]


def test_a_page_has_five_categories_of_each_picture_at_most(tmp_path: Path) -> None:
    many = answer(0, labels=tuple(range(365)), probabilities=(0.5, 0.1, *[0.4 / 363] * 363))
    data = embedded(
        page_of(tmp_path / "gallery.html", [many, answer(1, labels=(7,), probabilities=(1.0,))])
    )
    assert [row[5] for row in data["rows"]] == [[0, 1, 2, 3, 4], [7]]
    assert [len(row[6]) for row in data["rows"]] == [5, 1]


def test_activations_of_large_pictures_are_made_smaller(tmp_path: Path) -> None:
    activation = np.repeat(np.repeat(np.arange(16, dtype=np.uint8) * 15, 4)[:, None], 32, axis=1)
    data = embedded(page_of(tmp_path / "gallery.html", [answer(0, activation=activation)]))
    assert data["page"]["grid"] == [16, 16]
    grid = np.frombuffer(base64.b64decode(data["rows"][0][8]), np.uint8).reshape(16, 16)
    assert (grid == np.arange(16)[:, None] * 15).all()


def test_a_full_disk_costs_the_page_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "gallery.html"
    with pytest.MonkeyPatch.context() as patch:
        FailingFiles(patch, "gallery.html.unfinished", errno.ENOSPC, num_bytes=500)
        page_of_failed = Gallery(page)
        page_of_failed.start(0)
        for row in rows(60):
            page_of_failed.add([row])
        assert not page_of_failed.wants_pictures
        page_of_failed.finish()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"places: gallery.html is not written: cannot write {page}")
    assert "No space left" in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_what_was_collected_is_kept_if_the_page_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "gallery.html"
    gallery = Gallery(page)
    gallery.start(0)
    gallery.add(rows(60))
    with pytest.MonkeyPatch.context() as patch:
        FailingFiles(patch, "gallery.html.", errno.ENOSPC, num_bytes=1000)
        gallery.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["gallery.html.unfinished"]
    first, second = capsys.readouterr().err.splitlines()
    assert "gallery.html is not written: cannot write" in first
    assert "the same command again" in second
    again = Gallery(page)
    again.start(60)
    again.finish()
    assert len(embedded(page)["rows"]) == 60


def test_memory_does_not_grow_with_the_number_of_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("places.reports.gallery.sheets._MAX_THREADS", 1)  # each has a sheet
    noise = torch.randint(0, 256, (1, 3, 192, 192), dtype=torch.uint8)
    row = answer(0, thumbnail=thumbnails(noise)[0], activation=None)
    peaks = []
    for num in (50, 50, 400):  # the first imports what it needs
        gallery = Gallery(tmp_path / f"{num}.html")
        gallery.start(0)
        gallery.add([row] * num)
        tracemalloc.start()
        gallery.finish()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert len(row.thumbnail) > 15_000
    assert peaks[2] < peaks[1] + 3_000_000, "400 thumbnails are 6 MB"
