"""What a file is that should be a tar and is none: told by its first bytes, never opened."""

import re
from pathlib import Path
from shlex import quote

from places.console import printable
from places.errors import DataError

_AGAIN = "get it again, and look at what the server sends"
_PACK = "give the folder of the pictures:  places pack FOLDER --root ROOT --split SPLIT"
_UNPACK = "unpack it first:  "
# How they begin, what they are, and what to do.
_BY_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "gzip", f"{_UNPACK}gzip -dc {{path}} > unpacked.tar"),
    (b"BZh", "bzip2", f"{_UNPACK}bzip2 -dc {{path}} > unpacked.tar"),
    (b"\xfd7zXZ", "xz", f"{_UNPACK}xz -dc {{path}} > unpacked.tar"),
    (b"\x5d\0\0", "lzma", f"{_UNPACK}xz --format=lzma -dc {{path}} > unpacked.tar"),
    (b"\x28\xb5\x2f\xfd", "zstd", f"{_UNPACK}zstd -dc {{path}} > unpacked.tar"),
    (b"\x04\x22\x4d\x18", "lz4", f"{_UNPACK}lz4 -dc {{path}} > unpacked.tar"),
    (b"LZIP", "lzip", f"{_UNPACK}lzip -dc {{path}} > unpacked.tar"),
    (b"\x1f\x9d", "compress", f"{_UNPACK}uncompress -c {{path}} > unpacked.tar"),
    (b"PK\x03\x04", "zip", f"{_UNPACK}unzip {{path}} -d FOLDER"),
    (b"7z\xbc\xaf", "7z", f"{_UNPACK}7z x {{path}} -oFOLDER"),
    (b"Rar!", "rar", f"{_UNPACK}unrar x {{path}} FOLDER/"),
    (b"\xff\xd8\xff", "a picture (JPEG)", _PACK),
    (b"\x89PNG", "a picture (PNG)", _PACK),
    (b"\x89HDF", "HDF5", "write its pictures into a folder, and pack that"),
    (b"PAR1", "Parquet", "write its pictures into a folder, and pack that"),
    (b"\x93NUMPY", "an array of NumPy", "give the tars, which end in .tar"),
    (b"version https://git-lfs", "a pointer of Git LFS, which stands for the file",
     "fetch the file itself:  git lfs pull"),
)  # fmt: skip
_WEB_PAGE = re.compile(rb"\s*<(!doctype|html|head|\?xml|body|script|error)", re.IGNORECASE)
_JSON = re.compile(rb"\s*[{\[]\s*[\"{\[\d]")
_SHOWN_BYTES = 40


def other_format(path: Path | str, position: int, data: bytes) -> DataError | None:
    """Return the error that what begins like this is no tar but something else, if that is known.

    Args:
        path: The file, or what to call it.
        position: Where in it the bytes are.
        data: The bytes.
    """
    found = _kind_of(position, data)
    if found is None:
        return None
    name, hint = found
    where = f" at byte {position:,}" if position else ""
    hint = hint.format(path=quote(printable(str(path))))
    return DataError(f"{path} is no tar but {name}{where}", hint)


def _kind_of(position: int, data: bytes) -> tuple[str, str] | None:
    for magic, name, hint in _BY_MAGIC:
        if data.startswith(magic):
            return name, hint
    if position:
        return None  # in the middle of a tar these bytes may be anything
    if not data:
        return "empty", "get it again"
    if _WEB_PAGE.match(data):
        return "a web page, not the file behind a link", _AGAIN
    text = data[:_SHOWN_BYTES].decode("utf-8", "replace").rstrip("\ufffd").strip()
    if not text or "\0" in text or not all(c.isprintable() or c.isspace() for c in text):
        return None
    kind = "JSON" if _JSON.match(data) else "a text"
    shown = printable(" ".join(text.split()))
    return f"{kind} that begins with {shown!r}", _AGAIN
