"""`places pack`: archives or labelled folders into WebDataset shards with manifest and index."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from places.categories import load_categories
from places.console import Counter, progress
from places.data.packing.indexing import save_index
from places.data.packing.labels import check_count, settle_labels
from places.data.packing.listing import Pictures, collect, files_of, listing_sha256, sort_by_key
from places.data.packing.official import PackSource, md5_check, sources_of
from places.data.packing.staging import install, is_packed, resume, staging_folder, sync_files
from places.data.packing.writer import Layout, lay_out, write_shards
from places.data.shards.manifest import (
    NO_LABEL,
    Manifest,
    Shard,
    index_path,
    load_manifest,
    save_manifest,
)
from places.data.shards.tar_members import Member, members_of
from places.errors import ConfigError, DataError
from places.hashing import shuffled

_BYTES_PER_MB = 1 << 20


@dataclass(frozen=True)
class _Job:
    """One split to be packed; the fields are the arguments of `pack`."""

    split: str
    sources: list[PackSource]
    lists: list[Path]
    root: Path
    md5: bool
    seed: int
    shard_size_mb: int
    limit: int | None
    skip_other_files: bool
    force: bool


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
) -> int:
    """Pack archives or labelled folders into WebDataset shards.

    Each official archive becomes its own split. The val archive needs the official list, as a
    source or beside it. The JPEG bytes stay untouched. The train split is shuffled by the seed, the
    others stay in the order of their names. Packing may be killed at any moment and run again.
    Memory: for each picture 90 bytes and twice the length of its file name, and 25 MB, whatever the
    size of the shards.

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

    Returns:
        The exit status: 0.

    Raises:
        DataError: Something is wrong with a source, or the folder holds something else.
    """
    if shard_size_mb < 1 or (limit is not None and limit < 1):
        raise ConfigError("`shard_size_mb` and `limit` must be at least 1")
    by_split, lists = sources_of(source, split)
    for name, sources in by_split.items():
        order_seed = seed if name == "train" else 0  # the others are not shuffled
        job = _Job(
            name,
            sources,
            lists,
            root,
            md5,
            order_seed,
            shard_size_mb,
            limit,
            skip_other_files,
            force,
        )
        try:
            with staging_folder(root, name) as folder:
                print(_pack_split(job, folder))
        except OSError as error:
            raise DataError(f"packing {name!r} failed: {error}") from error
    return 0


def _pack_split(job: _Job, folder: Path) -> str:
    packed_from = _packed_from(job)
    is_known = all(source.md5 for source in job.sources)  # without reading it
    if is_known and _is_done(job, folder, packed_from):
        return _report(job, "already packed")
    scan_bytes = sum(s.path.stat().st_size for s in job.sources if s.path.is_file())
    expected = {source.path: source.md5 for source in job.sources if job.md5 and source.md5}
    with md5_check(expected) as checked, progress(job.split, scan_bytes) as counter:
        pictures = _list_pictures(job, counter)
        if not is_known:
            packed_from["listing_sha256"] = listing_sha256(pictures)
            if _is_done(job, folder, packed_from):
                return _report(job, "already packed")
        layout = lay_out(pictures, job.shard_size_mb * _BYTES_PER_MB)
        _check_space(job.root, layout)
        counter.expect(sum(layout.sizes_bytes))
        paths = [folder / f"{job.split}-{i:06d}.tar" for i in range(len(layout.sizes_bytes))]

        def advance(num_bytes: int) -> None:
            if checked.done():
                checked.result()  # stops the writing once the archive is known to be wrong
            counter.advance(num_bytes)

        shards, no_jpegs = write_shards(pictures, layout, paths, advance)
        checked.result()
    if no_jpegs.count:
        raise DataError(
            f"{no_jpegs.count:,} files have the name of a JPEG file, but other content",
            f"found:  {no_jpegs}",
            f"in:     {', '.join(str(source.path) for source in job.sources)}",
        )
    index_sha256 = save_index(index_path(folder, job.split), layout.index)
    sync_files(folder)
    save_manifest(_manifest(job, folder, layout, shards, index_sha256), packed_from=packed_from)
    install(folder, job.root, job.split)
    return _report(job, "packed") + _left_out(pictures)


def _list_pictures(job: _Job, counter: Counter) -> Pictures:
    """List the pictures of all sources in their final order."""

    def read(source: PackSource) -> Iterator[Member]:
        if source.path.is_dir():
            return files_of(source.path)
        return members_of(source.path, advance=counter.advance)

    pictures = collect(job.sources, read)
    if pictures.other_images.count and not job.skip_other_files:
        raise DataError(
            f"{pictures.other_images.count:,} pictures are no JPEG files; they are not converted",
            f"found:         {pictures.other_images}",
            "convert them, or leave them out:  add `skip_other_files`",
        )
    check_count(pictures)
    settle_labels(pictures, job.lists, job.md5)
    order = sort_by_key(pictures)
    if job.split == "train":
        order = order[shuffled(len(order), job.seed)]
    pictures.rows = pictures.rows[order[: job.limit]]
    return pictures


def _packed_from(job: _Job) -> dict[str, Any]:
    """Return what decides whether a later run would write the same."""
    sources = [
        {
            "name": source.path.resolve().name,
            "size_bytes": source.path.stat().st_size if source.path.is_file() else None,
            "md5": source.md5,
        }
        for source in job.sources
    ]
    settings = {"seed": job.seed, "shard_size_mb": job.shard_size_mb, "limit": job.limit}
    return {"sources": sources, **settings, "md5_checked": job.md5, "listing_sha256": None}


def _is_done(job: _Job, folder: Path, packed_from: Mapping[str, Any]) -> bool:
    if resume(folder, job.root, job.split, packed_from):
        return True
    return is_packed(job.root, job.split, packed_from, job.force)


def _check_space(root: Path, layout: Layout) -> None:
    needed_bytes = sum(layout.sizes_bytes) + layout.index.nbytes + _BYTES_PER_MB
    free_bytes = shutil.disk_usage(root).free
    if needed_bytes > free_bytes:
        raise DataError(
            f"too little space in {root}: {needed_bytes / 1e9:,.2f} GB needed, "
            f"{free_bytes / 1e9:,.2f} GB free"
        )


def _manifest(
    job: _Job, folder: Path, layout: Layout, shards: Sequence[Shard], index_sha256: str
) -> Manifest:
    source = job.sources[0]
    return Manifest(
        root=folder,
        split=job.split,
        variant=source.variant,
        size=source.size,
        synthetic=any(source.synthetic for source in job.sources),
        seed=job.seed,
        categories=load_categories(),
        labelled=bool((layout.index["label"] != NO_LABEL).all()),
        shards=tuple(shards),
        index_sha256=index_sha256,
    )


def _report(job: _Job, done: str) -> str:
    manifest = load_manifest(job.root, job.split)
    size_mb = sum(shard.size_bytes for shard in manifest.shards) / 1e6
    size = f"{size_mb / 1e3:,.1f} GB" if size_mb >= 1e3 else f"{size_mb:,.1f} MB"
    drawn = ", drawn by places sample" if manifest.synthetic else ""
    return f"{job.split}: {done}, {manifest.summary}, {size}, in {job.root}{drawn}"


def _left_out(pictures: Pictures) -> str:
    others, no_pictures = pictures.other_images, pictures.other_files
    kinds = {"other formats than JPEG": others, "no pictures, or hidden": no_pictures}
    lines = [f"left out ({kind}): {files}" for kind, files in kinds.items() if files.count]
    return "".join(f"\n  {line}" for line in lines)
