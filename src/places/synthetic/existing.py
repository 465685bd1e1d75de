"""What `places sample` finds in its folder: that sample, another one, other data, or nothing."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from places import __version__
from places.data.packing.official import synthetic_md5
from places.data.shards.manifest import load_manifest, manifest_path, read_fields
from places.errors import DataError
from places.synthetic.archives import ARCHIVES, archives_in

# What is needed of the JSON beside an archive.
_KINDS = {"seed": int, "num_images": int, "made_by": str, "md5": str}


class Drawing(NamedTuple):
    """What is drawn: the seed, and how many pictures of each split."""

    seed: int
    num_train: int
    num_val: int
    num_test: int

    def __str__(self) -> str:
        """Return it as it is typed."""
        return " ".join(f"--{name} {value}" for name, value in self._asdict().items())


def check_folder(root: Path, asked: Drawing) -> bool:
    """Tell whether the wanted sample has been drawn into a folder, whole.

    Raises:
        DataError: The folder holds another sample, or data that were not drawn, or what tells of
            the sample is damaged.
    """
    if root.is_file():
        raise DataError(f"{root} is a file", "choose a folder:  --root data/sample")
    records = [_record(path) for path in archives_in(root)]
    seeds = {record["seed"] for record in records if record}
    for split, num_asked, record in zip(ARCHIVES, asked[1:], records, strict=False):
        counts = _packed_counts(root, split) | ({record["num_images"]} if record else set())
        if counts - {num_asked} or seeds - {asked.seed}:
            raise DataError(
                f"{root} holds another sample than  {asked}",
                f"found:  seed {_join(seeds)}, {_join(counts)} pictures of split {split!r}",
                f"choose another --root, or remove this one:  rm -r {root}",
            )
    return any((root / "pictures").glob("*.jpg")) and all(
        record and record["made_by"] == f"places {__version__}" and _is_whole(path, record["md5"])
        for path, record in zip(archives_in(root), records, strict=True)
    )


def is_packed_from(root: Path, archives: list[Path]) -> bool:
    """Tell whether what is packed in a folder, if anything, came from these archives."""
    for split, archive in zip(ARCHIVES, archives, strict=False):
        if manifest_path(root, split).exists():
            sources = (read_fields(root, split).get("packed_from") or {}).get("sources", [])
            if [source["md5"] for source in sources] != [synthetic_md5(archive)]:
                return False
    return True


def _record(archive: Path) -> dict[str, Any] | None:
    """Return the JSON beside an archive that was drawn."""
    if synthetic_md5(archive) is None:  # which reads the same file, and refuses what is no JSON
        return None
    sidecar = archive.with_name(f"{archive.name}.json")
    fields: dict[str, Any] = json.loads(sidecar.read_text(encoding="utf-8"))
    for name, kind in _KINDS.items():
        if type(fields.get(name)) is not kind:
            raise DataError(
                f"damaged {sidecar}: it does not tell {name}",
                f"remove it and its archive, and both are drawn again:  rm {archive}*",
            )
    return fields


def _packed_counts(root: Path, split: str) -> set[int]:
    """Return the number of pictures that are packed of a split, if any are; refuse other data."""
    is_packed = manifest_path(root, split).exists()
    manifest = load_manifest(root, split) if is_packed else None
    if manifest and manifest.synthetic:
        return {manifest.num_samples}
    if manifest or any(root.glob(f"{split}-*.tar")):
        problem = f"{root} holds data of split {split!r} that were not drawn"
        raise DataError(problem, "choose another folder:  --root FOLDER")
    return set()


def _join(numbers: set[int]) -> str:
    return " and ".join(f"{number:,}" for number in sorted(numbers)) or "unknown"


def _is_whole(archive: Path, md5: str) -> bool:
    if not archive.is_file():
        return False
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == md5
