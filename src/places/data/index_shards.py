"""`places index`: manifest and index beside WebDataset shards that others made, without a copy."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from places.console import Counter, counted, first_few, printable, progress, put
from places.data.packing.indexing import (
    Scanned,
    check_names,
    describe_shards,
    index_sha256,
    save_index,
)
from places.data.packing.official import PackSource
from places.data.packing.timm_info import write_info
from places.data.remote.download import fetch_file
from places.data.remote.listed import save_urls
from places.data.remote.urls import open_url
from places.data.shard_words import Place, places_of, split_told_by
from places.data.shards.fields import is_shard_name
from places.data.shards.manifest import Manifest, index_path, load_manifest, manifest_path
from places.data.shards.picture_formats import in_order
from places.errors import ConfigError, DataError, StorageError
from places.files import storage_error

Split = Literal["train", "val", "test"]


def index(
    shards: list[str],
    root: Path | None = None,
    split: Split | None = None,
    label_key: str | None = None,
    skip_shards: bool = False,
    force: bool = False,
) -> int:
    """Write manifest and index for WebDataset shards that others made; nothing is copied.

    A sample is what WebDataset makes of it: members one after the other with the same name up to
    its first dot. It needs one picture, .jpg .jpeg .png .webp or .ppm in any case, and a label
    unless none has one: .cls with the number or the name of the category, or a key of .json. What
    is in no sample is left out, and told. Each shard is read once from its first byte to its last.

    Shards that lie elsewhere or have other names get links in ROOT. Those behind URLs are fetched
    one by one and not kept: ROOT holds where they are, and runs read them through their cache.

    Args:
        shards: Tars, patterns such as "shard-{000..012}.tar", folders of tars, or URLs.
        root: The folder for manifest and index; null takes the folder of the shards.
        split: The split that they are; null takes the one that their names tell.
        label_key: The key of .json that holds the label, with dots for one inside another; null
            reads .cls.
        skip_shards: Leave out shards that cannot be indexed, after naming each.
        force: Replace the manifest and index of other data of the same split in ROOT.

    Returns:
        The exit status: 0, or 1 if shards were left out.

    Raises:
        DataError: A shard cannot be indexed, or ROOT holds other data.
        ConfigError: What was given is not clear.
        StorageError: A disk or a server refuses.
    """
    places = places_of(shards, split)
    name = split or _split_of(places)
    root = root or _root_of(places)
    names = _names(root, name, places)
    check_names(names, name)
    is_new = not root.exists()
    try:
        root.mkdir(parents=True, exist_ok=True)
        kept, scanned, num_bad = _scan(root, name, places, names, label_key)
        if num_bad and not (skip_shards and kept):
            raise DataError(
                f"{num_bad:,} of {counted(len(places), 'shard')} cannot be indexed, as said above; "
                "nothing was written",
                *(["leave them out:  add `skip_shards`"] if kept else []),
            )
        scanned.check(name)
        manifest = _write(root, name, kept, scanned, force)
    except OSError as error:
        raise storage_error(f"cannot write to {error.filename or root}", error) from error
    finally:
        if is_new:
            with suppress(OSError):  # only an empty folder can be removed
                root.rmdir()
    labels = "labelled" if manifest.labelled else "without labels"
    put(f"{name}: indexed, {manifest.summary}, {labels}, in {root}")
    return 1 if num_bad else 0


def _split_of(places: Sequence[Place]) -> str:
    told = {split_told_by(place.name) for place in places}
    if len(told) == 1 and (name := told.pop()):
        return name
    raise ConfigError(
        f"the names of the shards do not tell their split: {first_few(p.name for p in places)}",
        "add:  `split` train, `split` val or `split` test",
    )


def _root_of(places: Sequence[Place]) -> Path:
    folders = {place.path.parent for place in places if not place.is_remote}
    if len(folders) == 1:
        return folders.pop()
    raise ConfigError(
        "the shards lie behind URLs or in several folders",
        "name a folder for manifest and index:  `root` FOLDER",
    )


def _names(root: Path, split: str, places: Sequence[Place]) -> list[str]:
    """Return what the manifest calls the shards: their own names where these can be."""
    own = [place.name for place in places]
    if len({*own}) == len(own) and all(is_shard_name(name, split) for name in own):
        return own
    is_here = [_is_in(root, place) and is_shard_name(place.name, split) for place in places]
    taken = {name for name, here in zip(own, is_here, strict=True) if here}
    numbers = (number for number in range(1 << 20) if f"{split}-{number:06d}.tar" not in taken)
    return [
        name if here else f"{split}-{next(numbers):06d}.tar"
        for name, here in zip(own, is_here, strict=True)
    ]


def _is_in(root: Path, place: Place) -> bool:
    return not place.is_remote and place.path.parent.resolve() == root.resolve()


def _scan(
    root: Path, split: str, places: Sequence[Place], names: Sequence[str], label_key: str | None
) -> tuple[dict[str, Place], Scanned, int]:
    """Read all shards; return those that can be indexed by name, and how many cannot."""
    scanned, kept, num_bad = Scanned(), dict[str, Place](), 0
    scanned.found.label_key = label_key
    sizes = (place.path.stat().st_size for place in places if not place.is_remote)
    with progress(f"index {split}", sum(sizes)) as counter:
        for place, name in zip(places, names, strict=True):
            try:
                with _at_hand(root, place, counter) as path:
                    scanned.add(path, name, counter.advance)
            except StorageError:
                raise
            except DataError as error:
                if len(places) == 1:
                    raise
                num_bad += 1
                put("\n  ".join(map(printable, _told(place, error))))
            else:
                kept[name] = place
    return kept, scanned, num_bad


def _told(place: Place, error: DataError) -> list[str]:
    """Return the lines that name a shard that cannot be indexed."""
    message = error.message
    return [message if str(place) in message else f"{place}: {message}", *error.hint]


@contextmanager
def _at_hand(root: Path, place: Place, counter: Counter) -> Iterator[Path]:
    """Give a shard as a file: itself, or what is fetched for the time of the block."""
    if not place.is_remote:
        yield place.path
        return
    folder = root / ".index-fetch"
    path = folder / "shard.tar"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        fetch_file(open_url(place.text, "the URL"), path, follow=_following(counter))
        try:
            yield path
        except StorageError:
            raise
        except DataError as error:
            lines = (x.replace(str(path), str(place)) for x in (error.message, *error.hint))
            raise DataError(*lines) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _following(counter: Counter) -> Callable[[int, int | None], None]:
    known_bytes = 0

    def follow(position: int, size_bytes: int | None) -> None:
        nonlocal known_bytes
        if size_bytes and size_bytes != known_bytes:  # it is read once more from here
            counter.expect(size_bytes - known_bytes)
            known_bytes = size_bytes

    return follow


def _write(
    root: Path, split: str, kept: dict[str, Place], scanned: Scanned, force: bool
) -> Manifest:
    """Write links, index and manifest; what is there already stays if it is the same."""
    known = _known(root, split, force)
    sha256 = index_sha256(scanned.index)
    found = (*scanned.shards,), sha256, in_order(scanned.found.formats)
    is_same = known and (known.shards, known.index_sha256, known.formats) == found
    if known and not is_same and not force:
        raise _other_data(root, split, known.summary)
    if known and not is_same:
        _remove_links(root, [shard.name for shard in known.shards if shard.name not in kept])
    _link(root, kept, force)
    save_urls(root, split, {name: place.text for name, place in kept.items() if place.is_remote})
    if known and is_same:  # with what `pack` wrote of its sources
        save_index(index_path(root, split), scanned.index, known.index_sha256)
        manifest = known
    else:
        source, formats = PackSource(root, split), scanned.found.formats
        manifest = describe_shards(root, source, scanned.shards, scanned.index, formats=formats)
    write_info(root)
    others = first_few(
        path.name for path in sorted(root.glob(f"{split}-*.tar")) if path.name not in kept
    )
    if others.count:
        put(f"{split}: not in the index, but readers of {split}-*.tar take them: {others}")
    return manifest


def _known(root: Path, split: str, force: bool) -> Manifest | None:
    """Return the manifest in place; none if there is none, or if any is to be replaced."""
    if not manifest_path(root, split).exists():
        return None
    try:
        return load_manifest(root, split)
    except StorageError:
        raise
    except DataError as error:
        if force:
            return None
        raise _other_data(root, split, error.message) from error


def _other_data(root: Path, split: str, found: str) -> DataError:
    return DataError(
        f"{root} holds other data for split {split!r}",
        f"found:       {found}",
        "replace it:  add `force`",
        "keep it:     choose another `root`",
    )


def _link(root: Path, kept: dict[str, Place], force: bool) -> None:
    """Give shards that lie elsewhere, or have other names, their names in the folder."""
    for name, place in kept.items():
        path = root / name
        if place.is_remote or os.path.realpath(path) == os.path.realpath(place.path):
            continue
        if os.path.lexists(path) and not (force and path.is_symlink()):
            raise DataError(
                f"{path} is there, and no link to {place}",
                "remove it, or choose another `root`",
            )
        if path.is_symlink():
            path.unlink()
        target = place.path.resolve()
        inside = root.resolve()
        # Links inside of the folder move with it.
        path.symlink_to(target.relative_to(inside) if target.is_relative_to(inside) else target)


def _remove_links(root: Path, names: Sequence[str]) -> None:
    """Remove links that an earlier index made; files stay."""
    for path in (root / name for name in names):
        if path.is_symlink():
            path.unlink()
