"""What the 512 bytes before a member of a tar say about it."""

import zlib

from places.errors import DataError

BLOCK_BYTES = 512

_OWNER = b"0000644\0" + b"0000000\0" * 2
_MODIFIED = b"00000000000\0"
_REST = bytes(100) + (b"ustar\00000").ljust(255, b"\0")  # all behind the type of the member
_FIXED_SUM = sum(_OWNER) + sum(_MODIFIED) + sum(_REST) + ord("0") + 8 * ord(" ")


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


def header_of(name: bytes, size_bytes: int) -> bytes:
    """Return the header of a regular file: one ustar block, owner 0, mode 0644, time 0.

    Raises:
        DataError: The name does not fit into the block.
    """
    rest = _REST
    checksum = _FIXED_SUM
    if len(name) > 100:
        prefix, name = split_name(name)
        rest = _REST[:188] + prefix.ljust(167, b"\0")
        checksum += sum(prefix)
    size = b"%011o\0" % size_bytes
    checksum += sum(name) + sum(size)
    fields = name.ljust(100, b"\0"), _OWNER, size, _MODIFIED, checksum, rest
    return b"%b%b%b%b%06o\0 0%b" % fields


def split_name(name: bytes) -> tuple[bytes, bytes]:
    """Cut a long name at a slash into at most 155 and 100 bytes, as the ustar format wants it.

    Raises:
        DataError: There is no such slash.
    """
    slash = name.rfind(b"/", 0, 156)
    if slash > 0 and 0 < len(name) - slash - 1 <= 100:
        return name[:slash], name[slash + 1 :]
    raise DataError(
        f"the name {name.decode(errors='replace')!r} is too long for a tar of pictures",
        "at most 100 bytes, or 155 before a slash and 100 after it: shorten the file's name",
    )


def is_header(block: bytes) -> bool:
    """Tell whether a block is a tar header, by its checksum."""
    field = block[148:156]
    try:
        checksum = int(field.strip(b" \0"), 8)
    except ValueError:
        return False
    # Adler-32 ends in the sum of all bytes, modulo 65521: twenty times faster than sum().
    rest = (1 + checksum + sum(field) - 8 * ord(" ")) % 65521
    return zlib.adler32(block) & 0xFFFF == rest


def padded(size_bytes: int) -> int:
    """Return a size rounded up to whole blocks of 512 bytes."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES
