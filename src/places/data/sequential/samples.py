"""The pictures in shards, one after the other, as webdataset's reader gives them."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from tarfile import TarError
from typing import Any, NamedTuple

import webdataset
from webdataset.tariterators import group_by_keys, tar_file_expander

from places.console import counted, first_few
from places.data.packing.labels import read_label
from places.data.sequential.shards import SequentialShard
from places.data.shards.index import NO_LABEL
from places.data.shards.picture_formats import SUFFIXES
from places.data.shards.tar_reader import MAX_SHOWN, shown
from places.errors import DataError
from places.files import storage_error

_KINDS = {suffix.decode() for suffix in SUFFIXES}
_READ = {*_KINDS, "cls"}  # endings of the members that are taken into the memory
_MAX_MEMBERS = 64  # of a sample: webdataset keeps them all

Stream = dict[str, Any]  # what webdataset hands from stage to stage


class Picture(NamedTuple):
    """A picture as it is stored."""

    number: int  # in the split, to tell it from others
    key: str
    place: str  # of its shard, as it may be shown
    data: bytes
    label: int  # -1 without one
    label_fault: str = ""  # why its label cannot be read


def pictures_of(
    shards: Sequence[SequentialShard], *, is_shared: bool = False, buffer: int = 0, seed: int = 0
) -> Generator[Picture, None, None]:
    """Yield the pictures of some shards.

    Args:
        shards: The shards, in the order of reading.
        is_shared: Let the processes of the run and their workers share them, as webdataset's
            `split_by_node` and `split_by_worker` do: each takes every so many of them.
        buffer: How many pictures are held, of which the next is drawn; 0 keeps the order.
        seed: Of these draws.

    Raises:
        DataError: A shard is damaged, or holds another number of pictures than it should.
        StorageError: It cannot be read.
    """
    by_place = {shard.place: shard for shard in shards}
    share = [webdataset.split_by_node, webdataset.split_by_worker] if is_shared else []
    # What `webdataset.WebDataset` is made of, but for the stage that opens the shards.
    files = ExitStack()
    pipeline = webdataset.DataPipeline(
        # A list: in one text it would look for braces, `::` and variables of the environment.
        webdataset.SimpleShardList([shard.place for shard in shards]),
        *share,
        lambda source: _opened(source, by_place, files),
        _grouped,
        lambda source: _checked(source, by_place),
        *([webdataset.shuffle(buffer, seed=seed)] if buffer else []),
    )
    with files:
        yield from pipeline


def _opened(
    source: Iterable[Stream], by_place: dict[str, SequentialShard], files: ExitStack
) -> Iterator[Stream]:
    for item in source:
        with files:
            tar = files.enter_context(by_place[item["url"]].opened())
            yield {**item, "stream": tar, "shown": by_place[item["url"]].shown}
            tar.finish()


def _grouped(source: Iterable[Stream]) -> Iterator[Stream]:
    """Let webdataset read tars and make samples of their members."""
    place = "a shard"

    def told() -> Iterator[Stream]:
        nonlocal place
        for item in source:
            place = item["shown"]
            yield item

    try:
        yield from group_by_keys(tar_file_expander(told(), select_files=_Selected()))
    except OSError as error:
        raise storage_error(f"cannot read {place}", error) from error
    except (TarError, ValueError) as error:
        reason = _shown(str(error.args[0] if error.args else error))
        name, is_twin, _ = reason.partition(": duplicate file name")
        if is_twin:
            raise DataError(
                f"{place} has a second {name} in one sample, which WebDataset refuses",
                "are there two files of one name, or of names that differ in capitals? rename one",
            ) from error
        raise DataError(
            f"{place} cannot be read: {reason}", "is it whole?  get it again"
        ) from error


class _Selected:
    """Tells webdataset which members to take into the memory."""

    def __init__(self) -> None:
        self._key = ""
        self._num_members = 0

    def __call__(self, name: str) -> bool:
        folder, slash, base = name.rpartition("/")
        start, _, suffix = base.partition(".")
        key = f"{folder}{slash}{start}"
        if not start or suffix.rpartition(".")[2].lower() not in _READ:
            return False  # hidden files, such as the ._0001.jpg of macOS, are in no sample
        self._num_members = self._num_members + 1 if key == self._key else 1
        self._key = key
        if self._num_members > _MAX_MEMBERS:
            raise DataError(
                f"more than {_MAX_MEMBERS} members have the key {_shown(key)!r}",
                "WebDataset ends the key at the first dot, and makes one sample of equal keys",
            )
        return True


def _checked(source: Iterable[Stream], by_place: dict[str, SequentialShard]) -> Iterator[Picture]:
    """Make pictures of samples, and compare their number in each shard with what is known."""
    place, count = "", 0
    for sample in source:
        if sample["__url__"] != place:
            _check_count(by_place.get(place), count)
            place, count = sample["__url__"], 0
        shard = by_place[place]
        found = _picture_in(sample, shard)
        if found is not None:
            yield _described(sample, shard, shard.first + count, found)
            count += 1
    _check_count(by_place.get(place), count)


def _check_count(shard: SequentialShard | None, count: int) -> None:
    if shard is not None and shard.num_samples not in (None, count):
        raise DataError(
            f"{shard.shown} has {counted(count, 'picture')}, "
            f"but {shard.num_samples:,} are said to be in it",
            "write what says so anew, from the shards:  places index SHARDS --root ROOT",
        )


def _picture_in(sample: Stream, shard: SequentialShard) -> bytes | None:
    """Return the picture of a sample, none if it has none.

    Raises:
        DataError: It has several.
    """
    suffixes = [suffix for suffix in sample if not suffix.startswith("__")]
    exact = [suffix for suffix in suffixes if suffix in _KINDS]
    found = exact or [suffix for suffix in suffixes if suffix.rpartition(".")[2] in _KINDS]
    if len(found) > 1:
        raise DataError(
            f"sample {_shown(sample['__key__'])!r} in {shard.shown} must have one picture",
            f"found:  {first_few(map(_shown, found), 8)}",
            # With `0.cls` or `0.jpg` among them these are parts of a sample, no keys with dots.
            "which is meant? write the tar without the others"
            if exact or "cls" in suffixes
            else "WebDataset ends the key at the first dot, and makes one sample of equal keys",
        )
    picture: bytes | None = sample[found[0]] if found else None
    return picture


def _described(sample: Stream, shard: SequentialShard, number: int, data: bytes) -> Picture:
    # As the index has it, whatever the bytes of the name.
    name = sample["__key__"].encode("utf-8", "surrogateescape")
    key = name.decode("utf-8", "backslashreplace")
    text = sample.get("cls")
    if text is None:
        return Picture(number, key, shard.shown, data, NO_LABEL)
    label = read_label(text)
    if label is None:
        fault = f"its .cls is {text.strip()[:20]!r}, no category"
        return Picture(number, key, shard.shown, data, NO_LABEL, fault)
    return Picture(number, key, shard.shown, data, label)


def _shown(text: str) -> str:
    return shown(text.encode("utf-8", "surrogateescape"))[:MAX_SHOWN]
