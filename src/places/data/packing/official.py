"""The official archives and lists of Places365: names, checksums, counts; what sources are."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from threading import Event

from places.console import printable
from places.data.packing.compressed import unpacking_of
from places.data.shards.tar_members import hash_file
from places.errors import DataError
from places.files import open_regular, read_json

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

UNPACKED = re.compile(r"(data|val|test)_(256|large)(_standard|_challenge)?")
"""The folder at the top of an official archive."""

SPLIT_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What people call the splits, in small letters."""

_MAX_SIDECAR_BYTES = 1 << 16
_MD5_DIGITS = 32


@dataclass(frozen=True)
class PackSource:
    """A tar or a folder with pictures of one split."""

    path: Path
    split: str  # "train", "val" or "test"
    variant: str = "folder"  # "standard" or "challenge" for official archives
    size: str = "original"  # "256" or "large" for official pictures
    md5: str | None = None  # that a tar must have; None where none is known
    num_images: int | None = None  # that must be inside; None where it is not known
    synthetic: bool = False  # whether `places sample` drew the pictures


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
        if path in lists:
            os.close(open_regular(path))
        else:
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
    if path.is_file() and (unpacking := unpacking_of(str(path))):
        tar, command = map(printable, unpacking)
        raise DataError(
            f"{path} is compressed", f"unpack:  {command}", f"then:    places pack {quote(tar)}"
        )
    if path.is_file() and path.suffix != ".tar":
        raise DataError(
            f"{path} is nothing that can be packed",
            "takes:  official archives and their lists, other tars, folders with one subfolder "
            "for each category",
        )
    if path.name in ARCHIVES:
        return _official(path, split)
    unpacked = UNPACKED.fullmatch(path.resolve().name)
    if unpacked and path.is_dir():
        return PackSource(path, split or unpacked[1].replace("data", "train"), size=unpacked[2])
    if split is None:
        inside = _splits_in(path)
        raise DataError(
            f"the split of {path} is not known",
            *(
                [f"it has folders of:  {', '.join(inside)}; name one for each call"]
                if inside
                else []
            ),
            "add `split` train, `split` val or `split` test",
        )
    return PackSource(path, split)


def _splits_in(path: Path) -> list[str]:
    """Return the splits of which a folder has folders."""
    if not path.is_dir():
        return []
    names = (entry.name.lower() for entry in path.iterdir() if entry.is_dir())
    return sorted({SPLIT_WORDS[name] for name in names if name in SPLIT_WORDS})


def _official(path: Path, asked: str | None) -> PackSource:
    split, size = path.name.removesuffix(".tar").split("_")[:2]
    drawn = synthetic_md5(path)
    if asked not in (None, split):
        raise DataError(
            f"{path.name} holds the split {split!r}, but `split` is {asked!r}",
            "leave `split` out: it is for folders and for tars without an official name",
        )
    variant = "challenge" if "challenge" in path.name else "standard"
    if drawn:
        return PackSource(path, split, variant, size, drawn, synthetic=True)
    return PackSource(path, split, variant, size, ARCHIVES[path.name], NUM_IMAGES[split, variant])


def synthetic_md5(path: Path) -> str | None:
    """Return the MD5 of a drawn archive from the `<archive>.json` beside it, if there is one.

    Raises:
        DataError: The file beside it does not say what it should.
    """
    sidecar = path.with_name(f"{path.name}.json")
    if not sidecar.is_file():
        return None
    try:
        fields = read_json(sidecar, _MAX_SIDECAR_BYTES)
        md5, is_drawn = fields["md5"], fields["synthetic"] is True
        if not isinstance(md5, str) or len(md5) > _MD5_DIGITS:
            raise ValueError(f"its md5 has no {_MD5_DIGITS} digits")
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}, {error}"
        raise DataError(f"damaged {sidecar}: {reason}", "remove it, or draw again") from error
    return md5 if is_drawn else None


def check_md5(path: Path, expected: str, stop: Event | None = None) -> None:
    """Compare the MD5 of a file with the published one, unless another thread sets `stop`.

    Raises:
        DataError: They differ, or the file was not read to its end.
    """
    digest = hashlib.md5(usedforsecurity=False)
    hash_file(path, digest, stop or Event())
    if digest.hexdigest() != expected:
        raise DataError(
            f"{path} is not the file of that name: its MD5 is wrong",
            f"found:      {digest.hexdigest()}",
            f"published:  {expected}",
            "get it again, or add `no_md5` to pack it as it is",
        )


@contextmanager
def md5_check(expected: Mapping[Path, str]) -> Iterator[Future[None]]:
    """Compare the MD5 of files in a thread beside the block; it ends with the block.

    Yields:
        The result, to be asked for inside of the block: it raises the error of `check_md5`.
    """
    stop = Event()

    def check() -> None:
        for path, md5 in expected.items():
            check_md5(path, md5, stop)  # if stopped, nobody asks any more

    with ThreadPoolExecutor(1) as hasher:
        try:
            yield hasher.submit(check)
        finally:
            stop.set()
