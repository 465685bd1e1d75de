"""What a file is that should hold weights and does not: told by its first bytes, never opened."""

import zipfile
from pathlib import Path

from places.console import counted, first_few, printable
from places.errors import CheckpointError

_HEAD_BYTES = 1024
_TAR_MAGIC, _TAR_AT = b"ustar", 257
_PICKLE = b"\x80"
# How the files of PyTorch began until 2020, behind the version of the pickle.
_TORCH_PICKLE, _TORCH_PICKLE_ENDS = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", 24
_ONNX_START = 8
_TEXT_SHOWN = 40  # characters
_AGAIN = "download it again, and look at what the server sends"
_UNPACK = "unpack it first, and give the file of weights in it"
_PROGRAM = (
    "a program of torch.export that places did not write",
    "where it was made, save the weights alone:  torch.save(net.state_dict(), path)",
)
_UNKNOWN = ("of an unknown kind: it begins like none of the files of PyTorch", _AGAIN)
# By their first bytes: what they are, and what to do.
_BY_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "compressed with gzip", "unpack it first:  gunzip"),
    (b"BZh", "compressed with bzip2", "unpack it first:  bunzip2"),
    (b"\xfd7zXZ", "compressed with xz", "unpack it first:  unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it first:  unzstd"),
    (b"7z\xbc\xaf", "a 7-Zip archive", _UNPACK),
    (b"Rar!", "a RAR archive", _UNPACK),
    (b"\x89HDF", "an HDF5 file, as Keras writes it", "places reads PyTorch, safetensors and Caffe"),
    (b"\x93NUMPY", "an array of NumPy, not a network", "save the weights by name:  torch.save"),
    (b"\xff\xd8\xff", "a picture (JPEG)", "give pictures as words:  places predict PICTURES..."),
    (b"\x89PNG", "a picture (PNG)", "give pictures as words:  places predict PICTURES..."),
    (b"%PDF", "a PDF document", _AGAIN),
    (b"\x7fELF", "a program", _AGAIN),
)
_TORCH7 = (
    "a Torch7 file (Lua), which PyTorch cannot read",
    "of CSAIL's networks take  *_places365.pth.tar  or, for VGG16 and ResNet-152,  .caffemodel",
)
_PLAIN_PICKLE = (
    "a pickle that torch.save did not write: opening it would run code from the file",
    "where it was made, save the weights alone:  torch.save(net.state_dict(), path)",
)


def check_kind(path: Path) -> None:
    """Refuse a file that is known to be something else than weights.

    Raises:
        CheckpointError: There is no such file, or it is one of those; the message says which.
    """
    if path.is_dir():
        files = sorted(x.name for x in path.iterdir() if x.suffix in _SUFFIXES)
        hint = f"give one of the files in it:  {path / files[0]}" if files else "give a file"
        raise CheckpointError(f"{path} is a folder, not a file of weights", hint)
    if not path.is_file():
        raise CheckpointError(f"no file of weights at {path}")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    found = _other_kind(path, head)
    if found is not None:
        raise not_weights(path, *found)


_SUFFIXES = (".safetensors", ".ckpt", ".pth", ".pt", ".tar", ".bin", ".caffemodel")


def not_weights(path: Path, what: str, *hint: str) -> CheckpointError:
    """Return that a file is something else.

    Args:
        path: The file.
        what: What it is, after "it is".
        *hint: What to do about it.
    """
    size = counted(path.stat().st_size, "byte")
    return CheckpointError(f"{path} cannot be read as weights ({size}): it is {what}", *hint)


def is_safetensors(path: Path) -> bool:
    """Tell whether a file begins as `.safetensors` do, whatever it is called."""
    with path.open("rb") as file:
        head = file.read(10)
    return len(head) == 10 and head[8:9] == b"{" and head[9:10] in b'" }\n'


def _other_kind(path: Path, head: bytes) -> tuple[str, str] | None:
    if not head:
        return "empty", _AGAIN
    for magic, what, hint in _BY_MAGIC:
        if head.startswith(magic):
            return what, f"{hint} {path}" if "unpack it first:" in hint else hint
    if head[_TAR_AT : _TAR_AT + len(_TAR_MAGIC)] == _TAR_MAGIC:
        return "a tar archive", f"{_UNPACK}:  tar xf {path}"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _kind_of_zip(path)
    if b"V 1" in head[:32] or path.suffix == ".t7":
        return _TORCH7
    if _TORCH_PICKLE in head[:_TORCH_PICKLE_ENDS] or head[8:9] == b"{":
        return None
    if head.startswith(_PICKLE):
        return _PLAIN_PICKLE
    is_marked = path.suffix in (".caffemodel", ".onnx", ".safetensors") or head[0] == _ONNX_START
    return _kind_of_text(head) or (None if is_marked else _UNKNOWN)


def _kind_of_text(head: bytes) -> tuple[str, str] | None:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not a character that is cut in two
            return None
        text = head[: error.start].decode("utf-8-sig")
    if not text.strip():
        return None
    start = text.lstrip().lower()
    if start.startswith("version https://git-lfs"):
        return (
            "a pointer of Git LFS, which stands for the file and is not it",
            "fetch the file itself:  git lfs pull",
        )
    if start.startswith(("<!doctype", "<html", "<head", "<?xml", "<body", "<script")):
        return "a web page, not the file behind a link", _AGAIN
    if any(not (c.isprintable() or c.isspace()) for c in text):
        return None
    what = "JSON" if start[:1] in ("{", "[") else "a text"
    shown = printable(" ".join(text.split())[:_TEXT_SHOWN])
    return f"{what} that begins with {shown!r}", _AGAIN


def _kind_of_zip(path: Path) -> tuple[str, str] | None:
    """Return what an archive is that does not hold tensors as torch.save writes them."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "cut off or damaged: the end of the archive is missing", _AGAIN
    parts = {name.partition("/")[2] for name in names}
    if "archive_format" in parts and "extra/places" in parts:
        return None  # places wrote it, see `places.models.programs`
    if "archive_format" in parts:
        return _PROGRAM
    if "constants.pkl" in parts:
        return (
            "a TorchScript program, which would run code from the file",
            "where it was made, save the weights alone:  torch.save(net.state_dict(), path)",
        )
    if "data.pkl" in parts:
        return None
    shown = first_few(printable(name)[:_TEXT_SHOWN] for name in names)
    return f"a zip archive of something else: {shown}" if names else "an empty zip archive", _UNPACK
