"""A revision of the user's repository in a folder of its own, and nothing of theirs touched."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from places.errors import ConfigError

_PREFIX = "places-config-diff-"  # and the number of the process, for what a kill left behind
# What others wait for is let go first.
_REMOVE = """\
exec >/dev/null 2>&1
cat
git --git-dir "$1" worktree remove --force --force "$2"
rm -rf "$2"
"""
_LEFT = re.compile(rf"^worktree (.*/{_PREFIX}(\d+)-[^/\n]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Repository:
    """A checkout."""

    top: Path
    git_folder: Path

    def git(self, *words: str) -> str:
        """Return what git answers.

        Raises:
            ConfigError: It refuses, or there is no git.
        """
        return _git(["--git-dir", str(self.git_folder), "--work-tree", str(self.top), *words])

    def commit(self, revision: str) -> str:
        """Return the commit of a revision.

        Raises:
            ConfigError: There is none.
        """
        try:
            asked = ("--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
            return self.git("rev-parse", *asked).strip()
        except ConfigError as error:
            raise ConfigError(
                f"no revision {revision!r} in {self.top}",
                "fetch it:  git fetch origin",
                "or see:    git branch --all",
            ) from error

    def branch_point(self, commit: str) -> str:
        """Return the commit at which what is checked out left a branch; that commit for none."""
        with suppress(ConfigError):  # no common history, as in a shallow clone
            return self.git("merge-base", commit, "HEAD").strip()
        return commit


def repository(folder: Path) -> Repository:
    """Return the repository that a folder is in.

    Raises:
        ConfigError: It is in none.
    """
    try:
        # As git understands it here, also where GIT_DIR is set.
        answer = _run(
            ["-C", str(folder), "rev-parse", "--show-toplevel", "--absolute-git-dir"], None
        )
    except ConfigError as error:
        if isinstance(error.__cause__, FileNotFoundError):  # no git
            raise
        raise ConfigError(
            f"{folder.resolve()} is in no repository of git, so there are no revisions", *error.hint
        ) from error
    top, git_folder = answer.splitlines()
    return Repository(Path(top), Path(git_folder))


@contextmanager
def checked_out(source: Repository, commit: str) -> Iterator[Path]:
    """Yield a new folder with a commit in it, which is gone at the end.

    Raises:
        ConfigError: Git refuses.
    """
    for left, number in _LEFT.findall(source.git("worktree", "list", "--porcelain")):
        if not Path(f"/proc/{number}").exists():  # killed together with what follows
            with _removed_at_the_end(source, Path(left)):
                pass
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")).resolve()
    with _removed_at_the_end(source, folder):
        # No hooks: they are for the user's own checkouts. No large files: none is looked at.
        words = ("-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--force")
        source.git(*words, str(folder), commit)
        yield folder


@contextmanager
def _removed_at_the_end(source: Repository, folder: Path) -> Iterator[None]:
    """Have a checkout removed at the end of a block, or when this process is killed meanwhile.

    That needs another process: it waits until nobody holds its input open any more.
    """
    command = ["sh", "-c", _REMOVE, "sh", str(source.git_folder), str(folder)]
    # Apart, so that no Ctrl-C reaches it.
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, env=_environment(), cwd="/", start_new_session=True
    ):
        yield  # leaving closes the input, and waits


def _git(words: list[str]) -> str:
    return _run(words, _environment())


def _environment() -> dict[str, str]:
    # What a hook of git sets, such as GIT_INDEX_FILE, would have it write into the user's index.
    ours = {key: value for key, value in os.environ.items() if not _is_of_git(key)}
    return {**ours, "GIT_OPTIONAL_LOCKS": "0", "GIT_LFS_SKIP_SMUDGE": "1"}


def _is_of_git(variable: str) -> bool:
    return variable in (
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"),
        *("GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE", "GIT_GRAFT_FILE", "GIT_SHALLOW_FILE"),
    )


def _run(words: list[str], environment: dict[str, str] | None) -> str:
    try:
        answer = subprocess.run(
            ["git", *words],
            capture_output=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            check=True,
        )
    except FileNotFoundError as error:
        raise ConfigError(
            "git is not installed", "install it: revisions are read with it"
        ) from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise ConfigError(f"git {words[-1]} failed", *lines[-2:]) from error
    return answer.stdout.decode(errors="surrogateescape")
