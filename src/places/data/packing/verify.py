"""`places verify`: shards against their manifest and index, down to every JPEG."""

from pathlib import Path
from typing import Literal

from places.console import FirstFew
from places.data.packing.indexing import index_shards
from places.data.packing.shard_checks import check_split
from places.data.shards.manifest import index_path, load_manifest, manifest_path
from places.errors import DataError

Split = Literal["train", "val", "test"]
_SPLITS: tuple[Split, ...] = ("train", "val", "test")


def verify(
    root: Path,
    split: Split | None = None,
    decode: bool = False,
    index: bool = False,
) -> int:
    """Check shards against their manifest.

    Compares counts, sizes and checksums of shards and index, the categories with the official ones,
    and looks at the tar header, the label and the header of every JPEG. The pictures of a shard
    with a wrong checksum are decoded to find the bad ones. Tars that no manifest names are found,
    too. Prints a line for each split, and names what is bad.

    Args:
        root: The folder with the shards.
        split: The split to check; null checks all.
        decode: Decode every picture; what a decoder only warns about counts as damage.
        index: First write the manifest and index of splits that have none, for WebDataset shards
            from elsewhere.

    Returns:
        The exit status: 0 if all is well, 1 if not.

    Raises:
        DataError: There is no manifest.
    """
    splits = [split] if split else [name for name in _SPLITS if _is_there(root, name)]
    has_manifest = any(manifest_path(root, name).exists() for name in splits)
    if not splits or not (split or index or has_manifest):
        raise DataError(
            f"no shards with a manifest in {root}",
            f"make them:       places pack ARCHIVE --root {root}",
            f"from elsewhere:  places verify {root} --index",
        )
    status = 0
    for name in splits:
        paths = manifest_path(root, name), index_path(root, name)
        if index and not all(path.exists() for path in paths):
            index_shards(root, name)
        if split and not paths[0].exists():
            load_manifest(root, name)  # says what is missing
        problems, summary = _problems(root, name, decode)
        print(f"{name}: {summary}{_verdict(problems)}")
        status = status or int(problems.count > 0)
    return status


def _problems(root: Path, split: str, decode: bool) -> tuple[FirstFew, str]:
    try:
        manifest = load_manifest(root, split)
    except DataError as error:
        problems = FirstFew()
        problems.add("\n  ".join([error.message, *error.hint]))
        return problems, ""
    return check_split(manifest, decode), f"{manifest.summary}, "


def _verdict(problems: FirstFew) -> str:
    if not problems.count:
        return "all is well"
    lines = [f"problems: {problems.count:,}", *problems.shown, problems.more]
    return "\n  ".join(filter(None, lines))


def _is_there(root: Path, split: str) -> bool:
    return manifest_path(root, split).exists() or any(root.glob(f"{split}-*.tar"))
