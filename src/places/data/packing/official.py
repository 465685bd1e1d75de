"""The official archives and lists of Places365: names, checksums, counts, and what each holds."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from places.data.shards.tar_members import hash_file, members_of
from places.errors import DataError

ARCHIVES: Mapping[str, str] = {
    "train_256_places365standard.tar": "53ca1c756c3d1e7809517cc47c5561c5",
    "train_256_places365challenge.tar": "741915038a5e3471ec7332404dfb64ef",
    "train_large_places365standard.tar": "67e186b496a84c929568076ed01a8aa1",
    "train_large_places365challenge.tar": "605f18e68e510c82b958664ea134545f",
    "val_256.tar": "e27b17d8d44f4af9a78502beb927f808",
    "val_large.tar": "9b71c4993ad89d2d8bcbdc4aef38042f",
    "test_256.tar": "f532f6ad7b582262a2ec8009075e186b",
    "test_large.tar": "41a4b6b724b1d2cd862fb3871ed59913",
}
"""Published MD5 of the official archives of pictures; split, size and variant are in the names."""

LISTS: Mapping[str, str] = {
    "filelist_places365-standard.tar": "35a0585fee1fa656440f3ab298f8479c",
    "filelist_places365-challenge.tar": "70a8307e459c3de41690a7c76c931734",
    "places365_train_standard.txt": "30f37515461640559006b8329efbed1a",
    "places365_train_challenge.txt": "b2931dc997b8c33c27e7329c073a6b57",
    "places365_val.txt": "e9f2fd57bfd9d07630173f4e8708e4b1",
    "places365_test.txt": "2fce8233fe493576d724142e45d93653",
}
"""Published MD5 of the official lists, and of the tars that hold them."""

NUM_IMAGES: Mapping[tuple[str, str], int] = {
    ("train", "standard"): 1_803_460,
    ("train", "challenge"): 8_026_628,
    ("val", "standard"): 36_500,
    ("test", "standard"): 328_500,
}
"""Published number of pictures by split and variant; val and test belong to both variants."""

_VAL_LIST = "places365_val.txt"
_UNPACKED = re.compile(r"(data|val|test)_(256|large)(?:_(standard|challenge))?")


@dataclass(frozen=True)
class PackSource:
    """A tar or a folder with pictures of one split.

    Args:
        path: The tar or the folder.
        split: "train", "val" or "test".
        variant: "standard" or "challenge" for official archives, "folder" for all else.
        size: "256" or "large" for official pictures, "original" for others.
        md5: The MD5 that the tar must have; `None` where none is known.
        num_images: The number of pictures that must be inside; `None` where it is not known.
        synthetic: Whether `places sample` drew the pictures.
    """

    path: Path
    split: str
    variant: str = "folder"
    size: str = "original"
    md5: str | None = None
    num_images: int | None = None
    synthetic: bool = False


def sources_of(
    paths: Sequence[Path], split: str | None = None
) -> tuple[dict[str, list[PackSource]], list[Path]]:
    """Tell what each path is.

    Args:
        paths: Archives, folders and lists.
        split: The split of the folders and of the tars that have no official name.

    Returns:
        The sources of pictures by split, and the lists.

    Raises:
        DataError: A path is missing, of no known kind, or of a split that is not known; or an
            official archive is mixed with other pictures of its split.
    """
    by_split: dict[str, list[PackSource]] = {}
    lists = [path for path in paths if path.name in LISTS]
    for path in paths:
        if not path.exists():
            raise DataError(f"no such file or folder: {path}")
        if path not in lists:
            source = _source(path, split)
            by_split.setdefault(source.split, []).append(source)
    if not by_split:
        raise DataError("nothing to pack: there are only lists among the sources")
    for name, sources in by_split.items():
        if len(sources) > 1 and any(source.path.name in ARCHIVES for source in sources):
            raise DataError(
                f"{len(sources)} sources for {name!r}, but an official archive is a whole split",
                f"given:  {', '.join(str(source.path) for source in sources)}",
            )
    return by_split, lists


def _source(path: Path, split: str | None) -> PackSource:
    if path.is_file() and path.suffix != ".tar":
        raise DataError(
            f"{path} is nothing that can be packed",
            "takes:  official archives and their lists, other tars, folders with one subfolder "
            "for each category",
        )
    known = _official(path) if path.name in ARCHIVES else _unpacked(path)
    if known and path.name in ARCHIVES and split not in (None, known.split):
        raise DataError(
            f"{path.name} holds the split {known.split!r}, but `split` is {split!r}",
            "leave `split` out: it is for folders and for tars without an official name",
        )
    if known is None and split is None:
        raise DataError(
            f"the split of {path} is not known", "add `split` train, `split` val or `split` test"
        )
    source = known or PackSource(path, split or "")
    return replace(source, split=split) if split else source


def _official(path: Path) -> PackSource:
    split, size = path.name.removesuffix(".tar").split("_")[:2]
    variant = "challenge" if "challenge" in path.name else "standard"
    drawn = synthetic_md5(path)
    if drawn:
        return PackSource(path, split, variant, size, drawn, synthetic=True)
    return PackSource(path, split, variant, size, ARCHIVES[path.name], NUM_IMAGES[split, variant])


def _unpacked(path: Path) -> PackSource | None:
    """Recognise a folder into which an official archive was unpacked by its name."""
    match = _UNPACKED.fullmatch(path.resolve().name)
    if match is None or not path.is_dir():
        return None
    return PackSource(path, match[1].replace("data", "train"), size=match[2])


def synthetic_md5(path: Path) -> str | None:
    """Return the MD5 of a drawn archive from the `<archive>.json` beside it, if there is one.

    Raises:
        DataError: The file beside it does not say what it should.
    """
    sidecar = path.with_name(f"{path.name}.json")
    if not sidecar.is_file():
        return None
    try:
        fields = json.loads(sidecar.read_text(encoding="utf-8"))
        return str(fields["md5"]) if fields["synthetic"] is True else None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"damaged {sidecar}: {error!r}", "remove it, or draw again") from error


def check_md5(path: Path, found: str, expected: str) -> None:
    """Compare checksums.

    Raises:
        DataError: They differ.
    """
    if found != expected:
        raise DataError(
            f"{path} is not the file of that name: its MD5 is wrong",
            f"found:      {found}",
            f"published:  {expected}",
            "get it again, or add `no_md5` to pack it as it is",
        )


@contextmanager
def md5_check(expected: Mapping[Path, str]) -> Iterator[Future[None]]:
    """Compare checksums of files in a thread beside the block; it ends with the block.

    Yields:
        The result, to be asked for inside of the block: it raises the error of `check_md5`.
    """
    stop = Event()

    def check() -> None:
        for path, md5 in expected.items():
            digest = hashlib.md5(usedforsecurity=False)
            hash_file(path, digest, stop)
            check_md5(path, digest.hexdigest(), md5)  # if stopped, nobody asks any more

    with ThreadPoolExecutor(1) as hasher:
        try:
            yield hasher.submit(check)
        finally:
            stop.set()


def find_list(source: PackSource, lists: Sequence[Path]) -> Path | None:
    """Return the file with the labels of a source: a list, or the tar of the lists.

    Args:
        source: Where the pictures are.
        lists: The lists that were given; for a split without labels in its names, those beside the
            source are looked at, too.
    """
    variants = [source.variant] if source.split == "train" else ["standard", "challenge"]
    names = [list_name(source), *(f"filelist_places365-{variant}.tar" for variant in variants)]
    beside = [source.path.parent / name for name in names if source.split != "train"]
    found = (path for path in [*lists, *beside] if path.name in names and path.is_file())
    return next(found, None)


def list_name(source: PackSource) -> str:
    """Return the name of the official list of a source."""
    return f"places365_train_{source.variant}.txt" if source.split == "train" else _VAL_LIST


def read_list(path: Path, name: str) -> Iterator[tuple[bytes, int]]:
    """Yield the names and labels of an official list.

    Args:
        path: The list, or the tar that holds it.
        name: The name of the list.

    Yields:
        A picture's name without a leading slash and without its suffix, and its label.

    Raises:
        DataError: The list is not in the tar, or a line is damaged.
    """
    start, size_bytes = 0, path.stat().st_size
    if path.suffix == ".tar":
        found = [m for m in members_of(path) if m.name.rpartition(b"/")[2] == name.encode()]
        if not found:
            raise DataError(f"no {name} in {path}")
        start, size_bytes = found[0].offset, found[0].size_bytes
    with path.open("rb") as file:
        file.seek(start)
        number = 0
        while file.tell() < start + size_bytes:
            number += 1
            line = file.readline(start + size_bytes - file.tell())
            file_name, _, label = line.strip().rpartition(b" ")
            if not line.strip():
                continue
            if not file_name or not label.isdigit():
                raise DataError(f"damaged line {number} of {name} in {path}: {line!r}")
            yield file_name.lstrip(b"/").rpartition(b".")[0], int(label)
