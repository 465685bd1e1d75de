"""Which code runs: the commit of a checkout, and a digest of the source files in any case."""

import hashlib
import subprocess
from pathlib import Path

SOURCE = Path(__file__).parents[1]
_TIMEOUT_S = 10


def source_digest(folder: Path = SOURCE) -> str:
    """Return the SHA-256 of the names and contents of all Python files below a folder, in hex."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def git_revision(folder: Path = SOURCE) -> str | None:
    """Return the commit of a checkout, with `-dirty` if files differ from it.

    Returns:
        `None` if the folder is not the source of a checkout, or git does not answer.
    """
    if not any((parent / ".git").exists() for parent in folder.parents[:2]):
        return None
    command = ("git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40")
    try:
        answer = subprocess.run(
            [*command, "--exclude=*"], capture_output=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.decode().strip()
