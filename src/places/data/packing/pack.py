"""`places pack`: archives or labelled folders into WebDataset shards with manifest and index."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from places.config.ranges import check_range
from places.console import Counter, FirstFew, counted, progress, put
from places.data.packing.conversion import Conversion, conversion_of
from places.data.packing.converted import estimated_bytes, write_converted
from places.data.packing.indexing import describe_shards
from places.data.packing.labels import settle_labels
from places.data.packing.listing import Pictures, collect, files_of, listing_sha256, sort_by_key
from places.data.packing.official import PackSource, md5_check, sources_of
from places.data.packing.staging import install, is_packed, staging_folder, sync_files
from places.data.packing.timm_info import write_info
from places.data.packing.writer import Written, lay_out, write_shards
from places.data.shards.manifest import load_manifest
from places.data.shards.tar_members import members_of
from places.data.shards.tar_reader import Member
from places.errors import ConfigError, DataError
from places.files import storage_error
from places.hashing import shuffled

_BYTES_PER_MB = 1 << 20
_MAX_NUMBER = (1 << 40) - 1  # as bytes it still fits into 64 bits


def pack(
    source: list[Path],
    root: Path = Path("data/places"),
    split: Literal["train", "val", "test"] | None = None,
    md5: bool = True,
    seed: int = 0,
    shard_size_mb: int = 256,
    limit: int | None = None,
    skip_other_files: bool = False,
    force: bool = False,
    pixels: str = "jpeg",
    resize_size: int | None = None,
    quality: int = 95,
) -> int:
    """Pack archives or labelled folders into WebDataset shards.

    Each official archive becomes its own split. The val archive needs the official list, as a
    source or beside it. The JPEG bytes stay untouched unless `pixels` or
    `resize_size` ask for others. The train split is shuffled by the seed, the
    others stay in the order of their names. Packing may be killed at any moment and run again.
    Memory: for each picture 90 bytes and twice the length of its file name, and 25 MB, whatever the
    size of the shards; for each member of a tar with links 300 bytes more; where pictures
    are converted, up to five at once for each processor. All members of the sources are packed, or
    left out by name and number.

    Args:
        source: Official archives and lists, other tars, or folders with one subfolder per category.
        root: The folder for shards, manifests and indexes.
        split: The split of folders and of tars without an official name.
        md5: Compare the MD5 of official archives with the published one.
        seed: Seed of the order of the train split.
        shard_size_mb: Largest size of a shard in MiB.
        limit: Pack only this many pictures, the first in the final order; null packs all.
        skip_other_files: Leave out pictures that are not JPEG files.
        force: Replace other data of the same split in the same folder.
        pixels: "jpeg" keeps the bytes of the JPEGs. "raw" decodes each once, as evaluation does,
            into a PPM: the loader needs no decoder and reads only the rows of a crop, for about 13
            times the space. "mixed:0.5" does so with that part of the pictures, chosen by the seed.
        resize_size: Shrink pictures to this short side, in pixels, as evaluation resizes; smaller
            ones stay as they are. Null keeps all sizes.
        quality: Of the JPEGs of pictures that were shrunk, 1 to 100.

    Returns:
        The exit status: 0.

    Raises:
        DataError: Something is wrong with a source, or the folder holds something else.
    """
    check_range("`shard_size_mb`", shard_size_mb, 1)
    check_range("`limit`", limit, 1)
    if max(shard_size_mb, limit or 0, abs(seed)) > _MAX_NUMBER:
        raise ConfigError(f"`shard_size_mb`, `limit` and `seed` must be at most {_MAX_NUMBER}")
    conversion = conversion_of(pixels, resize_size, quality)
    by_split, lists = sources_of(source, split)
    for name, sources in by_split.items():
        try:
            # What decides whether a later run would write the same; it is kept in the manifest.
            packed_from = {
                "sources": [_source_fields(source) for source in sources],
                "seed": seed if name == "train" else 0,  # the others are not shuffled
                "shard_size_mb": shard_size_mb,
                "limit": limit,
                "md5_checked": md5,
                "listing_sha256": None,
                **(conversion.fields if conversion else {}),
            }
            options = _Options(skip_other_files, force, conversion)
            with staging_folder(root, name) as folder:
                put(_pack_split(folder, sources, lists, packed_from, options))
                write_info(root)
        except OSError as error:
            raise storage_error(f"packing {name!r} failed", error) from error
    return 0


def _pack_split(
    folder: Path,
    sources: list[PackSource],
    lists: list[Path],
    packed_from: dict[str, Any],
    options: "_Options",
) -> str:
    root, split = folder.parent, sources[0].split
    is_known = all(source.md5 for source in sources)  # without reading it
    if is_known and is_packed(folder, split, packed_from, options.force):
        return _report(root, split, "already packed")
    expected = {s.path: s.md5 for s in sources if packed_from["md5_checked"] and s.md5}
    scan_bytes = sum(s.path.stat().st_size for s in sources if s.path.is_file())
    with md5_check(expected) as checked, progress(split, scan_bytes) as counter:
        pictures = _list_pictures(sources, options.skip_other_files, counter.advance)
        settle_labels(pictures, lists, packed_from["md5_checked"])
        num_cut = _put_in_order(pictures, packed_from["seed"], packed_from["limit"])
        if not is_known:
            packed_from["listing_sha256"] = listing_sha256(pictures)
            if is_packed(folder, split, packed_from, options.force):
                return _report(root, split, "already packed")

        def advance(num_bytes: int) -> None:
            if checked.done():
                checked.result()  # stops the writing once the archive is known to be wrong
            counter.advance(num_bytes)

        written = _write(folder, pictures, packed_from, options.conversion, counter, advance)
        checked.result()
    if written.no_jpegs.count:
        raise _other_content(written.no_jpegs, sources)
    sync_files(folder)
    describe_shards(folder, sources[0], written.shards, written.index, packed_from, written.formats)
    install(folder, split)
    return _report(root, split, "packed") + _left_out(pictures, num_cut) + _converted(written)


class _Options(NamedTuple):
    """What no manifest keeps, and what becomes of the pictures."""

    skip_other_files: bool
    force: bool
    conversion: Conversion | None


def _write(
    folder: Path,
    pictures: Pictures,
    packed_from: dict[str, Any],
    conversion: Conversion | None,
    counter: Counter,
    advance: Callable[[int], None],
) -> Written:
    split, seed = pictures.sources[0].split, packed_from["seed"]
    shard_size_bytes = packed_from["shard_size_mb"] * _BYTES_PER_MB

    def path_of(number: int) -> Path:
        return folder / f"{split}-{number:06d}.tar"

    if conversion:
        _check_space(folder.parent, estimated_bytes(pictures, conversion, seed), "about ")
        counter.expect(int(pictures.rows["size_bytes"].sum(dtype=np.int64)))
        return write_converted(pictures, conversion, seed, path_of, shard_size_bytes, advance)
    layout = lay_out(pictures, shard_size_bytes)
    _check_space(folder.parent, sum(layout.sizes_bytes) + layout.index.nbytes + _BYTES_PER_MB)
    counter.expect(sum(layout.sizes_bytes))
    paths = [path_of(number) for number in range(len(layout.sizes_bytes))]
    shards, no_jpegs = write_shards(pictures, layout, paths, advance)
    return Written(layout.index, shards, no_jpegs)


def _source_fields(source: PackSource) -> dict[str, Any]:
    size_bytes = source.path.stat().st_size if source.path.is_file() else None
    return {"name": source.path.resolve().name, "size_bytes": size_bytes, "md5": source.md5}


def _list_pictures(
    sources: list[PackSource], skip_other_files: bool, advance: Callable[[int], None]
) -> Pictures:
    def read(source: PackSource) -> Iterator[Member]:
        if source.path.is_dir():
            return files_of(source.path)
        return members_of(source.path, advance=advance)

    pictures = collect(sources, read)
    if pictures.other_images.count and not skip_other_files:
        raise DataError(
            f"{counted(pictures.other_images.count, 'picture')} of other formats than JPEG; "
            "nothing is converted",
            f"found:         {pictures.other_images}",
            "convert them, or leave them out:  add `skip_other_files`",
        )
    return pictures


def _put_in_order(pictures: Pictures, seed: int, limit: int | None) -> int:
    """Put the pictures in their final order, and return how many a limit cuts off."""
    order = sort_by_key(pictures)
    if pictures.sources[0].split == "train":
        order = order[shuffled(len(order), seed)]
    pictures.rows = pictures.rows[order[:limit]]
    return len(order) - len(pictures.rows)


def _check_space(root: Path, needed_bytes: int, about: str = "") -> None:
    free_bytes = shutil.disk_usage(root).free
    if needed_bytes > free_bytes:
        raise DataError(
            f"too little space in {root}: {about}{needed_bytes / 1e9:,.2f} GB needed, "
            f"{free_bytes / 1e9:,.2f} GB free"
        )


def _other_content(no_jpegs: FirstFew, sources: list[PackSource]) -> DataError:
    return DataError(
        f"{counted(no_jpegs.count, 'file')} with the name of a JPEG file, but other content",
        f"found:  {no_jpegs}",
        f"in:     {', '.join(str(source.path) for source in sources)}",
    )


def _report(root: Path, split: str, done: str) -> str:
    manifest = load_manifest(root, split)
    size_mb = sum(shard.size_bytes for shard in manifest.shards) / 1e6
    size = f"{size_mb / 1e3:,.1f} GB" if size_mb >= 1e3 else f"{size_mb:,.1f} MB"
    drawn = ", drawn by places sample" if manifest.synthetic else ""
    return f"{split}: {done}, {manifest.summary}, {size}, in {root}{drawn}"


def _left_out(pictures: Pictures, num_cut: int) -> str:
    """Return what became of all members of the sources, which `collect` has checked."""
    kinds = {
        "other formats than JPEG": pictures.other_images,
        "no pictures, or hidden": pictures.other_files,
        "no files": pictures.no_files,
        "other splits": pictures.other_splits,
    }
    num_left_out = sum(few.count for few in kinds.values())
    counts = f"{len(pictures.rows):,} packed + {num_left_out:,} left out"
    cut = f" + {num_cut:,} beyond the limit" if num_cut else ""
    lines = (f"\n  left out ({kind}): {few}" for kind, few in kinds.items() if few.count)
    return f"; {pictures.num_members:,} members = {counts}{cut}" + "".join(lines)


def _converted(written: Written) -> str:
    """Return what else became of the pictures, if they were not all packed as they are."""
    num, lines = len(written.index), ""
    if written.num_raw:
        lines += f"\n  raw: {written.num_raw:,} of {counted(num, 'picture')}"
    if written.damaged.count:
        lines += f"\n  kept as they are (cannot be decoded): {written.damaged}"
    return lines
