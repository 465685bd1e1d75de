"""Tars that are compressed as a whole, by the endings of their names, and what unpacks them."""

from pathlib import PurePath
from shlex import quote

_PROGRAMS = {
    **dict.fromkeys((".tar.gz", ".tgz", ".tar.gzip", ".taz"), "gzip"),
    **dict.fromkeys((".tar.bz2", ".tbz", ".tbz2", ".tb2"), "bzip2"),
    **dict.fromkeys((".tar.xz", ".txz"), "xz"),
    **dict.fromkeys((".tar.zst", ".tar.zstd", ".tzst"), "zstd"),
    **dict.fromkeys((".tar.lz4",), "lz4"),
    **dict.fromkeys((".tar.lz", ".tlz"), "lzip"),
}
ENDINGS = tuple(_PROGRAMS)
"""How such files end, in small letters."""


def unpacking_of(path: str) -> tuple[str, str] | None:
    """Return the tar that a file holds by its name and the command that writes it beside the file.

    Args:
        path: Of the file.

    Returns:
        The path of the tar and the command; nothing if the name is not that of a compressed tar.
    """
    for ending, program in _PROGRAMS.items():
        if path.lower().endswith(ending) and PurePath(path).name.lower() != ending:
            tar = f"{path[: len(path) - len(ending)]}.tar"
            return tar, f"{program} -dc {quote(path)} > {quote(tar)}"
    return None
