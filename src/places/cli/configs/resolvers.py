"""Who resolves recipes: this process, or another one that runs the code of another revision."""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, Self

import places
from places.cli.configs import worker

Answer = dict[str, Any]
_SOURCE = Path(places.__file__).parents[1]


class Resolver(Protocol):
    """Answers requests, see `worker.answer`; used as a context."""

    def ask(self, request: Mapping[str, Any]) -> "Future[Answer]":
        """Return the answer, which may come later."""
        ...

    def __enter__(self) -> Self:
        """Return this."""
        ...

    def __exit__(self, *_: object) -> None:
        """End what was started."""
        ...


class Here:
    """This process; what is asked again is answered from memory."""

    def __init__(self) -> None:
        self._known: dict[str, Future[Answer]] = {}

    def ask(self, request: Mapping[str, Any]) -> "Future[Answer]":
        """Return the answer, which is there at once."""
        key = json.dumps(request, sort_keys=True, default=str)
        if key not in self._known:
            self._known[key] = Future()
            self._known[key].set_result(worker.answer(request))
        return self._known[key]

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing."""


class Saved(Here):
    """Nobody resolves what is saved; networks in it are built here."""

    def ask(self, request: Mapping[str, Any]) -> "Future[Answer]":
        """Return an empty answer, if it is a config that is asked for."""
        if "files" not in request:
            return super().ask(request)
        future: Future[Answer] = Future()
        future.set_result({})
        return future


class Apart:
    """Another process, with the code in another folder.

    Args:
        tree: The folder, a checkout of the same repository.
        top: The user's checkout: what of it is on the path of this process is taken from `tree`.
    """

    def __init__(self, tree: Path, top: Path) -> None:
        self._tree, self._top = tree, top
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed in __exit__
        self._queue = ThreadPoolExecutor(1)
        self._known: dict[str, Future[Answer]] = {}

    def __enter__(self) -> Self:
        """Start it; it imports what it needs meanwhile."""
        reading, writing = os.pipe()
        here = Path.cwd()
        inside = self._tree / here.relative_to(self._top) if _is_in(here, self._top) else here
        # -P: the folder of the program is no place to import from.
        self._process = subprocess.Popen(
            [sys.executable, "-P", worker.__file__, str(writing), str(self._log.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[writing, self._log.fileno()],
            cwd=inside if inside.is_dir() else self._tree,
            env={**os.environ, **self._environment()},
        )
        os.close(writing)
        self._answers = os.fdopen(reading, encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._queue.shutdown(cancel_futures=True)
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
        self._process.wait()
        self._answers.close()
        self._log.close()

    def ask(self, request: Mapping[str, Any]) -> "Future[Answer]":
        """Return the answer, which comes when those before it have come."""
        key = json.dumps(request, sort_keys=True, default=str)
        if key not in self._known:
            self._known[key] = self._queue.submit(self._answer, request)
        return self._known[key]

    def _answer(self, request: Mapping[str, Any]) -> Answer:
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended, as there is no answer then
            self._process.stdin.write(f"{json.dumps(request, default=str)}\n".encode())
            self._process.stdin.flush()
        line = self._answers.readline()
        if not line:
            return {"problem": ["the code of that revision cannot be run here", self._last_words()]}
        answer: Answer = json.loads(line)
        if "problem" in answer:
            shown = [text.replace(f"{self._tree}/", "") for text in answer["problem"]]
            return {"problem": shown}
        return answer

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a word"

    def _environment(self) -> dict[str, str]:
        folders = [str(self._tree / "src")] if is_checkout(self._tree) else []
        for path in _search_path():
            inside = _is_in(path, self._top)
            moved = self._tree / path.resolve().relative_to(self._top) if inside else path
            folders.append(str(moved))
        # Nothing is written into a folder of the user's, who may have no right to either.
        return {"PYTHONPATH": os.pathsep.join(folders), "PYTHONDONTWRITEBYTECODE": "1"}


def is_checkout(tree: Path) -> bool:
    """Tell whether a folder holds the source of `places`."""
    return (tree / "src" / "places" / "__init__.py").is_file()


def of_worktree(top: Path) -> Resolver:
    """Return who resolves recipes with the code that is checked out: this process, if it can."""
    if is_checkout(top) and _SOURCE.resolve() != (top / "src").resolve():
        return Apart(top, top)
    return Here()


def source_roots(tree: Path, top: Path) -> list[Path]:
    """Return the folders of a checkout from which modules are imported."""
    paths = [path.resolve() for path in _search_path()]
    inside = [tree / path.relative_to(top) for path in paths if _is_in(path, top)]
    return [*dict.fromkeys([tree / "src", *inside, tree])]


def _search_path() -> list[Path]:
    """Return where modules are looked for, without where packages are installed."""
    homes = [Path(home) for home in {*sysconfig.get_paths().values()}]
    paths = [Path.cwd() / entry for entry in sys.path]
    return [path for path in paths if not any(_is_in(path, home) for home in homes)]


def _is_in(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
