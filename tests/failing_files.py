"""Files that the system refuses to write, below Python's own functions and without a mount."""

# ruff: noqa: ANN401 - what takes the place of Python's functions takes all that they take

import builtins
import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Functions of `os` that change a folder, with the number of their arguments that are paths.
_CHANGES = {"mkdir": 1, "replace": 2, "rename": 2, "link": 2, "symlink": 2}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class FailingFiles:
    """Refuses to write files whose path contains a text.

    A full disk lets a file be made, and takes a few bytes of it. One that is mounted for reading
    only lets nothing be made or renamed. A broken one fails when the bytes are to be on it, or
    before.

    Args:
        monkeypatch: Puts all back at the end of the test.
        name: A part of the path, or its end, with `$` after it.
        number: What the system answers: `errno.ENOSPC`, `EROFS` or `EIO`.
        num_bytes: How many bytes of a file are taken before that.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, name: str, number: int, num_bytes: int = 3
    ) -> None:
        self.name, self.number, self.num_bytes = name, number, num_bytes
        self.num_refused = 0
        self._open, self._os_open, self._fsync = io.open, os.open, os.fsync
        monkeypatch.setattr(builtins, "open", self._open_file)
        monkeypatch.setattr(io, "open", self._open_file)
        monkeypatch.setattr(os, "open", self._open_descriptor)
        monkeypatch.setattr(os, "fsync", self._sync)
        for function, num_paths in _CHANGES.items():
            changed = self._refused(getattr(os, function), num_paths)
            monkeypatch.setattr(os, function, changed)

    def error(self, path: Any = None) -> OSError:
        """Return what the system answers, and count it."""
        self.num_refused += 1
        if path is None:
            return OSError(self.number, os.strerror(self.number))
        return OSError(self.number, os.strerror(self.number), os.fspath(path))

    def _open_file(
        self, file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any
    ) -> Any:
        if not set(mode) & set("wax+") or not self._is_meant(file):
            return self._open(file, mode, buffering, *rest, **named)
        if self.number == errno.EROFS:
            raise self.error(file)
        raw = _Refusing(file, mode.translate({ord("t"): None, ord("b"): None}), self, **named)
        if buffering == 0:
            return raw
        buffered: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        encoding = rest[0] if rest else named.get("encoding")
        return io.TextIOWrapper(buffered, encoding, newline=named.get("newline"))

    def _open_descriptor(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if self.number == errno.EROFS and flags & _WRITES and self._is_meant(path):
            raise self.error(path)
        return self._os_open(path, flags, *rest, **named)

    def _sync(self, descriptor: int) -> None:
        if self.number != errno.EROFS and self._is_meant(descriptor):
            raise self.error()
        self._fsync(descriptor)

    def _refused(self, function: Callable[..., Any], num_paths: int) -> Callable[..., Any]:
        def changed(*given: Any, **named: Any) -> Any:
            if self.number == errno.EROFS and any(map(self._is_meant, given[:num_paths])):
                raise self.error(given[0])
            return function(*given, **named)

        return changed

    def _is_meant(self, path: Any) -> bool:
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        text = str(Path(os.fsdecode(path)).absolute())
        return text.endswith(self.name[:-1]) if self.name[-1] == "$" else self.name in text


class _Refusing(io.FileIO):
    def __init__(
        self, file: Any, mode: str, owner: FailingFiles, closefd: bool = True, **_: Any
    ) -> None:
        super().__init__(file, mode, closefd)
        self._owner, self._num_left = owner, owner.num_bytes

    def write(self, data: Any) -> int:
        taken = memoryview(data).cast("B")[: self._num_left]
        if not len(taken):
            raise self._owner.error()
        self._num_left -= len(taken)
        return super().write(taken)


class VanishingFolder:
    """A folder that somebody removes when a file whose path contains a text is opened to write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.is_gone = False
        self._open = io.open
        monkeypatch.setattr(builtins, "open", self._open_file)
        monkeypatch.setattr(io, "open", self._open_file)

    def _open_file(self, file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        opened = self._open(file, mode, *rest, **named)
        if set(mode) & set("wax+") and self.name in str(file) and not self.is_gone:
            self.is_gone = True
            shutil.rmtree(self.folder)
        return opened
