"""What the 512 bytes before a member of a tar say about it."""

from places.errors import DataError

BLOCK_BYTES = 512


def read_key(header: bytes) -> str:
    """Return a member's WebDataset key from the 512 bytes of its tar header.

    The key is the name up to the first dot of its last part, so `a/airfield/00000001.jpg` has the
    key `a/airfield/00000001`. The header of a picture lies directly before its bytes.

    Raises:
        DataError: The block is no tar header.
    """
    if header[257:262] != b"ustar":
        raise DataError("no tar header where the index says that one is")
    return key_of(read_name(header)).decode("utf-8", "backslashreplace")


def key_of(name: bytes) -> bytes:
    """Return the WebDataset key of a member's name: all up to the first dot of its last part."""
    folder, slash, base = name.rpartition(b"/")
    return folder + slash + base.partition(b".")[0]


def read_name(header: bytes) -> bytes:
    """Return a member's name from the 512 bytes of its tar header."""
    name = _until_zero(header[:100])
    # GNU tar keeps other things in the place of the prefix; its magic ends with a space.
    if header[257:263] == b"ustar\0" and header[345]:
        return _until_zero(header[345:500]) + b"/" + name
    return name


def read_size_bytes(header: bytes) -> int:
    """Return a member's size from its tar header; `DataError` if it is no octal number."""
    if header[124] & 0x80:  # larger than 8 GiB: a binary number
        return int.from_bytes(header[125:136], "big")
    try:
        return int(_until_zero(header[124:136]) or b"0", 8)
    except ValueError as error:
        raise DataError("damaged tar header: its size is no number") from error


def _until_zero(field: bytes) -> bytes:
    return bytes(field).partition(b"\0")[0]
