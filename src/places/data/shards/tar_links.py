"""What the links of a tar lead to, as if it were unpacked; nothing outside of it is looked at."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from places.data.shards.tar_reader import (
    FOLDERS,
    HARD_LINK,
    LINKS,
    SYMBOLIC_LINK,
    Entry,
    Member,
    shown,
)
from places.errors import DataError

NOWHERE = "a link to nothing"
LOOP = "a link in a loop"
MAX_WAYS = 100  # that may lead to one folder; links to folders of links would have no end

_OUTSIDE = "a link that leads out"
_MAX_LINKS = 40  # on the way to one file, as in Linux


class _Folder(dict[bytes, "_Folder | Member | bytes"]):
    """What lies in a folder: folders, files, and the targets of symbolic links."""


_Place = tuple[_Folder, ...]
"""A folder, and before it those in which it lies."""


def follow_links(path: Path, entries: Iterable[Entry]) -> Iterator[Member]:
    """Yield the links of a tar as the files that they lead to.

    A link to a folder becomes the files in it. One that leads to nothing in the tar says so. This
    takes memory for all members, unlike all else that is done with a tar.

    Args:
        path: The tar.
        entries: All its members.

    Raises:
        DataError: A member lies in a link, takes the place of a link, or too many links lead to the
            same folder.
    """
    top = _Folder()
    links = []
    for kind, member, target in entries:
        parts = _parts(member.name)
        if kind in FOLDERS:
            _make(path, top, parts, member)
            continue
        place = _make(path, top, parts[:-1], member)
        node = _node(top, kind, member, target)
        if isinstance(node, str) or not parts:
            yield member._replace(no_file=str(node))
            continue
        twin = place[-1].get(parts[-1])
        if twin is not None and (kind in LINKS or not isinstance(twin, Member)):
            raise _odd(path, member, "is there twice, once as a link or a folder")
        place[-1][parts[-1]] = node
        if kind in LINKS:
            links.append((member.name, place, node))
    ways = Counter[int]()
    for name, place, node in links:
        yield from _files(path, name, place, node, ways)


def _node(top: _Folder, kind: bytes, member: Member, target: bytes) -> "Member | bytes | str":
    """Return what a member is in its folder, or why a hard link is nothing there."""
    if kind == SYMBOLIC_LINK:
        return target or NOWHERE
    if kind != HARD_LINK:
        return member
    *folders, last = _parts(target) or [b""]
    folder = top
    for part in folders:
        inside = folder.get(part)
        if not isinstance(inside, _Folder):
            return NOWHERE
        folder = inside
    # As it is now: a later member of that name does not change what was linked.
    node = folder.get(last, NOWHERE)
    return NOWHERE if isinstance(node, _Folder) else node


def _files(
    path: Path, name: bytes, place: _Place, node: "Member | bytes", ways: Counter[int]
) -> Iterator[Member]:
    """Yield the files that lie behind a link in a folder."""
    pending: list[tuple[bytes, _Place, _Folder | Member | bytes, _Place]]
    pending = [(name, place, node, place)]
    while pending:
        name, place, found, trail = pending.pop()
        end: _Folder | Member | str
        if isinstance(found, bytes):
            end, place = _resolve(place, found)
        else:
            end, place = found, (*place, found) if isinstance(found, _Folder) else place
        if isinstance(end, str):
            yield Member(name, 0, 0, end)
        elif isinstance(end, Member):
            yield end._replace(name=name)
        elif any(end is folder for folder in trail):
            yield Member(name, 0, 0, LOOP)
        else:
            ways[id(end)] += 1
            if ways[id(end)] > MAX_WAYS:
                raise _odd(path, Member(name, 0, 0), f"is one of {MAX_WAYS} ways to one folder")
            for part, child in end.items():
                pending.append((name + b"/" + part, place, child, (*trail, end)))


def _resolve(place: _Place, target: bytes) -> "tuple[_Folder | Member | str, _Place]":
    """Return what a symbolic link in a folder leads to, and the place of that if it is a folder."""
    trail, todo, num_links = list(place), _to_do(target), 0
    while todo:
        part = todo.pop()
        if part == b"/" or (part == b".." and len(trail) == 1):
            return _OUTSIDE, ()
        if part == b"..":
            trail.pop()
            continue
        node = trail[-1].get(part)
        if isinstance(node, _Folder):
            trail.append(node)
        elif isinstance(node, bytes):
            num_links += 1
            if num_links > _MAX_LINKS:
                return LOOP, ()
            todo += _to_do(node)
        else:
            return (NOWHERE if todo or node is None else node), ()
    return trail[-1], tuple(trail)


def _to_do(target: bytes) -> list[bytes]:
    """Return the parts of a target, the first one last; "/" stands for the top of the machine."""
    return [*reversed(_parts(target)), *([b"/"] if target.startswith(b"/") else [])]


def _make(path: Path, top: _Folder, parts: list[bytes], member: Member) -> _Place:
    """Return a folder that is made if need be, after all in which it lies."""
    place = [top]
    for part in parts:
        if part not in place[-1]:
            place[-1][part] = _Folder()
        node = place[-1][part]
        if not isinstance(node, _Folder):
            raise _odd(path, member, "lies in a link or in a file")
        place.append(node)
    return tuple(place)


def _parts(name: bytes) -> list[bytes]:
    return [part for part in name.split(b"/") if part not in (b"", b".")]


def _odd(path: Path, member: Member, reason: str) -> DataError:
    return DataError(
        f"{shown(member.name)} in {path} {reason}", "unpack the tar and pack the folder"
    )
