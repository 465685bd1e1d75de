"""What the 512 bytes before a member of a tar say about it."""

import re
import zlib

from places.errors import DataError

BLOCK_BYTES = 512

_OWNER = b"0000644\0" + b"0000000\0" * 2
_MODIFIED = b"00000000000\0"
_REST = bytes(100) + (b"ustar\00000").ljust(255, b"\0")  # all behind the type of the member
_FIXED_SUM = sum(_OWNER) + sum(_MODIFIED) + sum(_REST) + ord("0") + 8 * ord(" ")


LOOK_BACK_BYTES = 4096  # how far before a picture the headers may begin that name it
MAX_NAME_BYTES = 4096  # as file systems have it

_PAX_RECORD = re.compile(rb"(\d{1,8}) ([^=]+)=")


def read_key(blocks: bytes) -> str:
    """Return a member's WebDataset key from the blocks before it, the last of them its header.

    The key is the name up to the first dot of its last part, so `a/airfield/00000001.jpg` has the
    key `a/airfield/00000001`. The name is in the header, or, if that has no room for it, in
    another one with its own data directly before.

    Args:
        blocks: The header and what lies before it, up to `LOOK_BACK_BYTES` in all. It must not
            reach into the picture before, whose bytes may look like a header.

    Raises:
        DataError: The last block is no tar header.
    """
    header = blocks[-BLOCK_BYTES:]
    if len(header) < BLOCK_BYTES:
        raise DataError("no tar header where the index says that one is")
    # The checksum takes longer than the word, and only the oldest tars do without the word.
    if header[257:262] != b"ustar" and not is_header(header):
        raise DataError("no tar header where the index says that one is")
    name = read_name(header)
    if len(blocks) > BLOCK_BYTES:
        name = _extended_name(blocks) or name
    return key_of(name).decode("utf-8", "backslashreplace")


def may_be_extended(blocks: bytes) -> bool:
    """Tell at little cost whether there may be a header before the last one that holds a name."""
    types = blocks[156 - 3 * BLOCK_BYTES :: -BLOCK_BYTES]  # from the last block but two on
    return b"x" in types or b"L" in types


def _extended_name(blocks: bytes) -> bytes:
    """Return the name from a header of type "x" or "L" whose data end where the last one begins."""
    end = len(blocks) - BLOCK_BYTES
    for start in range(end - BLOCK_BYTES, BLOCK_BYTES - 1, -BLOCK_BYTES):
        header = blocks[start - BLOCK_BYTES : start]
        if header[156:157] in (b"x", b"L") and is_header(header):
            size_bytes = read_size_bytes(header)
            if padded(size_bytes) == end - start:
                data = blocks[start : start + size_bytes]
                is_pax = header[156:157] == b"x"
                return read_pax(data).get(b"path", b"") if is_pax else until_zero(data)
    return b""


def read_pax(data: bytes) -> dict[bytes, bytes]:
    r"""Return the records of an extended header of type "x" or "g": `26 path=a/long/name.jpg\n`.

    Raises:
        DataError: They are damaged.
    """
    records, position = {}, 0
    while position < len(data) and data[position]:  # some end with zeros
        match = _PAX_RECORD.match(data, position)
        end = position + int(match[1]) if match else 0
        if not match or not match.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise DataError("damaged tar header: its records cannot be read")
        records[match[2]] = data[match.end() : end - 1]
        position = end
    return records


def key_of(name: bytes) -> bytes:
    """Return the WebDataset key of a member's name: all up to the first dot of its last part."""
    folder, slash, base = name.rpartition(b"/")
    return folder + slash + base.partition(b".")[0]


def read_name(header: bytes) -> bytes:
    """Return a member's name from the 512 bytes of its tar header."""
    name = until_zero(header[:100])
    # GNU tar keeps other things in the place of the prefix; its magic ends with a space.
    if header[257:263] == b"ustar\0" and header[345:346] > b"\0":
        return until_zero(header[345:500]) + b"/" + name
    return name


def read_size_bytes(header: bytes) -> int:
    """Return a member's size from its tar header.

    Raises:
        DataError: It is no number, or a negative one, or the header is cut off.
    """
    if len(header) < BLOCK_BYTES:
        raise DataError("damaged tar header: it is cut off")
    field = header[124:136]
    if field[0] & 0x80:  # larger than 8 GiB: a binary number, whose sign is the next bit
        if not field[0] & 0x40:
            return int.from_bytes(field, "big") - (1 << 95)
    else:
        # `int` alone would take signs and underscores.
        digits = until_zero(field).strip(b" ") or b"0"
        if digits.isdigit() and not digits.strip(b"01234567"):
            return int(digits, 8)
    raise DataError("damaged tar header: its size is no number from 0")


def read_target(header: bytes) -> bytes:
    """Return what a member links to from the 512 bytes of its tar header."""
    return until_zero(header[157:257])


def until_zero(field: bytes) -> bytes:
    """Return a field without the zeros that fill it up, and what lies behind them."""
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
        f"the name {name[:200].decode(errors='replace')!r} is too long for a tar of pictures",
        "at most 100 bytes, or 155 before a slash and 100 after it: shorten the file's name",
    )


def is_header(block: bytes) -> bool:
    """Tell whether a block is a tar header, by its checksum; a part of one is none."""
    if len(block) < BLOCK_BYTES:
        return False
    field = block[148:156]
    try:
        checksum = int(field.strip(b" \0"), 8)
    except ValueError:
        return False
    rest = 1 + checksum + sum(field) - 8 * ord(" ")  # spaces count in the place of the checksum
    # Adler-32 ends in the sum of all bytes, modulo 65521: twenty times faster than sum().
    if zlib.adler32(block) & 0xFFFF == rest % 65521:
        return checksum > 0
    # Some old programs added up bytes from -128 to 127.
    others = block[:148] + block[156:]
    signed = sum(others) - 256 * sum(byte > 127 for byte in others) + 8 * ord(" ")
    return 0 < checksum == signed


def padded(size_bytes: int) -> int:
    """Return a size rounded up to whole blocks of 512 bytes."""
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES
