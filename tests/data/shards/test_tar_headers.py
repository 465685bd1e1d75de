import tarfile
from typing import Literal

import pytest

from places.data.shards.tar_headers import (
    header_of,
    is_header,
    read_key,
    read_name,
    read_size_bytes,
)
from places.errors import DataError


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a/airfield/00000001.jpg", "a/airfield/00000001"),
        ("Places365_val_00000001.jpg", "Places365_val_00000001"),
        ("v1.2/two.dots.jpg", "v1.2/two"),
        ("é/ü.jpg", "é/ü"),
    ],
)
def test_the_key_is_read_from_the_header(name: str, key: str, tar_format: Literal[0, 1]) -> None:
    assert read_key(tarfile.TarInfo(name).tobuf(tar_format)) == key


def test_the_key_includes_the_prefix_of_a_long_name() -> None:
    name = f"{'f' * 90}/{'n' * 80}"
    assert read_key(tarfile.TarInfo(f"{name}.jpg").tobuf(tarfile.USTAR_FORMAT)) == name


def test_a_block_that_is_no_header_has_no_key() -> None:
    with pytest.raises(DataError, match="no tar header where the index says"):
        read_key(bytes(512))


@pytest.mark.parametrize("size_bytes", [0, 1, 12345, (1 << 33) - 1, 1 << 35])
def test_the_size_is_read_from_the_header(size_bytes: int) -> None:
    member = tarfile.TarInfo("a.jpg")
    member.size = size_bytes
    assert read_size_bytes(member.tobuf(tarfile.GNU_FORMAT)) == size_bytes


def test_a_damaged_size_is_refused() -> None:
    header = bytearray(tarfile.TarInfo("a.jpg").tobuf(tarfile.USTAR_FORMAT))
    header[124:128] = b"nine"
    with pytest.raises(DataError, match="its size is no number"):
        read_size_bytes(bytes(header))


@pytest.mark.parametrize("num_bytes", range(512))
def test_a_part_of_a_header_is_none(num_bytes: int) -> None:
    part = header_of(b"a/" + bytes(120 * [97]) + b"/b.jpg", 7)[:num_bytes]
    assert not is_header(part)
    with pytest.raises(DataError):
        read_key(part)
    with pytest.raises(DataError):
        read_size_bytes(part)
    read_name(part)  # whatever there is of it
