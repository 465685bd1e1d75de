"""Files of tensors as `torch.save` writes them: looked through before anything in them is used.

PyTorch compares no checksums, and reads memory that is not its own where a tensor is said to be
larger than what is stored of it.
"""

import io
import pickle
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

_FIRST_BYTES = b"PK\x03\x04"  # by which PyTorch tells an archive
_IS_ENCRYPTED = 0x1  # a flag of a member
_DESCRIPTION = "data.pkl"  # says which tensors there are, and where
_MAX_DESCRIPTION_BYTES = 2**24  # each may become a hundred in memory
# By the names of PyTorch's classes. What has a newer type is stored as bytes, "Untyped".
_BYTES_OF = {
    **{
        "UntypedStorage": 1,
        "ByteStorage": 1,
        "CharStorage": 1,
        "BoolStorage": 1,
        "ShortStorage": 2,
    },
    **{"IntStorage": 4, "LongStorage": 8, "HalfStorage": 2, "BFloat16Storage": 2},
    **{"FloatStorage": 4, "DoubleStorage": 8, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16},
    **{"QUInt8Storage": 1, "QInt8Storage": 1, "QInt32Storage": 4},
    **{"QUInt4x2Storage": 1, "QUInt2x4Storage": 1},
}


def is_archive(path: Path) -> bool:
    """Tell whether a file of tensors is an archive, which has checksums.

    What PyTorch wrote until 2020 is none, nor is a `.safetensors` file.
    """
    with path.open("rb") as file:
        return file.read(len(_FIRST_BYTES)) == _FIRST_BYTES


def what_is_damaged(path: Path) -> str | None:
    """Return what is wrong with an archive, or `None`. Reads all of it, and runs nothing in it.

    Takes some memory for its description of the tensors, which is mostly a few kilobytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if wrong := _wrong_member(members, path.stat().st_size):
                return wrong
            if damaged := archive.testzip():
                return f"damaged at {damaged}"
            for member in members:
                if member.filename.rpartition("/")[2] != _DESCRIPTION:
                    continue
                if member.file_size > _MAX_DESCRIPTION_BYTES:
                    return f"{member.filename} is no description: {member.file_size:,} bytes"
                _Storages(archive, member.filename).load()
    except Exception as error:  # damage in the table of contents may look like anything
        return (str(error) or type(error).__name__).partition("\n")[0]
    return None


def _wrong_member(members: list[zipfile.ZipInfo], size_bytes: int) -> str | None:
    (name, number), *_ = Counter(member.filename for member in members).most_common(1) or [("", 0)]
    if number > 1:
        return f"{number} members are called {name}"
    for member in members:
        if member.flag_bits & _IS_ENCRYPTED:
            return f"{member.filename} is encrypted"
        if member.compress_type != zipfile.ZIP_STORED:
            return f"{member.filename} is compressed, as torch.save compresses nothing"
    if sum(member.file_size for member in members) > size_bytes:
        return f"its members are said to be larger than the file of {size_bytes:,} bytes"
    return None


class _Anything(dict[Any, Any]):
    """Stands for whatever a description names, takes everything and does nothing."""

    __slots__ = ()

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__()

    __hash__ = object.__hash__  # type: ignore[assignment]  # a dict has none

    def __call__(self, *arguments: object, **named: object) -> "_Anything":
        """Return itself, as what a function would have made."""
        return self

    def __setstate__(self, state: object) -> None:
        """Ignore it."""

    def append(self, element: object) -> None:
        """Ignore it."""

    def extend(self, elements: object) -> None:
        """Ignore it."""


_STORAGES = {name: type(name, (_Anything,), {"__slots__": ()}) for name in _BYTES_OF}


class _Storages(pickle.Unpickler):
    """Reads a description of tensors without making any, and checks how large each is.

    Args:
        archive: The archive.
        name: The member that describes its tensors.
    """

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        super().__init__(io.BytesIO(archive.read(name)))
        folder = name.removesuffix(_DESCRIPTION)
        self._sizes = {
            member.filename.removeprefix(f"{folder}data/"): member.file_size
            for member in archive.infolist()
        }

    def find_class(self, module: str, name: str) -> type[_Anything]:
        """Import nothing."""
        return _STORAGES.get(name, _Anything)

    def persistent_load(self, identity: Any) -> _Anything:  # noqa: ANN401  # from the file
        """Compare the size of what is stored with what is said of it.

        Raises:
            ValueError: It is too small or absent.
        """
        _, kind, key, _, length = identity
        if kind.__name__ not in _BYTES_OF or not isinstance(length, int) or length < 0:
            raise ValueError(f"data/{key} is of an unknown kind: {length} of {kind.__name__}")
        said_bytes, stored_bytes = length * _BYTES_OF[kind.__name__], self._sizes.get(str(key), -1)
        if said_bytes > stored_bytes:
            there = f"{stored_bytes:,} are there" if stored_bytes >= 0 else "it is not there"
            raise ValueError(f"data/{key} is said to have {said_bytes:,} bytes, but {there}")
        return _Anything()
