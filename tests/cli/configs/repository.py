"""A repository of git with recipes and a module of networks, as a user may have it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NETWORK = """\
from torch import Tensor, nn


class Small(nn.Module):
    def __init__(self, num_classes: int, width: int = 8, act: bool = True) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, width, 3, stride=8)
        self.head = nn.Linear(width, num_classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image).mean((2, 3)))


class Other(Small):
    def __init__(self, num_classes: int, width: int = 4, depth: int = 2) -> None:
        super().__init__(num_classes, width)
"""
RECIPE = """\
# a recipe
model:
  net:
    class_path: {module}.Small
  optimizer:
    class_path: torch.optim.SGD
    init_args: {{lr: 0.1, momentum: 0.9}}
data:
  batch_size: {batch_size}
  image_size: 64
trainer:
  max_epochs: 90
"""


def git(folder: Path, *words: str) -> str:
    """Run git as nobody in particular, and return what it says."""
    who = {
        f"GIT_{role}_{what}": "tests"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    command = ["git", "-C", str(folder), "-c", "commit.gpgsign=false", *words]
    environment = {**os.environ, **who, "GIT_OPTIONAL_LOCKS": "0"}  # status writes into the index
    answer = subprocess.run(command, env=environment, capture_output=True, check=True)
    return answer.stdout.decode()


def commit(folder: Path, message: str) -> str:
    """Commit all that is in a folder, and return the commit."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD").strip()


def make_repository(folder: Path, module: str) -> str:
    """Make a repository with three recipes and a module, and return its commit."""
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / f"{module}.py").write_text(NETWORK)
    configs = folder / "configs"
    configs.mkdir()
    for number, name in enumerate(("one", "two", "three"), 1):
        (configs / f"{name}.yaml").write_text(RECIPE.format(module=module, batch_size=64 * number))
    return commit(folder, "base")


@contextmanager
def inside_repository(root: Path, module: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a repository below a folder and work in it; its module can be imported there."""
    folder = root / "repository"
    folder.mkdir()
    make_repository(folder, module)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop(module, None)


def change(path: Path, old: str, new: str) -> None:
    """Replace a text in a file, where it is."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def state(folder: Path) -> tuple[str, str, bytes, str]:
    """Return what must not change: files, their state, the index, and the checkouts there are."""
    files = "\n".join(
        f"{p} {p.read_bytes()!r}" for p in sorted(folder.glob("**/*.*")) if ".git" not in p.parts
    )
    index = (folder / ".git" / "index").read_bytes()
    return files, git(folder, "status", "--porcelain"), index, git(folder, "worktree", "list")
